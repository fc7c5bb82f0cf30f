"""A declared role that is a member of an owner or of a group: what it may do as that is no way further."""

import base64
import contextlib
import time

import psycopg2
import pytest

from pgpillar import catalog
from tests.hostile.limits import from_major, hosted_alone, superuser_alone
from tests.hostile.planted import HOSTILE, SHADOWS
from tests.hostile.scene import SCRIPT, trap

TEAM = {
    "owner": "owners",
    "users": {"mallory": {"groups": ["owners"]}, "app": {}},
    "groups": {"owners": {}},
}
LEFT = {**TEAM, "users": {"mallory": {}}}


def begins(scene, **more):
    scene.suspects.add("owners")
    return scene.begins(**{**TEAM, **more})


# As the owner


def test_what_a_member_planted_runs_as_nobody_else_when_it_leaves(scene):
    begins(scene)
    scene.sql("set role owners;" + trap() + ";".join(HOSTILE.values()))
    left = {**LEFT, "access": {"app": "read", "mallory": "read"}}
    scene.endures(**left)
    scene.heals(**left)


def test_the_group_that_runs_a_script_is_no_way_to_the_admin(scene):
    """A group that cannot log in owns the database; somebody has to run its script all the same."""
    scene.suspects.add("owners")
    scene.bootstraps(
        "reset role; select public.trap();"
        "create table orders (id int);"
        "create constraint trigger late after insert on orders deferrable initially deferred"
        " for each row execute function trap_trigger(); insert into orders values (1)",
        **TEAM,
    )


@pytest.mark.parametrize(
    "setting",
    [
        "local_preload_libraries = 'nope'",
        "role = 'owners'",
        "session_authorization = 'mallory'",
        "statement_timeout = '1ms'",
        "search_path = public, pg_catalog",
    ],
)
def test_a_setting_that_a_member_gave_the_database_concerns_it_alone(scene, setting):
    begins(scene)
    scene.sql("set role owners;" + trap() + SHADOWS)
    scene.sql(f"alter database shop set {setting}", dbname="postgres")
    scene.withstands(naming=["shop"], **{**TEAM, "access": {"app": "read"}})


@from_major(17)
def test_a_timeout_of_transactions_that_a_member_gave_the_database_concerns_it_alone(scene):
    begins(scene)
    scene.sql("alter database shop set transaction_timeout = '1ms'", dbname="postgres")
    scene.withstands(naming=["shop"], **{**TEAM, "access": {"app": "read"}})


def test_a_member_that_replaces_the_schema_public_does_not_keep_it(scene):
    begins(scene)
    scene.founder("alter schema public owner to owners")  # whose it is by itself from 15 on alone
    scene.sql("set role owners; drop schema public cascade; reset role; set role owners;"
              " create schema public; create table public.orders (id int)")  # fmt: skip
    scene.withstands(**LEFT)
    kept = "select nspname from pg_namespace where nspowner in ('mallory'::regrole)"
    assert scene.founder(kept) == []


def test_a_member_that_made_things_of_its_own_loses_them_when_it_leaves(scene):
    begins(scene)
    scene.founder("grant create on schema public to mallory")
    scene.sql("create table mine (id int); create collation mine (locale = 'C');"
              " create function mine() returns int language sql as 'select 1';"
              " create type mood as enum ('a')")  # fmt: skip
    scene.withstands(naming=["mallory"], **LEFT)
    owned = (
        "select pg_describe_object(classid, objid, objsubid) from pg_shdepend"
        " where deptype = 'o' and refobjid = 'mallory'::regrole"
    )
    assert scene.founder(owned) == []


def test_a_member_that_adds_things_of_its_own_to_an_extension_loses_them_when_it_leaves(scene):
    """The extension is its owner's, and stays."""
    begins(scene)
    scene.founder("grant create on schema public to mallory")
    scene.sql("set role owners; create extension hstore")
    scene.sql("set role none; create table mine (id int); create collation mine (locale = 'C');"
              " create function mine() returns int language sql security definer as 'select 1';"
              " create type mood as enum ('a')")  # fmt: skip
    things = ("table mine", "collation mine", "function mine()", "type mood")
    scene.sql("set role none;" + ";".join(f"alter extension hstore add {one}" for one in things))
    owned = (
        "select pg_describe_object(classid, objid, objsubid) from pg_shdepend"
        " where deptype = 'o' and refobjid = 'mallory'::regrole and classid <> 'pg_default_acl'::regclass"
    )
    assert len(scene.founder(owned)) == len(things)
    scene.endures(**LEFT)
    assert scene.founder(owned) == []
    scene.heals(**LEFT)


