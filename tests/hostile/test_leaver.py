"""A role that leaves, or somebody who acts as it, and what its heir would run for it afterwards."""

import time
from contextlib import ExitStack, contextmanager, suppress

import psycopg2
import pytest

from pgpillar import catalog, execute, handover, text
from tests.hostile.limits import from_major, superuser_alone
from tests.hostile.scene import trap

EVIL = (
    "create function {}.evil() returns text language plpgsql security definer as"
    " $do$ begin perform public.trap(); return current_user; end $do$"
)


# Pillar without mallory, whose database becomes carol's
LEAVING = {"owner": "carol", "users": {"mallory": {"state": "absent", "reassign_to": "carol"}}}


def is_gone(scene, role="mallory"):
    return scene.founder(f"select 1 from pg_roles where rolname = '{role}'", "postgres") == []


@superuser_alone
@pytest.mark.parametrize("dbname", ["shop", "postgres"])
def test_a_temporary_function_of_an_open_session_goes_with_the_session(scene, dbname):
    scene.begins()
    scene.stranger()
    scene.founder(trap(), dbname)
    with scene.session("mallory", dbname) as session, session.cursor() as cursor:
        session.autocommit = True
        cursor.execute(EVIL.format("pg_temp"))
        outcome = scene.cluster.attempt(**scene.pillar(**LEAVING))
        assert outcome.failures == {}
        with pytest.raises(psycopg2.OperationalError):
            cursor.execute("select pg_temp.evil()")
    assert is_gone(scene)
    scene.nobody_gained()


def test_a_role_that_leaves_cannot_come_back_in(scene):
    """It logs in again and again while the run ends its sessions."""
    scene.begins()

    def log_in():
        with suppress(psycopg2.Error), scene.session("mallory", "shop") as session:
            session.cursor().execute("create temp table t (); commit; select pg_sleep(20)")

    with scene.repeating(log_in):
        outcome = scene.cluster.attempt(**scene.pillar(**LEAVING))
    assert outcome.failures == {}
    assert is_gone(scene)


RUNS_AS_OWNER = {
    "function attic.evil()": EVIL.format("attic"),
    "view attic.v": "create view attic.v as select public.trap() as one",
    "materialized view attic.v": "create materialized view attic.v as select 1 as one",
    "table attic.ruled": """create table attic.ruled ();
        create rule r as on insert to attic.ruled do also select public.trap()""",
    "table attic.t": """create table attic.t ();
        create trigger t after insert on attic.t execute function public.trap_trigger()""",
    "table attic.indexed": """create table attic.indexed (id int);
        create index on attic.indexed (public.trap_text(id))""",
    "table attic.counted": """
        create function attic.two(int, int) returns boolean language sql immutable as 'select true';
        create operator attic.=== (leftarg = int, rightarg = int, function = attic.two);
        create table attic.counted (a int);
        create index on attic.counted (a) where a operator(attic.===) 1""",
    "table attic.defaulting": """
        create function attic.five() returns int language sql as 'select 5';
        create table attic.defaulting (id int default attic.five())""",
    "table attic.checked": "create table attic.checked (id int, check (public.trap_text(id) <> ''))",
    "table attic.quoting": """create table attic.quoting (
        id int check (query_to_xml('select public.trap()', true, true, '') is not null))""",
    "table attic.computed": """create table attic.computed (
        id int, what text generated always as (public.trap_text(id)) stored)""",
    "table attic.ranged": """
        create function attic.distance(int, int) returns float8 language plpgsql immutable
            as 'begin perform public.trap(); return 1; end';
        create type attic.reach as range (subtype = int, subtype_diff = attic.distance);
        create table attic.ranged (r attic.reach)""",
    "table attic.in_domain": """
        create domain attic.d as int check (public.trap_text(value) <> '');
        create table attic.in_domain (id int); create index on attic.in_domain ((id::attic.d))""",
    "table attic.in_composite": """
        create domain attic.d as int check (public.trap_text(value) <> '');
        create type attic.c as (d attic.d);
        create table attic.in_composite (c attic.c[])""",
    "table attic.converted": """
        create type attic.e as enum ('a');
        create function attic.number(attic.e) returns int language plpgsql immutable
            as 'begin perform public.trap(); return 1; end';
        create cast (attic.e as int) with function attic.number(attic.e) as implicit;
        create table attic.converted (e attic.e)""",
    "table attic.parted": """
        create table attic.parted (id int) partition by range (id);
        create table attic.part (id int check (public.trap_text(id) <> ''));
        alter table attic.parted attach partition attic.part default""",
    "table attic.negated": """
        create operator attic.!== (leftarg = int, rightarg = int, function = int4ne);
        create operator attic.=== (leftarg = int, rightarg = int, function = int4eq,
            negator = operator(attic.!==));
        create table attic.negated (id int check (not id operator(attic.===) 1))""",
    "table attic.guarded": """create table attic.guarded (id int);
        create policy p on attic.guarded using (public.trap())""",
}


