"""A login role that pillar does not name, with CONNECT at most: what it does concerns itself alone."""

import contextlib
import itertools

import psycopg2
import pytest

from devtools.postgres import wait_for
from tests.hostile.limits import superuser_alone
from tests.hostile.planted import SHADOWS
from tests.hostile.scene import LATIN, trap

UNREADABLE = ['a"b', '"open', "public,", ",,", "a\nb", "\x01"]


# Settings


@pytest.mark.parametrize("name", ["search_path", "temp_tablespaces", "local_preload_libraries"])
def test_a_list_that_is_none_stops_nobody(scene, name):
    scene.begins()
    scene.stranger("shop")
    places = [f"in database {it}" for it in ("shop", "books", "wiki", scene.admin_database, "template1")] + [
        ""
    ]
    with scene.session("stranger", scene.admin_database) as session, session.cursor() as cursor:
        session.autocommit = True
        for where, value in zip(places, UNREADABLE, strict=True):
            with contextlib.suppress(psycopg2.DataError, psycopg2.ProgrammingError):
                cursor.execute("select set_config(%s, %s, false)", [name, value])
            cursor.execute(f"alter role stranger {where} set {name} from current")
    assert scene.withstands().failures == {}


def test_a_setting_in_the_bytes_of_another_encoding_stops_nobody(scene):
    scene.begins()
    scene.stranger("shop", LATIN)
    with (
        scene.session("stranger", LATIN, client_encoding="LATIN1") as session,
        session.cursor() as cursor,
    ):
        session.autocommit = True
        cursor.execute("set search_path = 'käse'; set application_name = 'né'")
        for database in ("shop", "books", scene.admin_database):
            cursor.execute(f"alter role stranger in database {database} set search_path from current")
            cursor.execute(f"alter role stranger in database {database} set application_name from current")
        cursor.execute("alter role stranger set search_path from current")
    assert scene.withstands().failures == {}


def test_names_in_the_bytes_of_another_encoding_stop_nobody(scene):
    """A role and a database that no UTF-8 client can read, with a right in a declared database."""
    scene.begins()
    scene.stranger("shop", LATIN, options="createrole createdb")
    with (
        scene.session("stranger", LATIN, client_encoding="LATIN1") as session,
        session.cursor() as cursor,
    ):
        session.autocommit = True
        cursor.execute('create role "gérard" login')
        cursor.execute("create database \"cáfe\" encoding 'LATIN1' locale 'C' template template0")
    scene.founder('grant connect on database shop to "gérard"', LATIN, client_encoding="LATIN1")
    scene.founder('grant amy to "gérard"', LATIN, client_encoding="LATIN1")
    assert scene.withstands().failures == {}


def test_settings_of_a_stranger_that_look_like_pgpillars_stop_nobody(scene):
    scene.begins()
    scene.stranger("shop")
    for setting in ("application_name = 'pgpillar'", "role = 'stranger'"):
        scene.sql(f"alter role stranger set {setting}", "stranger", scene.admin_database)
        scene.sql(f"alter role stranger in database shop set {setting}", "stranger", scene.admin_database)
    assert scene.withstands().failures == {}


# Locks

KEYS = ["1886876777, 1819042162", "8104074066839892338", "0", "1, 1", "0, 0"]


def test_advisory_locks_stop_nobody(scene):
    """All keys that pgpillar might use, in all databases that a stranger enters."""
    scene.begins()
    scene.stranger("shop")
    locks = [f"select pg_advisory_lock({key})" for key in KEYS]
    with (
        scene.holding(*locks, user="stranger", dbname=scene.admin_database),
        scene.holding(*locks, user="stranger", dbname="shop"),
        scene.holding(*locks, user="stranger", dbname="template1"),
    ):
        assert scene.endures(where="").failures == {}
    scene.heals()


