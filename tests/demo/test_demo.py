"""`make demo`, run for real: what it prints, that it follows an edit, that it mends what was cut off."""

import os
import re
import signal
import socket
import stat
import subprocess
import tempfile
import textwrap
from contextlib import suppress
from pathlib import Path

import pytest

from demo import picture, place, proof
from demo.minion import Minion
from demo.node import NAMES
from demo.passage import Passage
from devtools.postgres import wait_for
from pgpillar.bouncer import process

NOTHING = "Cluster main is as pillar wants it; nothing changed"
NOTHING_ON_NODES = "pgbouncer has the pools that pillar wants; nothing changed"
ON_EACH_NODE = 4  # its service, another node's password, the real one, and where that stands
BROKEN = "    blog: {owner: wikki, acces: {analyst: reed}}\n"
CHANGING = (
    (r"\d+\.\d s", "N s"),
    (r"port \d+", "port N"),
    (r"its \d+ files; \d+ others", "its N files; N others"),
    (r"(SASL|password) authentication", "password authentication"),
)


def stable(text):
    """Return what a run prints without what differs from one to the next."""
    for pattern, constant in CHANGING:
        text = re.sub(pattern, constant, text, flags=re.M)
    return text


@pytest.fixture
def edited(copy):
    """Return a function that appends to the databases of the pillar; they are as before afterwards."""
    path = copy.file("postgresql/databases.sls")
    before = path.read_text()
    yield lambda more: path.write_text(path.read_text() + more)
    path.write_text(before)


def test_the_readme_shows_what_a_first_run_prints(copy):
    assert stable(picture.shown()) == stable(copy.first)


@pytest.mark.parametrize("name", ["databases", "roles"])
def test_the_readme_shows_the_pillar_of_the_demo(name):
    lines = (place.ROOT / "demo/seed/pillar/postgresql" / f"{name}.sls").read_text().splitlines(keepends=True)
    pillar = "".join(line for line in lines if not line.startswith("#"))
    assert textwrap.indent(pillar, "    ") in picture.README.read_text()


def test_nothing_is_red_and_something_is_refused(copy):
    assert "✗" not in copy.first
    assert copy.first.count("✓") == len(proof.TRIALS) + ON_EACH_NODE * len(NAMES)
    assert copy.first.count("refused: ") == 4 + 2 * len(NAMES)


def followed(copy, verb, said):
    """Who one is, who does as the end of a run says."""
    command = re.search(rf"^  {verb} +(.* psql .*)$", said, re.M)[1]
    psql = f"{copy.server.bindir}/psql -XAtc 'select current_user'"
    done = subprocess.run(["bash", "-c", command.replace("psql", psql)], cwd=copy.root, capture_output=True)
    return done.stdout.decode().strip()


def test_what_a_run_says_last_can_be_done(copy):
    assert [followed(copy, verb, copy.first) for verb in ("look", "use")] == ["analyst", "shop_app"]


def test_a_second_run_changes_nothing_and_is_quick(copy):
    before = os.times()
    said = copy.shown()
    assert (said.count(NOTHING), said.count(NOTHING_ON_NODES)) == (2, 2)
    after = os.times()
    # Seconds of a processor, for others may be at work on this machine
    assert after.children_user + after.children_system - before.children_user - before.children_system < 15


def test_an_edit_is_applied(copy, edited):
    edited("    blog: wiki\n")
    assert "create, closed to PUBLIC" in copy.shown()
    assert copy.server.query("select pg_get_userbyid(datdba) from pg_database where datname = 'blog'") == [
        ("wiki",)
    ]
    assert "[blog.wiki]" in (copy.demo / "pg_service.conf").read_text()


def test_an_edit_is_applied_on_the_nodes(copy, edited):
    edited("    blog: {owner: wiki, access: {shop_app: read}}\n")
    assert "── blog: new" in copy.shown()
    for node in copy.nodes:
        assert set(node.console.databases()) == {"pgbouncer", "blog", "shop"}
    edited("  pools:\n    jobs: {database: shop, user: shop_app, size: 3}\n")
    said = copy.shown()
    assert re.search("✓ app-2 shop_app +service=jobs +shop_app in shop, over TLSv1.3, verify-full", said)
    assert followed(copy, "use", said) == "shop_app"
    assert {str(node.console.databases()["jobs"]["pool_size"]) for node in copy.nodes} == {"3"}