@pytest.mark.parametrize("what", RUNS_AS_OWNER)
def test_what_runs_as_its_owner_in_an_undeclared_schema_goes_to_no_heir(scene, what):
    scene.begins()
    scene.sql(trap() + "; create schema attic;" + RUNS_AS_OWNER[what])
    scene.looks(**LEAVING)
    foreseen = scene.cluster.forecast(**scene.pillar(**LEAVING)).failures
    outcome = scene.fails(where="role 'mallory'", naming=[what, "'shop'", "'carol'"], **LEAVING)
    assert outcome.failures == foreseen
    owners = "select distinct pg_get_userbyid(nspowner) from pg_namespace where nspname = 'attic'"
    assert scene.founder(owners) == [("mallory",)]
    may_log_in = "select rolcanlogin from pg_roles where rolname = 'mallory'"
    assert scene.founder(may_log_in) == [(True,)], "what is foreseen changes nothing of the role"
    scene.founder("drop schema attic cascade")
    scene.heals(**LEAVING)
    assert is_gone(scene)


@from_major(17)
def test_a_type_that_json_is_read_as_may_be_code(scene):
    """The server notes nowhere that the table depends on it."""
    scene.begins()
    scene.sql(
        trap()
        + """; create schema attic; create domain attic.d as int check (public.trap_text(value) <> '');
        create table attic.t (j jsonb check (json_value(j, '$' returning attic.d) > 0))"""
    )
    assert scene.endures(where="role 'mallory'", naming=["table attic.t"], **LEAVING).failures
    scene.founder("drop schema attic cascade")
    scene.heals(**LEAVING)


# What others own and can give code of theirs at any time
OF_OTHERS = {
    "table attic.in_domain": """
        create domain nest.d as int; alter domain nest.d owner to stranger;
        set role mallory; create table attic.in_domain (d nest.d)""",
    "table attic.parted": """
        set role mallory; create table attic.parted (id int) partition by range (id);
        reset role; create table nest.part partition of attic.parted default;
        alter table nest.part owner to stranger""",
    # CREATE INDEX there computes the index of each partition as the owner of that
    "table attic.part": """
        set role stranger; create table nest.parted (id int) partition by range (id);
        set role mallory; create table attic.part (id int);
        reset role; alter table nest.parted attach partition attic.part default""",
}


@pytest.mark.parametrize("what", OF_OTHERS)
def test_a_table_that_is_made_of_what_others_own_goes_to_no_heir(scene, what):
    scene.begins()
    scene.stranger("shop")
    scene.sql("create schema attic; grant usage on schema attic to stranger")
    scene.founder("create schema nest authorization stranger; grant usage on schema nest to mallory")
    scene.founder(OF_OTHERS[what])
    foreseen = scene.forecast(**LEAVING).failures
    outcome = scene.endures(where="role 'mallory'", naming=[what], **LEAVING)
    assert outcome.failures == foreseen != {}
    scene.founder("drop schema attic, nest cascade")
    scene.heals(**LEAVING)
    assert is_gone(scene)


