"""Days on which the server answers, and something on it stands in the way."""

import re

import pytest

from devtools.postgres import wait_for
from tests.functional.minions import restarted

ONE_SECOND = {"lock_timeout": 1, "wait_for_others": 1}


@pytest.fixture
def hasty(cluster):
    """The cluster, where nobody waits for longer than a second."""
    cluster.endpoint.update(ONE_SECOND)
    return cluster


def test_a_server_that_is_set_read_only(day, server):
    with restarted(server, default_transaction_read_only="on"):
        foretold = day.apply(test=True)
        assert foretold.result is None
        failed = day.fails("read-only", "is it a replica, or set default_transaction_read_only?")
        assert failed.changes == {}
    assert day.heals().lines == foretold.lines


def test_a_standby(day, server):
    server.stop()
    signal = server.data / "standby.signal"
    signal.touch()
    server.start()
    try:
        assert day.fails("read-only", "is it a replica").changes == {}
    finally:
        server.stop()
        signal.unlink()
        server.start()
    day.heals()


def test_a_standby_that_is_waited_for_and_gone(day, server):
    day.cluster.endpoint["statement_timeout"] = 2  # without which it would wait for ever
    with restarted(server, synchronous_standby_names="*", synchronous_commit="on"):
        before = len(server.log.read_text())
        day.declare()
        day.heals()
        assert "synchronous replication" not in server.log.read_text()[before:]


def test_a_missing_extension(day):
    day.declare(databases={"shop": {"owner": "shop", "extensions": ["citext", "no_such"]}, "wiki": "shop"})
    path = "postgresql:databases:shop:extensions:no_such"
    day.refuses_shop(
        "the server has no extension 'no_such'", path, "install its package there, or take it out"
    )
    day.declare()
    day.heals()


def test_a_missing_version_of_an_extension(day):
    day.declare(databases={"shop": {"owner": "shop", "extensions": {"citext": "99"}}, "wiki": "shop"})
    day.refuses_shop("no version 99 of extension 'citext'", "it has 1.")
    day.declare()
    day.heals()


def test_a_missing_bootstrap(day):
    day.declare(databases={"shop": {"owner": "shop", "bootstrap": "salt://nowhere.sql"}, "wiki": "shop"})
    day.refuses_shop("salt://nowhere.sql is not there", "postgresql:databases:shop:bootstrap")
    day.minion.script("nowhere.sql", "create table found ()")
    day.heals()


def test_somebody_holds_a_table_whose_grants_must_change(day, hasty, session):
    day.declare()
    day.heals()
    hasty.query("create table orders ()", user="shop", dbname="shop")
    hasty.query("revoke select on orders from analyst", dbname="shop")
    somebody = session("shop", autocommit=False)
    somebody.run("grant select on orders to pg_monitor")
    pid = somebody.session.info.backend_pid
    failed = day.fails(
        "database 'shop': grant SELECT on table orders",
        f"the holder may be backend {pid} of 'postgres'",
        "idle in trans",
    )
    assert failed.changes == {}
    somebody.session.rollback()
    assert day.heals().changes == {
        "databases": {"shop": ["grant SELECT on table orders in schema public to analyst"]}
    }


def test_whoever_holds_the_lock_is_named_and_nobody_of_ours(day, hasty, session):
    day.declare()
    day.heals()
    hasty.query("create table orders ()", user="shop", dbname="shop")
    hasty.query("revoke select on orders from analyst", dbname="shop")
    somebody = session("shop", autocommit=False)
    somebody.run("set application_name = 'night batch'")
    somebody.run("lock table orders in access share mode; grant select on orders to pg_monitor")
    backend = somebody.session.info.backend_pid
    failed = day.fails("database 'shop': grant SELECT on table orders")
    (suspects,) = re.findall(r"the holder may be (.*)", failed.comment)
    assert re.fullmatch(
        rf"backend {backend} of 'postgres' in database 'shop' \(night batch, idle in transaction,"
        r" in a transaction since \d{4}-\d\d-\d\d \d\d:\d\d:\d\d UTC\)",
        suspects,
    )
    somebody.session.rollback()
    day.heals()