def test_a_fault_that_is_of_the_nodes_alone_is_told(copy):
    path = copy.file("postgresql/pgbouncer.sls")
    before = path.read_text()
    path.write_text(before.replace("listen_addr:", "poolmode: session, listen_addr:"))
    done = copy.run()
    path.write_text(before)
    assert done.returncode == 1
    assert done.stderr.count("settings:poolmode: did you mean 'pool_mode'?") == 1
    assert "passwords in the files of .demo/pillar/secrets" in done.stderr
    assert "requisite" not in done.stderr


def test_without_the_shop_there_is_nothing_to_try_and_it_is_said(copy):
    paths = [copy.file(f"postgresql/{name}.sls") for name in ("databases", "roles")]
    before = [path.read_text() for path in paths]
    paths[0].write_text(before[0].partition("    shop:")[0])
    paths[1].write_text(before[1].replace("{access: {shop: read}}", "{}"))
    said = copy.shown()
    for path, text in zip(paths, before, strict=True):
        path.write_text(text)
    assert "nothing to try: pillar has no database shop" in said
    assert "nothing to try: the app nodes see the password of nobody" in said
    assert "psql service=wiki.wiki" in said
    assert "  use " not in said


def test_a_right_that_is_given_shows_as_given(copy):
    path = copy.file("postgresql/roles.sls")
    before = path.read_text()
    path.write_text(before.replace("shop: read", "shop: write"))
    assert re.search(r"✓ analyst +INSERT .* done", copy.shown())
    path.write_text(before)
    assert re.search(r"✓ analyst +INSERT .* refused", copy.shown())


def test_a_wrong_edit_is_told_as_the_readme_shows_it(copy, edited):
    edited(BROKEN)
    done = copy.run()
    assert done.returncode == 1
    assert textwrap.indent(done.stderr, "    ") in picture.README.read_text()


def test_broken_yaml_is_told_with_its_file(copy, edited):
    edited("    blog: [\n")
    done = copy.run()
    assert done.returncode == 1
    assert "postgresql.databases" in done.stderr
    assert "Traceback" not in done.stderr


def test_a_pillar_without_a_cluster_is_told(copy):
    top = copy.file("top.sls")
    before = top.read_text()
    top.write_text("base: {}\n")
    assert "pillar has no cluster in postgresql:clusters that this minion administers" in copy.run().stderr
    top.write_text(before)


def test_a_server_that_crashed_is_started_again(copy):
    copy.server.kill()
    assert NOTHING in copy.shown()


def test_pgbouncers_stay_and_one_that_was_killed_is_started_again(copy):
    copy.shown()
    pids = [pid_of(node) for node in copy.nodes]
    assert "their pgbouncers are running" in copy.shown()
    assert [pid_of(node) for node in copy.nodes] == pids
    os.kill(pids[0], signal.SIGKILL)
    wait_for(lambda: process(copy.nodes[0].paths.pid) is None, "it is not dead")
    assert "starting their pgbouncers" in copy.shown()
    assert pid_of(copy.nodes[1]) == pids[1]


def pid_of(node):
    return int(Path(node.paths.pid).read_text())


def test_a_taken_port_is_left_for_another(copy):
    copy.server.stop()
    with socket.create_server(("127.0.0.1", copy.server.port)) as other:
        assert f"shop: port {other.getsockname()[1]} → " in copy.shown()
    assert NOTHING in copy.shown()


def test_a_server_that_is_gone_is_made_anew(copy):
    copy.server.remove()
    assert "create, closed to PUBLIC" in copy.shown()


def test_a_second_demo_at_once_is_refused(copy):
    with place.locked(copy.demo):
        done = copy.run()
    assert done.returncode == 1
    assert "another demo is at work" in done.stderr


def cut_off(copy, where, how):
    """Run the demo, signal it and what it started at the step ``where``, and return what it complains of."""
    pipes = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE}
    with subprocess.Popen(copy.command(), cwd=copy.root, start_new_session=True, **pipes) as process:
        seen = b""
        while where.encode() not in seen:
            seen += os.read(process.stdout.fileno(), 100)
        os.killpg(process.pid, how)
        return process.communicate()[1].decode()


@pytest.mark.parametrize("where", ["making a private", "highstate", "what pillar says"])
def test_a_run_that_was_cut_off_is_taken_up_again(make_copy, where):
    copy = make_copy()
    cut_off(copy, where, signal.SIGKILL)
    assert NOTHING in copy.shown()