def test_a_function_of_the_server_that_is_a_text_may_be_code(scene):
    """Before PostgreSQL 14, who runs it chooses by search_path what + is."""
    scene.begins()
    scene.sql("create schema attic")
    scene.sql("create table attic.t (d date, check (interval '1 day' + d > '2000-01-01'))")
    if scene.major >= 14:
        scene.heals(**LEAVING)
    else:
        assert scene.endures(where="role 'mallory'", naming=["table attic.t"], **LEAVING).failures
    scene.founder("drop schema attic cascade")


PLAIN = """
    create schema attic; create sequence attic.s; create type attic.e as enum ('a');
    create function attic.f() returns int language sql as 'select 1';
    create domain attic.positive as int check (value > 0);
    create type attic.span as range (subtype = float8);
    create collation attic.c from "C";
    create table attic.kinds (id int primary key, name text unique);
    create table attic.t (
        id serial primary key, number int generated always as identity, e attic.e default 'a',
        what text collate attic.c check (length(what) > 1),
        by text default concat('by ', session_user),
        double int generated always as (kind * 2) stored, kind int references attic.kinds on delete set null,
        made timestamptz not null default now() check (made >= '2020-01-01'),
        due date default current_date + 1,
        price attic.positive default 1, span attic.span, key uuid default gen_random_uuid(),
        until text default to_char(now() at time zone 'utc' + interval '1 day', 'YYYY'),
        exclude using gist (span with &&));
    create index on attic.t (lower(what)) where number > 1;
    create statistics attic.counts on kind, number from attic.t;
    create table attic.by_date (day date, id int references attic.t on delete cascade)
        partition by range (day);
    create table attic.by_date_1 partition of attic.by_date
        for values from ('2020-01-01') to ('2021-01-01')"""


def test_plain_things_in_an_undeclared_schema_go_to_the_heir(scene):
    scene.begins()
    scene.founder("create extension citext schema pg_catalog; create extension hstore schema pg_catalog")
    scene.sql(PLAIN)
    scene.sql("""create table attic.extended (name citext unique, more hstore);
        create index on attic.extended using gin (more)""")
    scene.heals(**LEAVING)
    assert is_gone(scene)
    owners = "select distinct tableowner from pg_tables where schemaname = 'attic'"
    assert scene.founder(owners) == [("carol",)]


def test_a_database_that_pillar_does_not_name_is_looked_into_as_well(scene):
    scene.begins()
    scene.founder("create database theirs", "postgres")
    scene.founder("grant all on database theirs to mallory", "postgres")
    scene.founder(f"grant connect on database theirs to {scene.admin}", "postgres")
    scene.founder(trap() + "; create schema attic authorization mallory", "theirs")
    scene.sql(EVIL.format("attic"), dbname="theirs")
    scene.fails(where="role 'mallory'", naming=["function attic.evil()", "'theirs'"], **LEAVING)
    scene.sql("drop function attic.evil()", dbname="theirs")
    scene.founder("revoke all on database theirs from mallory", "postgres")  # what a hosted admin cannot
    scene.founder("grant create on database theirs to carol", "postgres")
    scene.heals(**LEAVING)
    assert is_gone(scene)


def acting_as_mallory(scene, dbname="shop"):
    """A session of another role's that acts as the one that leaves."""
    scene.stranger(dbname)
    scene.founder("grant mallory to stranger", "postgres")
    session = scene.server.connect(
        user="stranger", password=scene.cluster.passwords["stranger"], dbname=dbname, over="tls"
    )
    session.autocommit = True
    session.cursor().execute("set role mallory")
    return session


