"""What does not work is never put in place, and clients of the pools that work notice nothing."""

import re
import signal
from pathlib import Path

import psycopg2
import pytest

from devtools import tls
from devtools.postgres import free_port
from pgpillar import package, trial
from pgpillar.bouncer import Console
from pgpillar.connect import ClusterError
from pgpillar.pgbouncer import INI
from tests.functional.minions import Minion, restarted

pytestmark = pytest.mark.every_pgbouncer


def test_a_new_pool_comes_in(calm, with_wiki):
    assert calm.converge(with_wiki)["pgbouncer.configured"]["pools"] == {"wiki": "new"}
    assert calm.query("select 1", "wiki", "wiki") == [(1,)]


def test_a_pool_whose_password_is_wrong_stays_out(calm, with_wiki):
    with_wiki["users"]["wiki"]["password"] = "not the one"
    said = calm.refused(with_wiki)
    assert "pool 'wiki'" in said
    assert "password authentication failed" in said
    assert "not the one" not in said
    assert "wiki" not in calm.console.databases()


def test_a_setting_that_pgbouncer_does_not_know_is_named_with_the_nearest(calm, shop):
    for test in (True, False):
        state = calm.apply({**shop, "pgbouncer": {"settings": {"defualt_pool_size": 5}}}, test)
        state = state["pgbouncer.configured"]
        assert (state["result"], state["changes"]) == (False, {})
        assert "defualt_pool_size: did you mean 'default_pool_size'?" in state["comment"]


def test_a_value_that_pgbouncer_refuses_stays_out(calm, shop):
    said = calm.refused({**shop, "pgbouncer": {"settings": {"pool_mode": "sometimes"}}})
    assert "pool_mode" in said


def test_a_setting_that_keeps_pgbouncer_from_the_server_is_told_by_its_log(calm, shop):
    said = calm.refused({**shop, "pgbouncer": {"settings": {"server_tls_protocols": "tlsv1.0"}}})
    assert re.search("pgbouncer came no further than: .*TLS handshake error", said)


def test_a_setting_is_changed_while_clients_are_at_work(calm, shop):
    calm.converge({**shop, "pgbouncer": {"settings": {"default_pool_size": 7}}})
    assert calm.console.settings()["default_pool_size"] == "7"


def test_a_setting_that_takes_a_restart_is_said_and_not_claimed(calm, shop):
    tree = {**shop, "pgbouncer": {"settings": {"listen_addr": "127.0.0.2", "default_pool_size": 7}}}
    for test in (True, False):
        state = calm.apply(tree, test)["pgbouncer.configured"]
        assert (state["result"], state["changes"]) == (False, {})
        assert "take a restart, which cuts every client: listen_addr is '127.0.0.1', not" in state["comment"]
    assert calm.console.settings()["default_pool_size"] == "20"


def test_a_misspelt_setting_is_named_before_the_restart_that_it_seems_to_take(node, shop):
    node.converge({**shop, "pgbouncer": {"settings": {"listen_addr": ""}}})
    node.start()
    said = node.refused({**shop, "pgbouncer": {"settings": {"listen_adr": ""}}})
    assert "did you mean 'listen_addr'?" in said


def test_what_takes_a_restart_is_there_after_one(running, shop):
    before, running.port = running.port, free_port()
    assert f"listen_port is '{before}', not '{running.port}'" in running.refused(shop)
    running.stop()
    running.converge(shop)
    running.start()
    assert running.query("select 1") == [(1,)]


def test_an_authority_that_did_not_sign_the_server_stays_out(calm, shop, tmp_path):
    tls.authority(tmp_path)
    shop["clusters"]["main"]["ca"] = (tmp_path / "ca.pem").read_text()
    assert "pool 'shop'" in calm.refused(shop)


def test_old_and_new_authority_may_stand_together(calm, shop, tmp_path):
    tls.authority(tmp_path)
    shop["clusters"]["main"]["ca"] += (tmp_path / "ca.pem").read_text()
    calm.converge(shop)


def test_a_hosted_server_changes_its_ca_under_clients_at_work(calm, shop, certify, tmp_path):
    new = tls.authority(tmp_path)
    shop["clusters"]["main"]["ca"] += new.cert_pem.bytes().decode()
    calm.converge(shop)
    certify(authority=new)
    calm.console.ask("RECONNECT")
    assert calm.query("select 1") == [(1,)]
    shop["clusters"]["main"]["ca"] = new.cert_pem.bytes().decode()
    calm.converge(shop)
    calm.console.ask("RECONNECT")
    assert calm.query("select 1") == [(1,)]


