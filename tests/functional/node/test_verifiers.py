"""This node's passwords in pgbouncer's list of users: verifiers where it can use them, else plain text."""

import re
from pathlib import Path

import psycopg2
import pytest

from pgpillar import scram, trial
from pgpillar.pgbouncer import FILES, INI, USERLIST
from tests.functional.node.conftest import USER

pytestmark = pytest.mark.every_pgbouncer("14")
FIRST_WITH_VERIFIERS = (1, 26)
INSTALLED = trial.PROGRAM


def live(node, name):
    return (node.root / "etc/pgbouncer/live" / name).read_text()


def logs_in_by_verifier(node):
    """Tried on the live files, apart from the code that decides it."""
    password = node.secret("shop_app")

    def texts(place):
        ini = re.sub("^(unix_socket_dir|logfile|pidfile|listen_port) .*\n", "", live(node, INI), flags=re.M)
        own = f"unix_socket_dir = {place.sockets}\nlogfile = {place.log}\nlisten_port = 6432\n"
        ini = ini.replace("listen_addr = 127.0.0.1", "listen_addr =").replace("auth_file = ", "#")
        own += f"auth_file = {place.files}/{USERLIST}\nquery_wait_timeout = 3\n"
        others = {name: live(node, name) for name in FILES}
        return {**others, INI: ini + own, USERLIST: f'"shop_app" "{scram.verifier(password)}"\n'}

    with trial.instance(texts, USER) as scratch:
        where = {"host": str(scratch.directory), "port": 6432, "dbname": "shop", "user": "shop_app"}
        try:
            psycopg2.connect(**where, password=password).close()
        except psycopg2.OperationalError:
            return False
        return True


def test_a_password_stands_in_plain_text_only_where_a_verifier_does_not_work(running, pgbouncer):
    can = pgbouncer >= FIRST_WITH_VERIFIERS
    assert logs_in_by_verifier(running) is can
    assert ("SCRAM-SHA-256$" in live(running, USERLIST)) is can
    assert (running.secret("shop_app") in live(running, USERLIST)) is not can


def test_users_come_change_and_go_whatever_the_list_holds(running, shop, with_wiki):
    running.converge(with_wiki)
    assert running.query("select current_user", "wiki", "wiki") == [("wiki",)]
    before = running.secret("shop_app")
    (Path(running.paths.secrets) / "shop_app").unlink()
    running.converge(with_wiki)
    with pytest.raises(psycopg2.OperationalError, match=r"(password|SASL) authentication failed"):
        running.query("select 1", password=before)
    assert running.query("select 1") == [(1,)]
    assert running.converge(with_wiki) == {}
    running.converge(shop)
    assert '"wiki"' not in live(running, USERLIST)


def test_an_upgraded_pgbouncer_serves_the_old_list_and_is_given_its_own_with_the_next_change(
    node, shop, with_wiki, pgbouncer, monkeypatch
):
    with monkeypatch.context() as before:
        before.setattr(trial, "PROGRAM", INSTALLED)
        node.converge(shop)
    node.start()
    assert node.query("select 1") == [(1,)]
    assert node.converge(shop) == {}
    node.converge(with_wiki)
    assert node.query("select 1") == node.query("select 1", "wiki", "wiki") == [(1,)]
    assert ("SCRAM-SHA-256$" in live(node, USERLIST)) is (pgbouncer >= FIRST_WITH_VERIFIERS)
