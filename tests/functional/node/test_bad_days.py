"""What does not work is never put in place, and clients of the pools that work notice nothing."""

import copy
import re

import psycopg2
import pytest

from devtools import tls
from devtools.postgres import HBA
from pgpillar import pgbouncer, scram, trial
from pgpillar.pgbouncer import INI, USERLIST
from tests.functional.conftest import HOST
from tests.functional.minions import restarted
from tests.functional.node.conftest import USER


@pytest.fixture
def calm(running):
    """A node at work, whose client must see no error whatever the test does."""
    with running.steady_client() as errors:
        yield running
    assert errors == []


@pytest.fixture
def with_wiki(shop, cluster):
    """The pillar once the node has a second user."""
    tree = copy.deepcopy(shop)
    tree["users"]["wiki"] = {"password": cluster.passwords["wiki"]}
    return tree


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
    said = calm.refused({**shop, "pgbouncer": {"settings": {"defualt_pool_size": 5}}})
    assert "defualt_pool_size: did you mean 'default_pool_size'?" in said


def test_a_value_that_pgbouncer_refuses_stays_out(calm, shop):
    said = calm.refused({**shop, "pgbouncer": {"settings": {"pool_mode": "sometimes"}}})
    assert "pool_mode" in said


def test_a_setting_that_keeps_pgbouncer_from_the_server_is_told_by_its_log(calm, shop):
    said = calm.refused({**shop, "pgbouncer": {"settings": {"server_tls_protocols": "tlsv1.0"}}})
    assert re.search(r"came no further than: .* at 127.0.0.1:.*TLS handshake error", said)


def test_a_setting_is_changed_while_clients_are_at_work(calm, shop):
    calm.converge({**shop, "pgbouncer": {"settings": {"default_pool_size": 7}}})
    assert calm.console.settings()["default_pool_size"] == "7"


def test_an_authority_that_did_not_sign_the_server_stays_out(calm, shop, tmp_path):
    tls.authority(tmp_path)
    shop["clusters"]["main"]["ca"] = (tmp_path / "ca.pem").read_text()
    assert "pool 'shop'" in calm.refused(shop)


def test_old_and_new_authority_may_stand_together(calm, shop, tmp_path):
    tls.authority(tmp_path)
    shop["clusters"]["main"]["ca"] += (tmp_path / "ca.pem").read_text()
    calm.converge(shop)


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


def test_a_bouncer_that_was_killed_comes_back_with_what_is_wanted(running, with_wiki):
    running.stop()
    running.converge(with_wiki)
    running.start()
    assert running.query("select 1", "wiki", "wiki") == [(1,)]


def test_a_reload_that_does_not_take_is_taken_back(running, shop, with_wiki, tmp_path):
    """This pgbouncer reads a file of its own, so that a reload leaves it as it was."""
    running.stop()
    ini = running.root / "own.ini"
    ini.write_text((running.root / "etc/pgbouncer/live/pgbouncer.ini").read_text())
    ini.chmod(0o644)
    running.start(str(ini))
    said = running.refused(with_wiki)
    assert "did not take up the new files, so the old ones are back" in said
    assert "auth_file" in said
    assert running.query("select 1") == [(1,)]
    assert running.converge(shop) == {}


def test_files_that_somebody_changed_are_mended(running, shop):
    file = running.root / "etc/pgbouncer/live/userlist.txt"
    file.chmod(0o644)
    assert running.converge(shop)["pgbouncer.configured"] == {"files": "mended"}
    file.write_text("")
    running.converge(shop)
    assert running.query("select 1") == [(1,)]


def test_a_file_that_is_not_there_is_told(running, shop):
    del shop["clusters"]["main"]["ca"]
    shop["clusters"]["main"]["ca_file"] = "/nowhere/ca.pem"
    said = running.refused(shop)
    assert said.startswith("pgbouncer goes on as it was: ")
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