def test_an_advisory_lock_of_any_key_stops_nobody(scene):
    """It takes whichever keys it sees pgpillar take, and waits for them in line."""
    scene.begins()
    scene.stranger("shop")
    taking = """
        select pg_try_advisory_lock(((classid::bigint << 32) | objid::bigint)),
            pg_try_advisory_lock_shared(classid::int, objid::int)
        from pg_locks where locktype = 'advisory' and objid < 2147483648"""
    with scene.session("stranger", scene.admin_database) as session, session.cursor() as cursor:
        session.autocommit = True
        with scene.repeating(lambda: cursor.execute(taking)):
            for _ in range(3):
                assert scene.endures(where="").failures == {}
    scene.heals()


def test_locks_on_all_that_a_stranger_may_lock_stop_nobody(scene):
    """ACCESS SHARE on every catalog that it may read, and on every advisory key of a small range."""
    scene.begins()
    scene.stranger("shop")
    locking = """
        do $do$ declare one name; begin
            for one in select relname from pg_class where relnamespace = 'pg_catalog'::regnamespace
                and relkind = 'r' and has_table_privilege(oid, 'select') loop
                execute format('lock table pg_catalog.%I in access share mode', one);
            end loop; end $do$"""
    with (
        scene.holding(locking, user="stranger", dbname=scene.admin_database),
        scene.holding(locking, user="stranger", dbname="shop"),
    ):
        assert scene.endures(access={"app": "read"}).failures == {}
    scene.heals(access={"app": "read"})


MODES = ("access exclusive", "exclusive", "share row exclusive", "share", "row exclusive")
CATALOGS = ("pg_database", "pg_authid", "pg_auth_members", "pg_db_role_setting", "pg_shdepend", "pg_class")


def test_a_stranger_gets_no_lock_on_a_catalog_that_stops_anybody(scene):
    scene.begins()
    scene.stranger("shop")
    with scene.session("stranger", scene.admin_database) as session, session.cursor() as cursor:
        for mode, catalog in itertools.product(MODES, CATALOGS):
            cursor.execute("savepoint one")
            try:
                cursor.execute(f"lock table pg_catalog.{catalog} in {mode} mode")
            except psycopg2.errors.InsufficientPrivilege:
                cursor.execute("rollback to one")
        assert scene.endures(where="").failures == {}
    scene.heals()


def test_a_setting_that_is_not_committed_stops_nobody(scene):
    scene.begins()
    scene.stranger("shop")
    statements = [
        f"alter role stranger in database {name} set work_mem = '1MB'" for name in ("shop", "books")
    ]
    with scene.holding(
        "alter role stranger set work_mem = '1MB'", *statements, user="stranger", dbname=scene.admin_database
    ):
        assert scene.endures(access={"app": "read"}).failures == {}
    scene.heals(access={"app": "read"})


def test_an_old_transaction_stops_nobody(scene):
    scene.begins()
    scene.stranger("shop")
    with scene.session("stranger", "shop") as session, session.cursor() as cursor:
        session.set_session(isolation_level="SERIALIZABLE")
        cursor.execute("select count(*) from pg_class, pg_proc limit 1")
        assert scene.endures(access={"app": "read"}).failures == {}
    scene.heals(access={"app": "read"})


def test_sessions_that_wait_for_notifications_stop_nobody(scene):
    scene.begins()
    scene.stranger("shop")
    with scene.holding("listen pgpillar", "notify pgpillar", user="stranger", dbname=scene.admin_database):
        assert scene.endures(where="").failures == {}
    scene.heals()


@pytest.mark.usefixtures("dumper")
def test_a_setting_that_is_not_committed_names_who_keeps_a_database_from_going(scene):
    scene.begins()
    scene.stranger()
    scene.heals(state="quarantined")
    with scene.holding(
        "alter role stranger in database shop set work_mem = '1MB'",
        user="stranger",
        dbname=scene.admin_database,
    ):
        scene.fails(naming=["shop", "stranger"], state="absent")
    scene.heals(state="absent")


# The template and the admin's database


def test_a_session_in_the_template_keeps_no_database_from_being_made(scene):
    scene.begins()
    scene.stranger()
    more = {"stock": "carol"}
    with scene.holding("select 1", user="stranger", dbname="template1"):
        scene.endures(where="database 'stock'", naming=["template1", "stranger"], databases=more)
    scene.heals(databases=more)