def test_an_interrupt_is_no_traceback(make_copy):
    said = cut_off(make_copy(), "highstate", signal.SIGINT)
    assert said == "\ndemo: interrupted; the next run takes it up again\n"


def test_a_promise_that_is_not_kept_shows(copy):
    cluster = declared(copy)
    (reading,) = [trial for trial in proof.TRIALS if trial.statement == proof.SELECT]
    assert proof.attempt(copy.server, cluster, reading).as_declared
    copy.server.query("revoke select on orders from readers", dbname="shop")
    assert not proof.attempt(copy.server, cluster, reading).as_declared


def kept(copy):
    """Whether each promise of the demo's nodes is kept, by node and attempt."""
    attempts = Passage(copy.demo.resolve(), copy.server, copy.nodes).attempts()
    return {(found.user, found.attempt): found.as_declared for found in (attempt() for attempt in attempts)}


def test_a_real_password_that_lies_about_shows(copy):
    copy.shown()
    assert set(kept(copy).values()) == {True}
    lost = copy.demo / "lost"
    lost.write_text(f"so that it is found: {declared(copy).roles['shop_app'].password.reveal()}")
    assert {attempt for (_, attempt), well in kept(copy).items() if not well} == {
        "www-data looks for the real password"
    }
    lost.unlink()


def test_nodes_with_one_password_show(copy):
    copy.shown()
    first, second = (Path(node.paths.secrets, "shop_app") for node in copy.nodes)
    before = second.read_text()
    second.write_text(first.read_text())
    broken = [key for key, well in kept(copy).items() if not well]
    second.write_text(before)
    assert broken == [("app-1 shop_app", "with the password of app-2")]


def declared(copy):
    """The cluster that the demo's pillar declares."""
    return Minion(copy.demo.resolve(), "db-admin").cluster()


def test_no_password_can_be_read_by_others(copy):
    secrets = [role.password.reveal().encode() for role in declared(copy).roles.values() if role.password]
    assert len(secrets) == 4
    holders = [path for path in files(copy.demo) if any(secret in path.read_bytes() for secret in secrets)]
    modes = {(path.name, stat.S_IMODE(path.stat().st_mode)) for path in holders}
    assert modes == {
        ("postgresql-users.sls", 0o600),
        ("postgresql-applications.sls", 0o600),
        ("pg_service.conf", 0o600),
        ("pgbouncer.ini", 0o640),
    }


def files(directory):
    return [path for path in directory.rglob("*") if path.is_file() and not path.is_symlink()]


def test_clean_leaves_nothing(make_copy):
    copy = make_copy()
    before = {path.relative_to(copy.root) for path in copy.root.rglob("*")}
    copy.shown()
    port, sockets, pids = copy.server.port, copy.server.socket_dir, [pid_of(node) for node in copy.nodes]
    assert copy.run("clean").returncode == 0
    after = {path.relative_to(copy.root) for path in copy.root.rglob("*") if path.name != "__pycache__"}
    assert {path for path in after - before if path.suffix != ".pyc"} == set()
    assert not sockets.exists()
    assert not any(is_alive(pid) for pid in pids)
    with pytest.raises(ConnectionRefusedError):
        socket.create_connection(("127.0.0.1", port))
    assert copy.run("clean").returncode == 0


def is_alive(pid):
    """Whether a process is there; one that is dead and not yet buried is not."""
    with suppress(OSError):
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    return False


def test_a_checkout_too_deep_for_sockets_has_the_demo_elsewhere(make_copy):
    place.find(deep := Path(tempfile.mkdtemp(prefix="deep" * 20, dir=make_copy().root)))
    assert (deep / place.NAME).resolve().parent == Path("/var/tmp")
    place.remove(deep)


@pytest.mark.skipif(os.geteuid() != 0, reason="only root's servers run as another user")
def test_a_closed_checkout_has_the_demo_elsewhere(make_copy):
    copy = make_copy(mode=0o700)
    said, target = copy.shown(), copy.demo.resolve()
    assert f"so .demo leads to {target}" in said
    assert target.parent == Path("/var/tmp")
    assert copy.run("clean").returncode == 0
    assert not target.exists()
    assert not copy.demo.is_symlink()


def test_a_link_to_nowhere_is_mended(make_copy):
    copy = make_copy()
    copy.demo.symlink_to(copy.root / "gone")
    assert NOTHING in copy.shown()