def test_what_a_member_makes_in_the_name_of_a_role_that_leaves_goes_to_no_heir(scene):
    """Its session goes on, and it makes a temporary function whenever the last one went."""
    scene.begins()
    scene.sql(trap())
    session = acting_as_mallory(scene)

    def make():
        with suppress(psycopg2.Error):
            session.cursor().execute(EVIL.format("pg_temp"))

    make()
    with scene.repeating(make):
        outcome = scene.cluster.attempt(**scene.pillar(**LEAVING))
    assert outcome.failures.keys() <= {"role 'mallory'"}
    with suppress(psycopg2.Error):
        session.cursor().execute("select pg_temp.evil()")
    session.close()
    scene.nobody_gained()
    scene.heals(**LEAVING)


@superuser_alone  # nobody else gives a temporary function to an heir
def test_what_a_member_makes_at_the_very_moment_goes_to_no_heir(scene, monkeypatch):
    scene.begins()
    scene.sql(trap())
    session = acting_as_mallory(scene)
    session.cursor().execute(EVIL.format("pg_temp"))
    monkeypatch.setattr(handover, "_without_temporary", lambda *_: [])  # as if it were made after that
    outcome = scene.cluster.attempt(**scene.pillar(**LEAVING))
    assert "evil(), which would run with the rights of 'carol'" in outcome.failures["role 'mallory'"]
    session.cursor().execute("select pg_temp.evil()")
    scene.nobody_gained()
    monkeypatch.undo()
    scene.heals(**LEAVING)
    session.close()
    assert is_gone(scene)


def test_a_lock_on_the_role_is_the_leavers_own(scene):
    scene.begins()
    with scene.holding("alter role mallory password 'x'", dbname="postgres"):
        outcome = scene.cluster.attempt(**scene.pillar(**LEAVING))
    assert outcome.failures == {}
    assert is_gone(scene)


@pytest.fixture(params=["shop", "postgres"])
def attic(scene, request):
    """A database with a schema that pillar does not name, where the role that leaves may create."""
    scene.begins(owner="carol", access={"mallory": "read"})
    scene.founder("create schema attic; grant all on schema attic to mallory", request.param)
    yield request.param
    scene.founder("drop schema attic cascade", request.param)


@superuser_alone  # the schema is the superuser's, so that a hosted admin refuses before
def test_what_a_role_makes_after_the_plan_is_not_dropped(scene, attic, monkeypatch):
    plan, plans = execute.plan, []

    def planned(current, wanted):
        plans.append(plan(current, wanted))
        if len(plans) == 2:  # the one under the lock
            scene.sql("create table attic.made_later ()", dbname=attic)
        return plans[-1]

    monkeypatch.setattr(execute, "plan", planned)
    gone = {"owner": "carol", "users": {"mallory": {"state": "absent"}}}
    outcome = scene.cluster.attempt(**scene.pillar(**gone))
    assert "still owns objects" in outcome.failures["role 'mallory'"]
    owner = "select tableowner from pg_tables where tablename = 'made_later'"
    assert scene.founder(owner, attic) == [("mallory",)]
    monkeypatch.undo()
    scene.founder("drop table attic.made_later", attic)
    scene.heals(**gone)
    assert is_gone(scene)


NAMES = [f"attic.t{number}" for number in range(6)]
AWAITED = """
    select relation::regclass::text from pg_locks
    where not granted and mode = 'AccessExclusiveLock' and locktype = 'relation'"""


@contextmanager
def held_one_after_another(scene):
    """The first table is free. Each other one is let go only after somebody has waited for it for long."""
    awaited = {}

    def let_go():
        for (name,) in scene.founder(AWAITED):
            since = awaited.setdefault(name, time.monotonic())
            if time.monotonic() > since + 0.6 and name in holders:
                holders.pop(name).rollback()

    with ExitStack() as stack:
        holders = {
            name: stack.enter_context(scene.holding(f"lock table {name} in access share mode", user="app"))
            for name in NAMES[1:]
        }
        with scene.repeating(let_go):
            yield
    assert holders == {}, "the run has waited for each"