def test_sessions_that_return_to_the_template_keep_no_database_from_being_made(scene):
    scene.begins()
    scene.stranger()
    more = {f"stock{n}": "carol" for n in range(5)}
    with scene.repeating(lambda: scene.sql("select pg_sleep(0.2)", "stranger", "template1")):
        scene.drift()
        failures = scene.cluster.attempt(**scene.pillar(databases=more)).failures
        scene.bystanders_converged()
    assert {where.partition(" ")[0] for where in failures} <= {"database"}
    assert all("template1" in message for message in failures.values())
    scene.heals(databases=more)


POLLUTION = """;
    create table pg_class (id int); create table orders (id int); create view pg_roles as select trap();
    create function pg_get_userbyid(oid) returns name language sql as 'select ''x''::name';
    create operator === (leftarg = int, rightarg = int, function = int4eq);
    create collation mine (locale = "C"); select lo_create(4711);
    create type mine as enum ('a')"""


@superuser_alone
def test_what_a_stranger_put_into_the_template_runs_as_nobody_else(scene):
    """Before 15, PUBLIC may create in the template's schema public; later somebody has to have let it."""
    scene.begins()
    scene.stranger()
    if scene.major >= 15:
        scene.founder("grant create on schema public to stranger", "template1")
    scene.sql(trap() + POLLUTION, "stranger", "template1")
    try:
        more = {"stock": {"owner": "carol", "access": {"app": "read"}, "extensions": ["citext"]}}
        scene.endures(where="database 'stock'", naming=["stock"], databases=more)
        scene.heals(databases=more)
    finally:
        scene.founder("drop owned by stranger", "template1")
        if scene.major >= 15:
            scene.founder("revoke create on schema public from stranger", "template1")


def test_what_a_stranger_put_into_the_admins_database_runs_as_nobody_else(scene):
    scene.begins()
    scene.stranger()
    if scene.major >= 15:
        scene.founder("grant create on schema public to stranger", scene.admin_database)
    scene.sql(trap() + SHADOWS, "stranger", scene.admin_database)
    for name in ("pg_database", "pg_roles", "pg_locks", "pg_stat_activity"):
        scene.sql(
            f"create view public.{name} as select * from pg_catalog.{name} where public.trap()",
            "stranger",
            scene.admin_database,
        )
    assert scene.withstands(access={"app": "read"}).failures == {}


def test_temporary_objects_in_the_admins_database_run_as_nobody_else(scene):
    scene.begins()
    scene.stranger()
    statements = ["create temp table pg_database (id int)", "create temp view pg_roles as select 1 as one"]
    with scene.holding(*statements, user="stranger", dbname=scene.admin_database):
        assert scene.endures(where="").failures == {}
    scene.heals()


# Between CREATE DATABASE and the closing of it


def test_a_stranger_gets_into_no_database_while_it_is_made(scene):
    scene.begins()
    scene.stranger()
    names = [f"stock{n}" for n in range(8)]
    inside = []

    def get_in():
        for name in names:
            with contextlib.suppress(psycopg2.OperationalError), scene.session("stranger", name) as session:
                session.autocommit = True
                inside.append(name)
                with session.cursor() as cursor:
                    cursor.execute("create table public.mine (id int)")

    with scene.repeating(get_in), scene.repeating(get_in):
        assert scene.cluster.attempt(**scene.pillar(databases=dict.fromkeys(names, "carol"))).failures == {}
    assert inside == []
    scene.heals(databases=dict.fromkeys(names, "carol"))


# Connections


@superuser_alone
def test_connections_that_fill_the_server_stop_no_superuser(scene):
    scene.begins()
    scene.stranger()
    with contextlib.ExitStack() as stack:
        with contextlib.suppress(psycopg2.OperationalError):
            while True:
                stack.enter_context(scene.session("stranger", scene.admin_database))
        assert scene.endures(where="", access={"app": "read"}).failures == {}
    scene.heals(access={"app": "read"})