def test_a_name_that_is_not_in_the_certificate_stays_out(calm, shop):
    shop["clusters"]["main"]["host"] = "127.0.0.2"
    assert "pool 'shop'" in calm.refused(shop)


def test_a_server_without_tls_is_not_spoken_to(node, shop, cluster):
    with restarted(cluster.server, ssl="off"):
        assert "pool 'shop'" in node.refused(shop)
    node.converge(shop)


def test_nothing_changes_while_the_server_is_down(running, with_wiki, cluster):
    before = running.console.settings()["auth_file"]
    cluster.server.stop()
    said = running.refused(with_wiki)
    assert "pool 'wiki'" in said
    assert running.console.settings()["auth_file"] == before
    cluster.server.start()
    running.converge(with_wiki)


def test_a_pool_of_another_cluster_notices_nothing_of_a_server_that_is_down(running, two_clusters, cluster):
    running.converge(two_clusters)
    with running.steady_client("wiki", "wiki") as errors:
        cluster.server.stop()
        assert running.converge(two_clusters) == {}
        two_clusters["users"]["shop_app"]["password"] = "another"
        assert "pool 'shop'" in running.refused(two_clusters)
        cluster.server.start()
    assert errors == []


def test_a_reload_that_is_half_applied_is_taken_back(running, with_wiki, monkeypatch):
    """The file breaks between the trial and the RELOAD, which takes up what stands before that."""
    ask, broken = Console.ask, []

    def breaking(self, command):
        if command == "RELOAD" and not broken:
            ini = running.root / "etc/pgbouncer/live/pgbouncer.ini"
            broken.append(ini.write_text(ini.read_text().replace("\nlisten_addr", "\nnonsense\nlisten_addr")))
        return ask(self, command)

    before = running.console.settings()
    with monkeypatch.context() as patched, running.steady_client() as errors:
        patched.setattr(Console, "ask", breaking)
        assert "did not take up the new files, so the old ones are back" in running.refused(with_wiki)
    assert broken
    assert running.console.settings() == before
    assert errors == []
    running.converge(with_wiki)


def test_a_bouncer_that_was_killed_comes_back_with_what_is_wanted(running, with_wiki):
    running.stop()
    running.converge(with_wiki)
    running.start()
    assert running.query("select 1", "wiki", "wiki") == [(1,)]


WRONG = {
    "a password": lambda tree, server: tree["users"]["wiki"].update(password="not the one"),
    "a server": lambda tree, server: server.stop(),
    "a cluster": lambda tree, server: tree.pop("clusters"),
}


@pytest.mark.parametrize("wrong", WRONG)
def test_a_bouncer_that_was_killed_serves_the_old_files_where_pillar_is_wrong(
    running, with_wiki, cluster, wrong
):
    running.stop()
    WRONG[wrong](with_wiki, cluster.server)
    assert running.apply(with_wiki)["pgbouncer.configured"]["result"] is False
    running.start()
    cluster.server.start()
    assert running.query("select 1") == [(1,)]


def test_pgbouncer_is_started_after_its_pools_and_whatever_became_of_them(node, shop):
    whole = Minion(node.root / "whole", id=node.name)
    chunks = whole.call("state.show_low_sls", "pgbouncer", tree=shop)
    order = [f"{chunk['state']}.{chunk['fun']}" for chunk in chunks]
    assert order.index("pgbouncer.configured") < order.index("service.running")
    assert not chunks[order.index("service.running")].keys() & {"require", "watch", "onchanges", "listen"}


def test_a_reload_that_does_not_take_is_taken_back(running, shop, with_wiki, tmp_path):
    """This pgbouncer reads a file of its own, so that a reload leaves it as it was."""
    running.stop()
    ini = running.root / "own.ini"
    ini.write_text((running.root / "etc/pgbouncer/live/pgbouncer.ini").read_text())
    ini.chmod(0o644)
    running.start(str(ini))
    with running.steady_client() as errors:
        said = running.refused(with_wiki)
    assert errors == []
    assert "did not take up the new files, so the old ones are back" in said
    assert said.count("/generations/") == 2, "what it is on, and what it should be on"
    assert set(running.converge(shop)) == {"node_secret.present"}, "of the user that did not come"


def test_one_that_was_led_to_another_file_is_led_back(calm, shop, with_wiki):
    """As by a setting ``conffile``, which was taken once: no later reload was heeded."""
    for tree in (with_wiki, shop):
        calm.console.ask("SET conffile = '/etc/passwd'")
        calm.converge(tree)
        assert calm.console.settings()["conffile"] == f"{calm.paths.pgbouncer}/{INI}"
        assert ("wiki" in calm.console.databases()) is (tree is with_wiki)