OF_A_LEAVER = {
    "tables": "set role mallory; create table {0} (); grant select on {0} to app; reset role",
    "policies": """create table {0} (); grant select on {0} to app; alter table {0} owner to carol;
        create policy p on {0} to mallory""",
}


@pytest.mark.parametrize("what", OF_A_LEAVER)
def test_an_application_waits_for_one_thing_of_a_role_that_leaves_and_not_for_all(scene, what):
    """A SELECT would wait for as long as the run holds some of the tables and waits for the rest."""
    scene.begins()
    scene.cluster.endpoint.update(lock_timeout=20, blocking_limit=1)
    scene.sql("create schema attic; grant usage on schema attic to app, carol")
    scene.founder(";".join(OF_A_LEAVER[what].format(name) for name in NAMES))
    failed = []

    def read():
        patience = {"options": "-c lock_timeout=1500ms"}
        for name in NAMES:
            try:
                scene.sql(f"select from {name}", user="app", **patience)
            except psycopg2.errors.LockNotAvailable:
                failed.append(name)

    with held_one_after_another(scene), scene.repeating(read):
        outcome = scene.cluster.attempt(**scene.pillar(**LEAVING))
    assert (outcome.failures, failed) == ({}, [])
    assert is_gone(scene)


def test_a_role_with_very_many_things_stops_nobody(scene):
    """One by one, they could not be looked at within the time that a statement has."""
    scene.begins()
    scene.founder("create database theirs", "postgres")
    scene.sql("select count(lo_create(0)) from generate_series(1, 200000)", dbname="theirs")
    scene.cluster.endpoint["statement_timeout"] = 2
    scene.endures(where="role 'mallory'", **LEAVING)


def test_what_a_role_has_that_cannot_be_read_in_time_keeps_that_role_alone(scene, monkeypatch):
    scene.begins()
    scene.cluster.endpoint["statement_timeout"] = 1
    slow = "select pg_sleep(60)::text as kind, '' as place, '' as whose where %(role)s = 'mallory'"
    with monkeypatch.context() as patched:
        patched.setitem(catalog._LEAVER, "kept_by", slow)
        foreseen = scene.forecast(**LEAVING)
        naming = ["what role 'mallory' has cannot be read", "statement timeout"]
        outcome = scene.fails(where="role 'mallory'", naming=naming, **LEAVING)
    assert outcome.failures == foreseen.failures
    assert not is_gone(scene)


# Where pillar declares nothing: in a schema of a database that it names, and in another database


@pytest.fixture(params=["wiki", "theirs"])
def elsewhere(scene, request):
    """A database in which mallory may pass on rights on things of carol's or of the superuser's."""
    scene.begins()
    scene.stranger()
    if request.param == "theirs":
        scene.founder("create database theirs", "postgres")
        scene.founder(f"grant connect on database theirs to {scene.admin}", "postgres")
    scene.founder(PASSED_ON, request.param)
    yield request.param
    scene.founder("drop schema attic cascade", request.param)


PASSED_ON = """
    create schema attic authorization carol; set role carol;
    create table attic.t (id int, what text); create sequence attic.s; create type attic.e as enum ();
    create function attic.f(int, out text) language sql as $$ select 'x' $$;
    revoke all on type attic.e from public; revoke all on function attic.f from public;
    grant usage on schema attic to mallory with grant option;
    grant select, update (what) on attic.t to mallory with grant option;
    grant usage on sequence attic.s to mallory with grant option;
    grant usage on type attic.e to mallory with grant option;
    grant execute on function attic.f to mallory with grant option;
    set role mallory;
    grant usage on schema attic to stranger; grant select, update (what) on attic.t to stranger, bob;
    grant usage on sequence attic.s to stranger with grant option; grant usage on type attic.e to stranger;
    grant execute on function attic.f to stranger;
    set role stranger; grant usage on sequence attic.s to amy"""

