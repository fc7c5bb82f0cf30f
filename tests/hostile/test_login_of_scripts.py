"""The login of bootstrap scripts, and the mark of an unfinished database, in the hands of others."""

import os
import signal
from contextlib import contextmanager

import psycopg2
import pytest

from pgpillar import bootstrap
from pgpillar.pillar import PillarError
from tests.hostile.limits import from_major, superuser_alone
from tests.hostile.scene import SCRIPT, trap

NEW = {"stock": {"owner": "carol", "bootstrap": SCRIPT}}
EVIL = (
    "create function pg_temp.evil() returns void language plpgsql security definer"
    " as $do$ begin alter role mallory superuser; end $do$"
)
MARK = "alter database shop connection limit 1885827177"
MARKS_AT_COMMIT = f"""
    create table t (id int);
    create function mark() returns trigger language plpgsql as $f$ begin
        execute '{MARK}'; return null; end $f$;
    create constraint trigger x after insert on t deferrable initially deferred
        for each row execute function mark();
    insert into t values (1)"""


@pytest.fixture
def script(scene):
    scene.cluster.scripts[SCRIPT] = "create table orders (id int)"


@superuser_alone
@pytest.mark.usefixtures("script")
def test_functions_of_a_login_that_others_made_go_to_nobody(scene):
    """Whoever may create roles makes it first, and leaves a function in the admin's database."""
    users = {"mallory": {"attributes": ["createrole"]}}
    scene.begins(users=users)
    with scene.session("mallory", "postgres") as session, session.cursor() as cursor:
        session.autocommit = True
        cursor.execute("create role pgpillar_bootstrap login")
        cursor.execute("grant pgpillar_bootstrap to mallory")
        cursor.execute(f"set role pgpillar_bootstrap; {EVIL}; reset role")
        outcome = scene.cluster.attempt(**scene.pillar(users=users, databases=NEW))
        assert outcome.failures == {}
        with pytest.raises(psycopg2.Error):
            cursor.execute("select pg_temp.evil()")
    scene.nobody_gained()


def logins(scene):
    return scene.founder("select 1 from pg_roles where rolname ~ '^pgpillar_bootstrap'", "postgres")


@pytest.mark.usefixtures("script")
def test_what_a_killed_run_left_of_the_login_is_removed_by_any_run(scene, monkeypatch):
    """Also what it owns in the database of the script, and without a script in pillar."""

    def killed(*_):
        raise KeyboardInterrupt

    with monkeypatch.context() as patched, pytest.raises(KeyboardInterrupt):
        patched.setattr(bootstrap, "_drop_owned", killed)
        scene.cluster.attempt(**scene.pillar(bootstrap=SCRIPT))
    assert logins(scene)
    scene.founder("create schema its authorization pgpillar_bootstrap")
    foreseen = scene.cluster.preview(**scene.pillar())
    assert logins(scene), "a plan changes nothing"
    assert "pgpillar_bootstrap" in foreseen["roles"]
    assert scene.cluster.converge(**scene.pillar()) == foreseen
    assert logins(scene) == []
    scene.heals()


@contextmanager
def stopped(pid):
    """A server process that does nothing, and so does not end."""
    os.kill(pid, signal.SIGSTOP)
    try:
        yield
    finally:
        os.kill(pid, signal.SIGCONT)


@superuser_alone
def test_the_login_stays_until_its_sessions_have_ended(scene):
    scene.begins()
    scene.founder("create role pgpillar_bootstrap login password 'secret'", "postgres")
    scene.cluster.passwords["pgpillar_bootstrap"] = "secret"
    with scene.session("pgpillar_bootstrap", "postgres") as session:
        pid = session.info.backend_pid
        with stopped(pid):
            scene.fails(where="role 'pgpillar_bootstrap'", naming=[f"backend {pid} "])
            assert logins(scene)
    scene.heals()
    assert logins(scene) == []


@from_major(16)
@superuser_alone
def test_a_login_that_is_put_aside_is_in_no_other_role(scene):
    """Another role than the admin has put it there, and it has put others there."""
    scene.begins()
    scene.founder("create database theirs", "postgres")
    scene.founder("create role pgpillar_bootstrap", "postgres")
    scene.founder("grant connect on database theirs to pgpillar_bootstrap", "postgres")
    scene.founder("create table t (); grant select on t to pgpillar_bootstrap", "theirs")
    scene.stranger()
    scene.founder("grant zoe to stranger with admin option", "postgres")
    scene.founder("set role stranger; grant zoe to pgpillar_bootstrap with admin option", "postgres")
    scene.founder("set role pgpillar_bootstrap; grant zoe to app", "postgres")
    scene.founder("alter database theirs allow_connections false", "postgres")
    assert scene.cluster.attempt(**scene.pillar()).failures == {}
    (aside,) = scene.founder("select oid::regrole from pg_roles where rolname ~ '^pgpillar_boot'", "postgres")
    assert aside[0].startswith("pgpillar_bootstrap_")
    members = "select member::regrole::text from pg_auth_members where roleid = 'zoe'::regrole"
    assert aside not in scene.founder(members, "postgres")


def limit_of_shop(scene):
    return scene.founder("select datconnlimit from pg_database where datname = 'shop'", "postgres")