def test_a_member_that_grants_in_the_owners_name_is_taken_back(scene):
    begins(scene)
    scene.sql("set role owners; create table orders ();"
              " grant all on orders to mallory with grant option;"
              " grant usage, create on schema public to mallory with grant option;"
              " alter default privileges grant all on tables to bob")  # fmt: skip
    scene.sql("grant select on orders to bob with grant option; grant usage on schema public to public")
    assert scene.withstands(**LEFT).failures == {}
    for role in ("mallory", "bob"):
        assert scene.founder(f"select has_table_privilege('{role}', 'orders', 'select')") == [(False,)]


def test_a_member_that_grants_in_a_circle_is_taken_back(scene):
    begins(scene)
    scene.sql(
        "set role owners; create table orders (id int); grant select on orders to mallory with grant option"
    )
    scene.sql("grant select on orders to app with grant option")
    scene.sql("grant select on orders to zoe with grant option", "app")
    assert scene.withstands(**LEFT).failures == {}


def test_a_member_with_access_of_an_owner_plants_nothing_for_the_admin(scene):
    """Access ``owner`` makes a member, too."""
    scene.suspects.add("carol")
    wanted = {"owner": "carol", "access": {"mallory": "owner"}}
    scene.begins(**wanted)
    scene.sql(trap() + SHADOWS + "; create table orders (id int);" + HOSTILE["triggers"])
    scene.sql("alter database shop set search_path = public, pg_catalog", dbname="postgres")
    scene.withstands(owner="carol", access={"mallory": "read"})


# As one that may admit others, or make roles


@superuser_alone  # no hosted admin takes back what the founder granted
def test_a_member_that_admits_others_is_taken_back(scene):
    begins(scene)
    scene.founder("grant owners to mallory with admin option", "postgres")
    scene.sql("grant owners to bob with admin option", dbname=scene.admin_database)
    scene.sql("grant owners to app", "bob", scene.admin_database)
    scene.withstands(where="role 'owners'", naming=["owners"], **TEAM)


def _against_the_admin(scene):
    """Before 16, CREATEROLE is power over every role that is no superuser, and so over a hosted admin."""
    if scene.hosted and scene.major < 16:
        return []
    return [f"alter role {scene.admin} password 'mine'", f"grant {scene.admin} to mallory"]


@pytest.mark.parametrize("attribute", ["createrole", "createdb"])
def test_a_declared_attribute_is_no_way_to_more(scene, attribute):
    _may_no_more(scene, attribute)


@superuser_alone
@pytest.mark.parametrize("attribute", ["replication", "bypassrls"])
def test_a_declared_attribute_of_superusers_is_no_way_to_more(scene, attribute):
    _may_no_more(scene, attribute)


def _may_no_more(scene, attribute):
    users = {"mallory": {"attributes": [attribute], "groups": ["owners"]}}
    begins(scene)
    scene.cluster.attempt(**scene.pillar(**{**TEAM, "users": users}))
    for statement in (
        "alter role amy superuser",
        "alter role mallory superuser",
        "create role more createrole createdb replication bypassrls superuser",
        *_against_the_admin(scene),
        "alter role zoe nologin",
        "create role helper login; grant amy to helper",
        "alter database shop rename to shops",
        "create database stock; create database future",
    ):
        for one in statement.split(";"):
            with contextlib.suppress(psycopg2.Error):
                scene.sql(one, dbname=scene.admin_database)
    scene.drift()
    scene.cluster.attempt(**scene.pillar(**TEAM))
    scene.nobody_gained()
    scene.bystanders_converged()
    assert scene.founder("select rolcanlogin from pg_roles where rolname = 'zoe'", "postgres") == [(True,)]


# What it holds


@pytest.mark.parametrize(
    "statement",
    [
        "alter role mallory set work_mem = '2MB'",
        "alter role mallory in database shop set work_mem = '2MB'",
        "grant connect on database shop to bob",
        "alter database shop set work_mem = '2MB'",
    ],
)
def test_what_a_member_does_not_commit_concerns_it_and_its_database(scene, statement):
    begins(scene)
    wanted = {**TEAM, "access": {"app": "read"}, "settings": {"work_mem": "4MB"}}
    with scene.holding(statement, dbname="postgres"):
        scene.endures(naming=["mallory"], **wanted)
    scene.heals(**wanted)


def test_what_a_member_holds_of_its_own_role_concerns_it_alone(scene):
    begins(scene)
    wanted = {**TEAM, "users": {"mallory": {"groups": ["owners"], "settings": {"work_mem": "4MB"}}}}
    with scene.holding("alter role mallory set work_mem = '2MB'", dbname="postgres"):
        scene.fails(where="role 'mallory'", naming=["mallory"], **wanted)
    scene.heals(**wanted)