HELD = """
    select has_schema_privilege('stranger', 'attic', 'usage'), has_table_privilege(role, 'attic.t', 'select'),
        has_column_privilege(role, 'attic.t', 'what', 'update'),
        has_sequence_privilege('stranger', 'attic.s', 'usage with grant option'),
        has_sequence_privilege('amy', 'attic.s', 'usage'), has_type_privilege('stranger', 'attic.e', 'usage'),
        has_function_privilege('stranger', 'attic.f(int)', 'execute')
    from unnest(array['stranger', 'bob']) role"""


def test_what_a_role_that_leaves_passed_on_stays_with_others(scene, elsewhere):
    foreseen = scene.cluster.forecast(**scene.pillar(**LEAVING))
    assert foreseen.failures == {}
    lines = text.tree(foreseen.changes)["databases"][elsewhere]
    assert "grant anew USAGE on schema attic (was given by mallory) to stranger" in lines
    assert "grant anew SELECT on table t in schema attic (was given by mallory) to bob, stranger" in lines
    outcome = scene.cluster.attempt(**scene.pillar(**LEAVING))
    assert outcome.failures == {}
    assert text.tree(outcome.changes) == text.tree(foreseen.changes)
    assert set(scene.founder(HELD, elsewhere)) == {(True,) * 7}
    assert is_gone(scene)
    scene.heals(**LEAVING)


@superuser_alone
def test_what_was_passed_on_of_a_database_stays_whatever_comes_before_it(scene):
    """DROP OWNED in one database takes back rights on every other."""
    scene.begins()
    scene.stranger()
    scene.founder("create database theirs owner carol", "postgres")
    scene.founder(
        """grant create, connect on database theirs to mallory with grant option; set role mallory;
        grant create, connect on database theirs to stranger with grant option;
        set role stranger; grant create on database theirs to bob""",
        "postgres",
    )
    leaves_as_foreseen(scene, **LEAVING)
    held = """select has_database_privilege('stranger', 'theirs', 'create with grant option'),
        has_database_privilege('bob', 'theirs', 'create')"""
    assert scene.founder(held) == [(True, True)]
    scene.heals(**LEAVING)


def test_who_gave_a_right_to_a_role_that_leaves_is_named(scene, elsewhere):
    scene.founder(
        "set role carol; grant select on attic.t to stranger with grant option;"
        "set role stranger; grant select on attic.t to mallory",
        elsewhere,
    )
    foreseen = scene.cluster.forecast(**scene.pillar(**LEAVING)).failures
    gave = f"'stranger' granted SELECT on table attic.t in database '{elsewhere}' to 'mallory'"
    assert gave in foreseen["role 'mallory'"]
    outcome = scene.fails(where="role 'mallory'", naming=[gave], **LEAVING)
    assert outcome.failures == foreseen
    scene.founder("set role stranger; revoke select on attic.t from mallory", elsewhere)
    scene.heals(**LEAVING)
    assert is_gone(scene)


@pytest.fixture
def loft(scene):
    """A schema of the heir's, in which the role that leaves holds rights that it may pass on."""
    scene.begins()
    scene.stranger()
    scene.founder(
        """create schema loft authorization carol; set role carol;
        create table loft.t (id int primary key); create view loft.v as select 1 as one;
        grant usage on schema loft to mallory, app, stranger; grant trigger, references on loft.t to bob;
        grant select on loft.t, loft.v to mallory with grant option""",
        "wiki",
    )
    yield "wiki"
    scene.founder("drop schema loft cascade", "wiki")


def leaves_as_foreseen(scene, **pillar):
    foreseen = scene.cluster.forecast(**scene.pillar(**pillar))
    outcome = scene.cluster.attempt(**scene.pillar(**pillar))
    assert outcome.failures == foreseen.failures == {}
    assert text.tree(outcome.changes) == text.tree(foreseen.changes)
    return outcome