def test_somebody_holds_a_table_whose_owner_must_change(day, hasty, session):
    day.declare()
    day.heals()
    hasty.query("create table reporting.sums ()", user="shop", dbname="shop")
    reader = session("shop", autocommit=False)
    reader.run("select from reporting.sums")
    day.declare(databases={"shop": {"owner": "shop", "schemas": {"reporting": "app"}}})
    pid = reader.session.info.backend_pid
    day.fails(
        "table reporting.sums owner: shop → app", "somebody holds a lock", f"backend {pid} of 'postgres'"
    )
    reader.session.rollback()
    day.heals()


def test_somebody_holds_a_role(day, hasty, session):
    day.declare()
    day.heals()
    somebody = session(autocommit=False)
    somebody.run("alter role app connection limit 7")
    day.declare(users={"shop": {}, "app": {"connection_limit": 9}, "analyst": {}})
    pid = somebody.session.info.backend_pid
    failed = day.fails(
        "- role 'app': set connection limit 9", "somebody holds a lock", f"backend {pid} of 'postgres'"
    )
    assert failed.changes == {}
    somebody.session.rollback()
    day.heals()


def test_somebody_elsewhere_holds_a_database(day, hasty, session):
    day.declare()
    day.heals()
    somebody = session(autocommit=False)
    somebody.run("alter database shop connection limit 7")
    day.declare(databases={"shop": {"owner": "shop", "connection_limit": 9}})
    day.fails("connection limit 9", f"backend {somebody.session.info.backend_pid} of 'postgres'")
    somebody.session.rollback()
    day.heals()


def test_another_run_takes_too_long(day, hasty, watcher, session):
    other = session(autocommit=False)
    other.run("set application_name = 'pgpillar on db-admin-2'")
    other.run("alter role current_user set application_name to 'any'")
    day.declare()
    pid = other.session.info.backend_pid
    failed = day.fails("for more than 1 s", f"(pgpillar on db-admin-2, user 'postgres', backend {pid})")
    assert failed.changes == {}
    assert day.apply(test=True).result is None, "looking needs no lock"
    other.session.close()
    wait_for(
        lambda: not watcher.rows("select 1 from pg_stat_activity where pid = %s", pid), "it does not end"
    )
    day.heals()


def test_one_database_fails_while_the_others_converge(day):
    script = day.minion.script("broken.sql", "create table kept (); select 1 / 0;")
    shop = day.tree["databases"]["shop"]
    day.declare(databases={"forum": "shop", "shop": {**shop, "bootstrap": script}, "wiki": "shop"})
    foretold = day.apply(test=True)
    failed = day.fails(
        "running it again goes on from there:\n",
        "- database 'shop': salt://broken.sql failed and left nothing behind: division by zero",
    )
    assert "forum" not in failed.comment
    assert "wiki" not in failed.comment
    assert day.cluster.query("select to_regclass('kept')", dbname="shop") == [(None,)]
    last = ["grant CONNECT on the database to analyst, app", f"run {script} as shop", "mark as finished"]
    assert {*failed.changes["databases"]["shop"], *last} == {*foretold.changes["databases"]["shop"]}
    day.minion.script("broken.sql", "create table kept ()")
    healed = day.heals(done=failed.lines)
    assert healed.changes == {"databases": {"shop": last}}
    assert failed.lines | healed.lines == foretold.lines


def test_a_statement_that_takes_too_long(day, hasty, session):
    hasty.endpoint.update(statement_timeout=1, lock_timeout=30)
    somebody = session(autocommit=False)
    somebody.run("lock table pg_authid in share mode")
    day.declare()
    failed = day.fails("roles: role 'analyst': create user", "it took too long; raise statement_timeout")
    assert failed.changes == {}
    somebody.session.rollback()
    hasty.endpoint.update(statement_timeout=600)
    day.declare()
    day.heals()


def test_a_server_that_ends_idle_sessions(day, server):
    """While a script runs, all other connections of the run are idle for longer than the server allows."""
    script = day.minion.script("slow.sql", "select pg_sleep_for('1 s'); create table kept ()")
    day.declare(databases={"shop": {**day.tree["databases"]["shop"], "bootstrap": script}, "wiki": "shop"})
    with restarted(server, idle_session_timeout="300ms"):
        day.heals()
