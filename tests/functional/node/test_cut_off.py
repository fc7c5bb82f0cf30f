"""Runs that are killed, that meet, or that find a full disk: the next one heals, and clients see nothing."""

import contextlib
import os
import signal
import subprocess
from pathlib import Path

import pytest

from devtools.postgres import wait_for
from pgpillar import trial
from pgpillar.bouncer import Console, Installation
from tests.functional.minions import ROOT


def is_for(name):
    """Whether a file that is open here is on its way to be ``name``."""
    return lambda number: os.readlink(f"/proc/self/fd/{number}").endswith(f"/.{name}.new")


pytestmark = pytest.mark.every_pgbouncer

POINTS = {
    "while the node's password is written": (os, "fsync", is_for("wiki")),
    "while a login is tried": (trial.Trial, "failures", lambda *_: True),
    "while a generation is written": (os, "fsync", is_for("hba.conf")),
    "between writing and switching": (Installation, "switch", lambda *_: True),
    "between switching and reloading": (Console, "ask", lambda _, command: command == "RELOAD"),
    "while client files are written": (os, "fsync", is_for("pgpass")),
}


def converge_and_die(node, tree, owner, name, when):
    """Converge in a process of its own, which dies as soon as it calls ``owner.name`` so."""
    child = os.fork()
    if not child:
        original = getattr(owner, name)

        def deadly(*arguments, **options):
            if when(*arguments):
                os.kill(os.getpid(), signal.SIGKILL)
            return original(*arguments, **options)

        setattr(owner, name, deadly)
        with contextlib.suppress(BaseException):
            node.apply(tree)
        os._exit(0)
    _, status = os.waitpid(child, 0)
    assert os.WIFSIGNALED(status), "nothing killed it"


@pytest.mark.parametrize("point", POINTS)
def test_a_run_that_is_killed_is_finished_by_the_next(calm, with_wiki, point):
    converge_and_die(calm, with_wiki, *POINTS[point])
    calm.converge(with_wiki)
    assert calm.query("select current_user", "wiki", "wiki") == [("wiki",)]
    assert calm.converge(with_wiki) == {}
    places = (calm.root / place for place in ("etc", "var/lib"))
    assert [path for place in places for path in place.rglob(".*")] == []


def test_a_generation_that_was_cut_short_goes_with_the_next(running, shop, with_wiki):
    converge_and_die(running, with_wiki, *POINTS["while a generation is written"])
    (left,) = (running.root / "etc/pgbouncer/generations").glob(".*")
    running.converge({**shop, "pgbouncer": {"settings": {"default_pool_size": 7}}})
    assert not left.exists()


def test_a_trial_ends_with_the_run_that_is_killed(running, with_wiki):
    """No scratch instance goes on, and the next trial removes the files that it had."""
    before = set(Path("/tmp").glob(f"{trial.PREFIX}*"))
    converge_and_die(running, with_wiki, *POINTS["while a login is tried"])
    (left,) = [path for path in set(Path("/tmp").glob(f"{trial.PREFIX}*")) - before if not is_used(path)]
    os.utime(left, (0, 0))
    running.converge(with_wiki)
    assert not left.exists()


def is_used(directory):
    """Whether a process names a directory; one that ends is given its time."""
    with contextlib.suppress(Exception):
        wait_for(lambda: not any(os.fsencode(directory) in line for line in command_lines()), "", seconds=2)
        return False
    return True


def command_lines():
    for path in Path("/proc").glob("[0-9]*/cmdline"):
        with contextlib.suppress(OSError):
            yield path.read_bytes()


def test_a_bouncer_that_dies_in_the_middle_of_a_run(running, with_wiki, monkeypatch):
    """The old files are back, and the next run puts the new ones in their place."""
    ask = Console.ask

    def dying(self, command):
        if command == "RELOAD":
            running.stop()
        return ask(self, command)

    live = os.readlink(f"{running.paths.pgbouncer}/live")
    with monkeypatch.context() as patched:
        patched.setattr(Console, "ask", dying)
        said = running.refused(with_wiki)
    assert "did not take up the new files, so the old ones are back" in said
    assert os.readlink(f"{running.paths.pgbouncer}/live") == live
    running.converge(with_wiki)
    running.start()
    assert running.query("select 1", "wiki", "wiki") == [(1,)]


def test_two_highstates_at_once(calm, with_wiki):
    """Neither fails, and no password is made twice."""
    calm.minion.hold({**with_wiki, "pgbouncer": {"port": calm.port}})
    calm.minion.told(
        "test.ping"
    )  # Salt makes its directories in the first call, and fails if two do so at once
    command = ("-m", str(ROOT), "state.apply", "postgresql.client", "concurrent=True")
    calls = [calm.minion.start(*command) for _ in range(2)]
    for out, err in [call.wait() for call in calls]:
        assert '"result": true' in out, (out, err)
        assert '"result": false' not in out, out
    assert calm.converge(with_wiki) == {}
    assert calm.query("select 1", "wiki", "wiki") == [(1,)]


@pytest.fixture
def small_disk(node):
    """A disk of their own for the client files of a node, with little room."""
    place = Path(node.paths.clients)
    place.mkdir(parents=True)
    subprocess.run(["mount", "-t", "tmpfs", "-o", "size=64k", "tmpfs", place], check=True)
    yield place
    subprocess.run(["umount", "--lazy", place], check=True)


@contextlib.contextmanager
def filled(place):
    """A disk without room, filled by a file that has no name."""
    with open(place / "ballast", "wb", buffering=0) as ballast:
        (place / "ballast").unlink()
        with contextlib.suppress(OSError):
            while True:
                ballast.write(bytes(2**12))
        yield


def test_a_full_disk_leaves_the_client_files_that_there_are(small_disk, calm, with_wiki):
    before = {path: path.read_bytes() for path in small_disk.rglob("*") if path.is_file()}
    with filled(small_disk):
        state = calm.apply(with_wiki)["pg_client.configured"]
    assert (state["result"], state["changes"]) == (False, {})
    assert "postgresql:users:wiki: [Errno 28] No space left on device" in state["comment"]
    assert {path: path.read_bytes() for path in before} == before
    calm.converge(with_wiki)
    assert calm.converge(with_wiki) == {}