def test_connections_that_fill_a_database_stop_nobody(scene):
    scene.begins(connection_limit=2)
    scene.stranger("shop")
    with (
        scene.holding("select 1", user="stranger"),
        scene.holding("select 1", user="stranger"),
    ):
        scene.endures(naming=["shop"], connection_limit=3, access={"app": "read"})
    scene.heals(connection_limit=3, access={"app": "read"})


# What an undeclared role has is left to it


def test_what_a_stranger_has_in_a_declared_database_is_left_and_listed(scene):
    scene.begins()
    scene.stranger("shop")
    scene.founder("grant create, usage on schema public to stranger")
    scene.sql(trap() + "; create table theirs (id int)", "stranger", "shop")
    scene.withstands(owner="carol", access={"app": "read"})
    assert "theirs" in str(scene.unmanaged(owner="carol", access={"app": "read"}))
    assert scene.founder("select tableowner from pg_tables where tablename = 'theirs'") == [("stranger",)]


def test_the_plan_names_what_a_stranger_loses_with_a_declared_role(scene):
    scene.begins()
    scene.stranger("shop")
    scene.sql("create table orders (id int); grant select on orders to app with grant option")
    scene.sql("grant select on orders to stranger", "app")
    foretold = str(scene.cluster.preview(**scene.pillar()))
    assert "stranger" in foretold
    scene.endures()
    scene.heals()


def test_the_plan_names_what_a_stranger_loses_with_a_membership(scene):
    scene.begins(groups={"team": {}})
    scene.stranger("shop")
    scene.founder("grant team to app with admin option", "postgres")
    scene.sql("grant team to stranger", "app", scene.admin_database)
    foretold = scene.cluster.preview(**scene.pillar(groups={"team": {}}))
    outcome = scene.endures(groups={"team": {}}, where="role 'app'")
    stays = scene.founder("select pg_has_role('stranger', 'team', 'member')", "postgres") == [(True,)]
    assert outcome.failures or stays or "stranger" in str(foretold)


def test_a_role_that_a_stranger_granted_something_to_goes(scene):
    scene.begins()
    scene.stranger("shop", "wiki")
    scene.founder("create schema theirs authorization stranger")
    scene.sql("create table theirs.orders (id int); grant usage on schema theirs to app, bob;"
              " grant select on theirs.orders to bob", "stranger", "shop")  # fmt: skip
    gone = {"bob": {"state": "absent"}}
    databases = {"books": {"owner": "amy"}}
    foretold = scene.cluster.forecast(**scene.pillar(users=gone, databases=databases))
    outcome = scene.endures(where="role 'bob'", naming=["stranger"], users=gone, databases=databases)
    assert outcome.failures == foretold.failures


# A database that is closed


@pytest.mark.usefixtures("dumper")
def test_a_session_in_a_database_that_is_closed_is_ended_or_named_in_each_run(scene):
    """A hosted admin may not end it. Its database is not dropped under it, and not dumped either."""
    scene.begins()
    scene.stranger("shop")
    with scene.session("stranger", "shop") as session, session.cursor() as cursor:
        if not scene.hosted:
            scene.heals(state="quarantined")
            with pytest.raises(psycopg2.OperationalError):
                cursor.execute("select 1")
            return
        for state in ("quarantined", "quarantined", "absent"):
            outcome = scene.fails(state=state, naming=["of 'stranger'", "sessions go on"])
            assert outcome.failures
        assert scene.cluster.preview(**scene.pillar(state="quarantined"))["databases"].keys() == {"shop"}
        cursor.execute("select 1")
    gone = "select 1 from pg_stat_activity where usename = 'stranger'"
    wait_for(lambda: scene.founder(gone, "postgres") == [], "the session goes on")
    scene.heals(state="quarantined")


@superuser_alone
def test_the_session_of_a_dropped_role_ends_with_the_others(scene):
    scene.begins()
    scene.stranger("shop")
    with scene.session("stranger") as session:
        session.autocommit = True
        scene.founder("revoke connect on database shop from stranger", "postgres")
        scene.founder("drop role stranger", "postgres")
        assert scene.cluster.attempt(**scene.pillar(state="quarantined")).failures == {}
        with pytest.raises(psycopg2.OperationalError):
            session.cursor().execute("select 1")