def test_what_is_granted_anew_is_not_taken_for_given_to_the_heir(scene, loft):
    """The view would run with the rights of its owner, and bob may add code to the table: as before."""
    scene.founder("set role mallory; grant select on loft.t, loft.v to stranger", loft)
    leaves_as_foreseen(scene, **LEAVING)
    assert is_gone(scene)
    held = """select has_table_privilege('stranger', 'loft.v', 'select'),
        has_table_privilege('bob', 'loft.t', 'trigger'), has_table_privilege('bob', 'loft.t', 'references')"""
    assert scene.founder(held, loft) == [(True,) * 3]
    scene.heals(**LEAVING)


BOTH = {"owner": "carol", "access": {}, "users": {**LEAVING["users"], "app": {"state": "absent"}}}


def test_what_two_roles_that_leave_passed_on_one_after_the_other_stays_with_others(scene, loft):
    scene.founder(
        """set role mallory; grant select on loft.t to app with grant option;
        set role app; grant select on loft.t to stranger with grant option;
        set role stranger; grant select on loft.t to bob""",
        loft,
    )
    outcome = leaves_as_foreseen(scene, **BOTH)
    (line,) = text.tree(outcome.changes)["databases"][loft]
    assert line.startswith("grant anew SELECT on table t in schema loft with the right to pass it on")
    assert (is_gone(scene), is_gone(scene, "app")) == (True, True)
    held = "select has_table_privilege(role, 'loft.t', 'select') from unnest(array['stranger', 'bob']) role"
    assert set(scene.founder(held, loft)) == {(True,)}
    scene.heals(**BOTH)


def test_what_a_second_role_that_leaves_passed_on_of_a_table_that_goes_to_an_heir(scene, loft):
    """A right to add code goes all the same, and the plan does not grant it anew."""
    scene.founder("create schema attic authorization mallory; grant create on schema attic to carol", "wiki")
    scene.founder("grant create on database wiki to carol", "postgres")  # what a hosted admin cannot
    scene.founder(
        """set role mallory; create table attic.own (); grant usage on schema attic to app;
        grant trigger on attic.own to app with grant option;
        set role app; grant trigger on attic.own to bob""",
        "wiki",
    )
    outcome = leaves_as_foreseen(scene, **BOTH)
    assert not [line for line in text.tree(outcome.changes)["databases"]["wiki"] if "anew" in line]
    assert scene.founder("select has_table_privilege('bob', 'attic.own', 'trigger')", "wiki") == [(False,)]
    scene.founder("drop schema attic cascade", "wiki")
    scene.heals(**BOTH)


@pytest.mark.parametrize("dbname", ["shop", "postgres"])
def test_nobody_may_add_code_to_what_an_heir_gets(scene, dbname):
    """By a trigger, or by a foreign key whose cast is a function."""
    scene.begins()
    scene.stranger(dbname)
    scene.founder("create schema attic authorization mallory", dbname)
    scene.founder(f"grant create on database {dbname} to carol", dbname)  # which a hosted admin cannot do
    scene.founder(
        """set role mallory; grant usage on schema attic to stranger;
        create table attic.parent (id int primary key);
        create table attic.child (id int references attic.parent on delete cascade);
        insert into attic.parent values (1); insert into attic.child values (1);
        grant select, delete, references (id) on attic.parent to stranger;
        grant all on attic.child to stranger with grant option;
        set role stranger; grant trigger on attic.child to bob;
        set role mallory; grant trigger on attic.parent to carol with grant option;
        grant usage on schema attic to carol; set role carol; grant trigger on attic.parent to zoe""",
        dbname,
    )
    foreseen = scene.cluster.forecast(**scene.pillar(**LEAVING))
    outcome = scene.cluster.attempt(**scene.pillar(**LEAVING))
    assert outcome.failures == foreseen.failures == {}
    assert text.tree(outcome.changes) == text.tree(foreseen.changes)
    lines = text.tree(outcome.changes)["databases"][dbname]
    assert "revoke TRIGGER on table child in schema attic (given by stranger) from bob" in lines
    assert "revoke REFERENCES on column parent.id in schema attic from stranger" in lines
    assert is_gone(scene)
    held = """select has_table_privilege('stranger', 'attic.child', 'insert'),
        has_table_privilege('stranger', 'attic.child', 'trigger'),
        has_any_column_privilege('stranger', 'attic.parent', 'references'),
        has_table_privilege('bob', 'attic.child', 'trigger'),
        has_table_privilege('zoe', 'attic.parent', 'trigger')"""
    assert scene.founder(held, dbname) == [(True, False, False, False, False)]
    scene.heals(**LEAVING)
    scene.founder("drop schema attic cascade", dbname)