@pytest.fixture
def led(own_etc, shop):
    """A node whose hosts file alone knows the server's name; gives that file."""
    file = own_etc.root / "etc/hosts"
    file.write_text("127.0.0.1 localhost\n")
    shop["clusters"]["main"] |= {"host": HOST, "hostaddr": "127.0.0.1"}
    assert own_etc.converge(shop)["pgbouncer.configured"]["addresses"] == {HOST: "new"}
    own_etc.start()
    return file


LED = f"# pgpillar: begin\n127.0.0.1 {HOST}\n# pgpillar: end\n127.0.0.1 localhost\n"


def test_an_address_to_dial_stands_in_the_hosts_file(led, node, shop):
    assert led.read_text() == LED
    assert node.query("select ssl from pg_stat_ssl where pid = pg_backend_pid()") == [(True,)]
    assert node.converge(shop) == {}


def test_an_address_where_no_server_is_stays_out(led, node, shop):
    shop["clusters"]["main"]["hostaddr"] = "127.0.0.9"
    assert "pool 'shop'" in node.refused(shop)
    assert led.read_text() == LED


@pytest.fixture
def twofold(cluster):
    """A second address of the server."""
    cluster.server.hba((*HBA, "hostssl all all 127.0.0.2/32 scram-sha-256"))
    with restarted(cluster.server, listen_addresses="127.0.0.1,127.0.0.2"):
        yield "127.0.0.2"
    cluster.server.hba()


def test_an_address_goes_back_with_what_it_came_with(led, twofold, node, shop):
    """The server is there as well, and the setting beside it does not work."""
    shop["clusters"]["main"]["hostaddr"] = twofold
    shop["pgbouncer"] = {"settings": {"pool_mode": "sometimes"}}
    assert "pool_mode" in node.refused(shop)
    assert led.read_text() == LED


def test_a_name_that_needs_no_address_any_more_is_left_to_others(led, node, shop):
    others = f"127.0.0.1 localhost {HOST}\n"
    led.write_text(LED.replace("127.0.0.1 localhost\n", others))
    del shop["clusters"]["main"]["hostaddr"]
    assert node.converge(shop)["pgbouncer.configured"] == {"addresses": {HOST: "gone"}}
    assert led.read_text() == others
    assert node.query("select 1") == [(1,)]


def test_an_address_of_a_name_that_refuses_is_told(own_etc, shop):
    """pgbouncer 1.18 goes on to the next address by itself; 1.24 does not."""
    (own_etc.root / "etc/hosts").write_text(f"127.0.0.9 {HOST}\n127.0.0.1 {HOST}\n")
    shop["clusters"]["main"]["host"] = HOST
    port = shop["clusters"]["main"]["port"]
    state = own_etc.apply(shop)["pgbouncer.configured"]
    told = f"pool 'shop': pgbouncer came no further than: connect failed at 127.0.0.9:{port}; "
    assert state["result"] or told in state["comment"]


def test_a_password_stands_in_plain_text_only_where_a_verifier_does_not_work(running):
    """Tried here on the live files, apart from the code that decides it."""
    live = {name: (running.root / "etc/pgbouncer/live" / name).read_text() for name in pgbouncer.FILES}
    password = running.secret("shop_app")
    in_plain_text = password in live[USERLIST]

    def texts(place):
        ini = re.sub("^(unix_socket_dir|logfile|pidfile|listen_port) .*\n", "", live[INI], flags=re.M)
        own = f"unix_socket_dir = {place.sockets}\nlogfile = {place.log}\nlisten_port = 6432\n"
        ini = ini.replace("listen_addr = 127.0.0.1", "listen_addr =").replace("auth_file = ", "#")
        own += f"auth_file = {place.files}/{USERLIST}\nquery_wait_timeout = 3\n"
        return {INI: ini + own, USERLIST: f'"shop_app" "{scram.verifier(password)}"\n'}

    with trial.instance(texts, USER) as scratch:
        where = {"host": str(scratch.directory), "port": 6432, "dbname": "shop", "user": "shop_app"}
        try:
            psycopg2.connect(**where, password=password).close()
        except psycopg2.OperationalError:
            assert in_plain_text
        else:
            assert not in_plain_text


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