def test_where_there_are_no_old_files_none_are_said_to_be_back(running, with_wiki):
    running.stop()
    ini = running.root / "own.ini"
    ini.write_text((running.root / "etc/pgbouncer/live/pgbouncer.ini").read_text())
    ini.chmod(0o644)
    (running.root / "etc/pgbouncer/live").unlink()
    running.start(str(ini))
    said = running.refused(with_wiki)
    assert "did not take up the new files, and goes on as it was until it is started again" in said


def test_a_bouncer_that_cannot_be_asked_is_not_taken_for_absent(running, shop):
    tree = {**shop, "pgbouncer": {"settings": {"default_pool_size": 7}}}
    running.bouncer.send_signal(signal.SIGSTOP)
    assert "pgbouncer did not take 'SHOW VERSION'" in running.refused(tree)
    running.bouncer.send_signal(signal.SIGCONT)
    running.converge(tree)
    assert running.console.settings()["default_pool_size"] == "7"


def test_a_bouncer_that_runs_elsewhere_is_not_taken_for_absent(running, shop):
    running.stop()
    ini, other = running.root / "own.ini", free_port()
    text = (running.root / "etc/pgbouncer/live/pgbouncer.ini").read_text()
    ini.write_text(text.replace(f"listen_port = {running.port}", f"listen_port = {other}"))
    ini.chmod(0o644)
    wanted, running.port = running.port, other
    running.start(str(ini))
    running.port = wanted
    assert f"a pgbouncer runs (process {running.bouncer.pid}) that does not listen in" in running.refused(
        shop
    )
    running.stop()
    assert running.converge(shop) == {}


def test_a_system_user_that_is_not_there_is_told(node):
    nobody = Console(node.paths.sockets, node.port, "nosuch")
    assert not nobody.is_up
    with pytest.raises(ClusterError, match="no system user 'nosuch'"):
        nobody.ask("SHOW VERSION")


def test_read_back_is_said_of_a_bouncer_that_runs_and_of_no_other(node, shop):
    said = node.apply(shop)["pgbouncer.configured"]["comment"]
    assert said.startswith("pgbouncer finds the pools that pillar wants when it starts")
    node.start()
    tree = {**shop, "pgbouncer": {"settings": {"default_pool_size": 7}}}
    assert node.apply(tree)["pgbouncer.configured"]["comment"].endswith("and read back")


def test_a_certificate_that_was_cut_is_told_by_its_place(node, shop):
    lines = shop["clusters"]["main"]["ca"].splitlines(keepends=True)
    shop["clusters"]["main"]["ca"] = "".join(lines[:3] + lines[5:])
    assert "postgresql:clusters:main:ca: this is no whole certificate" in node.refused(shop)


def test_a_value_that_pgbouncer_refuses_is_told_by_its_setting_and_no_file_that_is_gone(node, shop):
    said = node.refused({**shop, "pgbouncer": {"settings": {"pool_mode": "sometimes"}}})
    assert "setting 'pool_mode'" in said
    assert trial.PREFIX not in said


def test_a_switch_is_written_as_pgbouncer_reads_it(running, shop):
    running.converge({**shop, "pgbouncer": {"settings": {"log_stats": False}}})
    assert running.console.settings()["log_stats"] == "0"


def test_settings_of_somebody_else_are_kept_beside(node, shop):
    ini = Path(node.paths.pgbouncer, INI)
    ini.parent.mkdir(parents=True)
    ini.write_text("[databases]\nold = host=old.example.internal\n")
    kept = {INI: "as pgbouncer.ini.before-pgpillar"}
    assert node.apply(shop, test=True)["pgbouncer.configured"]["changes"]["kept"] == kept
    assert node.converge(shop)["pgbouncer.configured"]["kept"] == kept
    assert "old.example.internal" in ini.with_name("pgbouncer.ini.before-pgpillar").read_text()
    assert node.converge(shop) == {}


def test_settings_of_the_package_are_not_kept(own_etc, shop):
    ini = Path(own_etc.paths.pgbouncer, INI)
    assert package.is_untouched("pgbouncer", ini)
    assert "kept" not in own_etc.converge(shop)["pgbouncer.configured"]
    assert not package.is_untouched("pgbouncer", ini)
    assert not list(ini.parent.glob("*.before-pgpillar"))


def test_a_value_that_pgbouncer_shows_in_another_way_is_in_place(node, shop):
    tree = {**shop, "pgbouncer": {"settings": {"unix_socket_mode": "0770"}}}
    node.converge(tree)
    node.start()
    assert node.converge(tree) == {}
    tree["pgbouncer"]["settings"]["server_check_query"] = "select 1; "
    node.converge(tree)
    assert node.converge(tree) == {}
    tree["pgbouncer"]["settings"]["unix_socket_mode"] = "0777"
    assert "take a restart" in node.refused(tree)