def test_a_script_that_marks_its_database_again_is_finished_all_the_same(scene):
    assert scene.bootstraps(MARKS_AT_COMMIT).failures == {}
    assert limit_of_shop(scene) == [(-1,)]


@pytest.mark.usefixtures("script")
@pytest.mark.parametrize("closed", [False, True])
@pytest.mark.parametrize("address", [SCRIPT, None])
def test_the_limit_of_an_unfinished_database_set_by_its_owner_is_drift_alone(scene, closed, address):
    """Neither does the script run again, nor does the owner lose the way in."""
    scene.begins(bootstrap=SCRIPT)
    scene.sql("drop table orders")
    scene.sql(MARK, dbname="postgres")
    if closed:
        scene.sql("alter database shop allow_connections false", dbname="postgres")
    more = {"bootstrap": address} if address else {}
    assert scene.endures(**more).failures == {}
    assert scene.sql("select 1 from pg_tables where tablename = 'orders'") == []
    assert limit_of_shop(scene) == [(-1,)]
    scene.heals(**more)


@pytest.mark.usefixtures("script")
def test_the_mark_is_out_of_reach_of_the_owner(scene):
    setting = "set application_name = 'pgpillar: unfinished'"
    scene.begins(bootstrap=SCRIPT)
    for statement in (
        f"alter role {scene.admin} in database shop {setting}",
        f"alter database shop owner to {scene.admin}",
    ):
        with pytest.raises(psycopg2.errors.InsufficientPrivilege):
            scene.sql(statement, dbname="postgres")
    for whose in ("database shop", "role all in database shop", "role mallory in database shop"):
        scene.sql(f"alter {whose} {setting}; {MARK}", dbname="postgres")
    assert scene.endures(bootstrap=SCRIPT).failures == {}
    scene.heals(bootstrap=SCRIPT)


@superuser_alone
def test_a_function_that_the_owner_put_into_an_extension_is_seen(scene):
    """What belongs to an extension is not the extension's own where a role owns it."""
    scene.begins()
    scene.sql("create extension hstore; create function citext_cmp(text, text) returns int language sql"
              " as 'select 1'; alter extension hstore add function citext_cmp(text, text)")  # fmt: skip
    outcome = scene.fails(extensions=["earthdistance"], naming=["citext_cmp"])
    assert outcome.failures, "its script would have found that function"


@from_major(17)
@superuser_alone
def test_a_login_trigger_does_not_fire_in_a_database_that_its_owner_has_closed(scene):
    scene.begins()
    scene.sql(trap())
    scene.sql("create function loud() returns event_trigger language plpgsql as $do$ begin"
              " perform public.trap(); end $do$")  # fmt: skip
    scene.founder("create event trigger loud on login execute function public.loud();"
                  " alter event trigger loud enable always")  # fmt: skip
    scene.sql("alter database shop allow_connections false", dbname="postgres")
    scene.fails(naming=["loud"])


def test_a_setting_of_many_megabytes_stops_nobody(scene):
    scene.begins()
    scene.stranger()
    huge = "select length(set_config('local_preload_libraries', repeat(chr(1), 180000000), false))"
    scene.sql(f"{huge}; alter role stranger in database books set local_preload_libraries from current",
              "stranger", "postgres")  # fmt: skip
    assert scene.endures(access={"app": "read"}).failures == {}


def test_a_login_that_holds_its_own_setting_in_a_database_fails_alone(scene):
    scene.begins()
    held = [f"alter role mallory in database {name} set work_mem to '2MB'" for name in ("books", "wiki")]
    for statement in held:
        scene.sql(statement, dbname="postgres")
    scene.drift()
    with scene.holding(*held, dbname="postgres"):
        outcome = scene.cluster.attempt(**scene.pillar())
    assert set(outcome.failures) == {"role 'mallory'"}
    assert "in database 'books'" in outcome.failures["role 'mallory'"]
    scene.bystanders_converged()
    scene.heals()


ADDRESSES = ["salt://shop/a.sql\ralter role mallory superuser;--", "salt://a\nb"]


@pytest.mark.parametrize("address", ADDRESSES)
def test_an_address_of_a_script_is_one_line(scene, address):
    with pytest.raises(PillarError, match=r"databases:shop:bootstrap: .* is not a salt:// address"):
        scene.cluster.declared(**scene.pillar(bootstrap=address))


@superuser_alone
def test_removing_the_login_fires_no_event_trigger_in_the_database_of_the_admin(scene):
    scene.begins()
    scene.founder("create schema hers authorization mallory", "postgres")
    scene.sql(trap("hers"), dbname="postgres")
    scene.sql("create function hers.ev() returns event_trigger language plpgsql as"
              " $e$ begin perform hers.trap(); end $e$", dbname="postgres")  # fmt: skip
    scene.founder("create event trigger et on ddl_command_start execute function hers.ev()", "postgres")
    scene.founder("create role pgpillar_bootstrap", "postgres")
    try:
        assert scene.cluster.attempt(**scene.pillar()).failures == {}
        scene.nobody_gained()
        assert scene.founder("select 1 from pg_roles where rolname = 'pgpillar_bootstrap'") == []
    finally:
        scene.founder("drop event trigger et", "postgres")
        scene.founder("drop schema hers cascade", "postgres")