@superuser_alone  # a hosted admin tries the password by a login: docs/design.rst, Limits
def test_a_verifier_of_very_many_rounds_is_replaced_in_time(scene):
    """It takes the server hours to let a member store one, and PostgreSQL has no limit."""
    begins(scene)
    salt, key = base64.b64encode(b"s" * 16).decode(), base64.b64encode(b"k" * 32).decode()
    verifier = f"SCRAM-SHA-256$999999999:{salt}${key}:{key}"
    scene.founder(f"update pg_authid set rolpassword = '{verifier}' where rolname = 'mallory'", "postgres")
    start = time.monotonic()
    assert scene.endures(**TEAM).failures == {}
    assert time.monotonic() - start < 60
    ((kept,),) = scene.founder("select rolpassword from pg_authid where rolname = 'mallory'", "postgres")
    assert kept.startswith("SCRAM-SHA-256$4096:")
    scene.heals(**TEAM)


def test_a_member_that_comes_and_goes_with_tables_stops_nobody(scene):
    """What was there when the plan was made is gone when it is carried out."""
    begins(scene)

    def come_and_go():
        scene.sql("set role owners; create table if not exists passing (id int);"
                  " drop table if exists passing; create table passing (id int)")  # fmt: skip
        scene.sql("set role owners; drop table passing")

    with scene.repeating(come_and_go), scene.repeating(come_and_go):
        for level in ("read", "write", "read"):
            scene.drift()
            outcome = scene.cluster.attempt(
                **scene.pillar(**{**TEAM, "access": {"app": level, "bob": level}})
            )
            assert outcome.failures == {}
            scene.bystanders_converged()
    scene.heals(**{**TEAM, "access": {"app": "read", "bob": "read"}})


def test_a_member_of_a_group_of_readers_changes_nothing(scene):
    readers = {"access": {"readers": "read"}, "groups": {"readers": {}}}
    scene.begins(owner="carol", users={"mallory": {"groups": ["readers"]}}, **readers)
    scene.sql("alter role mallory in database shop set search_path = pg_temp, public;"
              " alter role mallory in database shop set role = 'readers';"
              " alter role mallory set local_preload_libraries = 'nope'")  # fmt: skip
    scene.withstands(owner="carol", users={"mallory": {"groups": ["readers"]}}, **readers)


@pytest.mark.usefixtures("dumper")
def test_a_group_that_goes_with_hostile_objects_leaves_them_to_its_heir(scene):
    begins(scene)
    scene.sql("set role owners;" + trap() + ";".join(HOSTILE.values()))
    moved = {"owner": "carol", "groups": {"owners": {"state": "absent", "reassign_to": "carol"}}}
    scene.suspects.discard("carol")
    scene.endures(where="role 'owners'", naming=["owners"], **moved)
    scene.heals(**moved)


def test_a_script_of_a_group_is_run_once_and_as_the_group(scene):
    scene.suspects.add("owners")
    scene.cluster.scripts[SCRIPT] = "create table orders as select current_user::text as who"
    scene.heals(**TEAM, bootstrap=SCRIPT)
    assert scene.founder("select who from orders") == [("owners",)]


@superuser_alone
def test_a_member_that_makes_a_circle_of_memberships_stops_nobody(scene):
    """Before 15 a role may always make others members of itself."""
    scene.begins()
    is_refused = scene.major >= 15
    insufficient = pytest.raises(psycopg2.errors.InsufficientPrivilege)
    with insufficient if is_refused else contextlib.nullcontext():
        scene.sql("grant mallory to pg_monitor")
    scene.drift()
    wanted = scene.pillar(users={"mallory": {"groups": ["pg_monitor"]}})
    failures = scene.cluster.attempt(**wanted).failures
    assert failures.keys() == (set() if is_refused else {"role 'mallory'"})
    scene.bystanders_converged()
    scene.founder("revoke mallory from pg_monitor", "postgres")


HUGE = """do $do$ begin execute 'alter role mallory password ''SCRAM-SHA-256$4096:' || repeat('AAAA', 600000)
    || '$' || repeat('A', 43) || '=:' || repeat('A', 43) || '='''; end $do$"""


@superuser_alone
def test_a_verifier_of_megabytes_is_not_read(scene):
    """From 18 on the server refuses more than 512 bytes."""
    scene.begins()
    refused = pytest.raises(psycopg2.errors.ProgramLimitExceeded)
    with refused if scene.major >= 18 else contextlib.nullcontext():
        scene.sql(HUGE)
    with contextlib.closing(scene.cluster.server.connect()) as session:
        seen = catalog._passwords(session, {"roles": ["mallory"]})
    assert 0 < len(seen["mallory"]) <= 1000
    scene.withstands()


@from_major(17)
@hosted_alone  # a superuser compares verifiers
def test_a_login_that_does_not_end_is_cut_off_and_has_shown_its_password(scene):
    scene.begins()
    scene.founder(
        "create function slow() returns event_trigger language plpgsql as $e$ begin"
        " if session_user = 'mallory' then perform pg_sleep(600); end if; end $e$;"
        "create event trigger slow on login execute function slow()",
        scene.admin_database,
    )
    assert scene.endures().failures == {}
    assert scene.founder("select 1 from pg_stat_activity where usename = 'mallory'", "postgres") == []