def test_statement_mode_is_put_in_place(running, shop):
    running.converge({**shop, "pgbouncer": {"settings": {"pool_mode": "statement"}}})
    assert running.console.settings()["pool_mode"] == "statement"
    assert running.query("select 1") == [(1,)]


def test_files_that_somebody_changed_are_mended(running, shop):
    file = running.root / "etc/pgbouncer/live/userlist.txt"
    file.chmod(0o644)
    assert running.converge(shop)["pgbouncer.configured"] == {"files": {str(file): "mode 0644 → 0640"}}
    file.write_text("")
    running.converge(shop)
    assert running.query("select 1") == [(1,)]


@pytest.mark.parametrize("garbage", [bytes(range(256)), b"[pgbouncer]\nlisten_port = many\n"])
def test_garbage_in_the_live_files_is_mended(running, shop, garbage):
    (running.root / "etc/pgbouncer/live/pgbouncer.ini").write_bytes(garbage)
    assert running.converge(shop)["pgbouncer.configured"]
    assert running.query("select 1") == [(1,)]
    assert running.converge(shop) == {}


def test_a_file_that_is_not_there_is_told(running, shop):
    del shop["clusters"]["main"]["ca"]
    shop["clusters"]["main"]["ca_file"] = "/nowhere/ca.pem"
    said = running.refused(shop)
    assert said.startswith("pgbouncer is left as it was: postgresql:clusters:main:ca_file: ")
    assert "No such file or directory: '/nowhere/ca.pem'" in said


def test_a_full_disk_leaves_what_there_was(calm, shop, monkeypatch):
    tree = {**shop, "pgbouncer": {"settings": {"default_pool_size": 7}}}

    def full(_):
        raise OSError(28, "No space left on device")

    with monkeypatch.context() as patched:
        patched.setattr("os.fsync", full)
        assert "No space left on device" in calm.refused(tree)
    assert calm.console.settings()["default_pool_size"] == "20"
    calm.converge(tree)


PASSWORDS = [
    "it's",
    'say "x"',
    "back\\slash",
    "100%",
    "a:b;c#d",
    " spaces ",
    "sümmer ☀",
    "{}$`$(x)",
    "=" * 200,
]


@pytest.mark.parametrize("password", PASSWORDS)
def test_any_password_passes_through_a_pool(node, cluster, shop, password):
    tree = {"databases": {"shop": "shop"}, "users": {"shop": {"password": password}}}
    cluster.converge(**tree)
    node.converge({**shop, **tree})
    node.start()
    assert node.query("select current_user", "shop", "shop") == [("shop",)]


HOSTILE = [
    "-",
    ".",
    "..",
    "...",
    "-v",
    "_",
    "0",
    "1e9",
    "a.b-c_D",
    "all",
    "host",
    "live",
    "sameuser",
    "x" * 63,
]


def test_hostile_names_of_pools_each_lead_to_their_own(node, shop, cluster):
    """And each lets in its own user alone, whatever word of pgbouncer's rules it is called by."""
    shop["users"]["wiki"] = {"password": cluster.passwords["wiki"]}
    shop["pools"] = {name: {"database": "shop", "user": "shop_app", "size": 1} for name in HOSTILE}
    node.converge(shop)
    node.start()
    assert {node.query("select current_user", name)[0] for name in HOSTILE} == {("shop_app",)}
    assert node.query("select current_user", "wiki", "wiki") == [("wiki",)]
    for name, user in [("wiki", "shop_app"), *((name, "wiki") for name in HOSTILE)]:
        with pytest.raises(psycopg2.OperationalError):
            node.query("select 1", name, user)
    assert node.converge(shop) == {}


@pytest.mark.parametrize("user", ["all", "@include", "+group", 'say "x"', "sameuser", "replication"])
def test_hostile_names_of_users_get_into_their_own_pool_alone(node, shop, cluster, user):
    users = {user: {}, "wiki": {}}
    databases = {"wiki": "wiki", "shop": user}
    cluster.converge(databases=databases, users=users)
    node.converge({**shop, **cluster.tree(databases=databases, users=users, clusters=shop["clusters"])})
    node.start()
    assert node.query("select current_user", "shop", user) == [(user,)]
    for name, other in (("shop", "wiki"), ("wiki", user)):
        with pytest.raises(psycopg2.OperationalError):
            node.query("select 1", name, other)