def test_a_table_that_a_foreign_key_of_another_checks_with_a_function_goes_to_no_heir(scene):
    """The server looks for the cast when it checks a row, as the owner of the table that is referred to."""
    scene.begins()
    scene.stranger("shop")
    scene.sql("create schema attic; create table attic.parent (id int primary key)")
    scene.founder(
        """create schema nest authorization stranger; grant usage on schema nest to public;
        grant usage on schema attic to stranger; grant references on attic.parent to stranger;
        set role stranger; create type nest.e as enum ('a');
        create function nest.evil(nest.e) returns int language sql immutable as 'select 1';
        create cast (nest.e as int) with function nest.evil(nest.e) as implicit;
        create table nest.child (e nest.e references attic.parent)"""
    )
    scene.fails(where="role 'mallory'", naming=["table attic.parent"], **LEAVING)
    scene.founder("drop schema nest cascade")
    scene.heals(**LEAVING)
    assert is_gone(scene)


@superuser_alone
@from_major(14)  # before that, OUT arguments tell no procedures apart
def test_a_procedure_is_told_from_one_that_gives_out_the_same(scene):
    scene.begins()
    scene.founder(
        """create schema attic; create procedure attic.p(int) language sql as 'select 1';
        create procedure attic.p(out int) language sql as 'select 1';
        grant usage on schema attic to mallory;
        grant execute on procedure attic.p(in int), attic.p(out int) to mallory with grant option;
        set role mallory; grant execute on procedure attic.p(in int), attic.p(out int) to mallory"""
    )
    scene.heals(**LEAVING)
    assert is_gone(scene)


WAITS = {"owner": "carol", "users": {"mallory": {"state": "absent", "reassign_to": "app"}}}
OWNER = "select pg_get_userbyid(relowner) from pg_class where relname = 'orders'"


def test_an_heir_gets_nothing_of_a_database_that_is_refused(scene):
    """Nobody but its owner may create there, and what is in a declared schema is for that one."""
    scene.begins()
    scene.sql("create table orders ()")
    foreseen = scene.forecast(extensions=["nothing"], **WAITS)
    outcome = scene.cluster.attempt(**scene.pillar(extensions=["nothing"], **WAITS))
    assert outcome.failures == foreseen.failures
    assert outcome.failures.keys() == {"database 'shop'", "role 'mallory'"}
    assert "it waits for database 'shop'" in outcome.failures["role 'mallory'"]
    assert scene.founder(OWNER) == [("mallory",)]
    scene.heals(**WAITS)
    assert (is_gone(scene), scene.founder(OWNER)) == (True, [("carol",)])


def test_an_heir_gets_nothing_of_a_database_that_has_just_failed(scene):
    scene.begins()
    scene.sql("create table orders (); create table held (); grant truncate on held to app")
    scene.founder("alter table held owner to carol")
    with scene.holding("lock table held", user="app"):
        outcome = scene.cluster.attempt(**scene.pillar(**WAITS))
    assert outcome.failures.keys() == {"database 'shop'", "role 'mallory'"}
    assert "it waits for database 'shop'" in outcome.failures["role 'mallory'"]
    assert scene.founder(OWNER) == [("mallory",)]
    scene.heals(**WAITS)
    assert (is_gone(scene), scene.founder(OWNER)) == (True, [("carol",)])
