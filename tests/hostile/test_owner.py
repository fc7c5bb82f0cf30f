"""The owner of a database: what its script, its objects, its settings and its sessions may do to a run."""

import re
import resource
from contextlib import ExitStack
from pathlib import Path

import psycopg2
import pytest

from devtools.postgres import wait_for
from pgpillar import text
from pgpillar.model import BOOTSTRAP_LOGIN, UNFINISHED_LIMIT
from tests.hostile.limits import from_major, hosted_alone, superuser_alone
from tests.hostile.planted import HOSTILE, KINDS, SHADOWS
from tests.hostile.scene import SCRIPT, quoted, trap

# The script of a new database


def test_a_deferred_trigger_of_a_script_fires_as_nobody_else(scene):
    scene.bootstraps(
        "create table orders (id int);"
        "create constraint trigger late after insert on orders deferrable initially deferred"
        " for each row execute function trap_trigger(); insert into orders values (1)"
    )


def test_a_cursor_that_outlives_its_script_runs_as_nobody_else(scene):
    scene.bootstraps("declare held cursor with hold for select public.trap()")


def test_temporary_views_of_a_script_stand_before_no_catalog(scene):
    scene.bootstraps("""
        do $do$ declare one name; begin
            for one in select relname from pg_catalog.pg_class
                where relnamespace = 'pg_catalog'::regnamespace and relkind in ('r', 'v') loop
                begin
                    execute format(
                        'create temp view %1$I as select * from pg_catalog.%1$I where public.trap()', one);
                exception when others then null;
                end;
            end loop;
        end $do$""")


def test_temporary_tables_of_a_script_stand_before_no_catalog(scene):
    """An empty pg_database, pg_roles or pg_class would make it look as if nothing were there."""
    scene.bootstraps("""
        do $do$ declare one name; begin
            for one in select relname from pg_catalog.pg_class
                where relnamespace = 'pg_catalog'::regnamespace and relkind in ('r', 'v') loop
                begin
                    execute format('create temp table %1$I as select * from pg_catalog.%1$I limit 0', one);
                exception when others then null;
                end;
            end loop;
        end $do$""")


def test_temporary_types_of_a_script_stand_before_no_type(scene):
    bases = ("text", "bool", "name", "oid", "regclass", "aclitem", "oidvector")
    scene.bootstraps(
        ";".join(
            f"create domain pg_temp.{it} as pg_catalog.{it} check (public.trap() or true)" for it in bases
        )
    )


def test_a_script_that_shadows_functions_and_sets_the_path_runs_as_nobody_else(scene):
    scene.bootstraps(f"""{SHADOWS};
        select set_config('search_path', 'public, pg_catalog', false);
        alter database shop set search_path = public, pg_catalog;
        alter role mallory in database shop set search_path = public, pg_catalog""")


@pytest.mark.parametrize(
    "escape",
    [
        "reset role",
        "set role none",
        "set session authorization default",
        "reset session authorization",
        "set local role none",
        "discard all",
        "rollback; reset role",
        "commit; reset role",
        "commit and chain; reset session authorization",
        "end; begin; reset role",
    ],
)
def test_a_script_that_leaves_its_role_is_nobody_else(scene, escape):
    scene.bootstraps(f"{escape}; select public.trap()")


def test_a_script_cannot_become_the_admin(scene):
    scene.bootstraps(f"set role {scene.admin}; select public.trap()")
    scene.founder("drop database shop with (force)", "postgres")
    scene.bootstraps(f"set session authorization {scene.admin}; select public.trap()")


def test_a_script_that_commits_in_a_procedure_is_nobody_else(scene):
    scene.bootstraps("""
        create procedure leave() language plpgsql as
            $do$ begin commit; begin execute 'reset role'; exception when others then null; end;
                perform public.trap(); end $do$;
        call leave()""")


def test_a_script_that_listens_prepares_and_notifies_leaves_nothing(scene):
    scene.bootstraps(
        "listen pgpillar; notify pgpillar, 'here'; select pg_notify('pgpillar', 'there');"
        "prepare trapped as select public.trap()"
    )


def test_a_script_that_prepares_its_transaction_leaves_nothing(scene):
    scene.bootstraps("begin; create table orders (id int); prepare transaction 'kept'")
    assert scene.founder("select gid from pg_prepared_xacts", "postgres") == []


SETTINGS_OF_A_SCRIPT = (
    "set search_path = 'nowhere'",
    "set statement_timeout = '1ms'",
    "set default_transaction_read_only = on",
    "set row_security = off",
    "set client_encoding = 'LATIN1'",
    "set datestyle = 'German'",
    "set standard_conforming_strings = off",
    "set work_mem = '64kB'",
    "set constraints all deferred",
    "set client_min_messages = error",
)


def test_what_a_script_sets_ends_with_it(scene):
    scene.bootstraps(";".join(SETTINGS_OF_A_SCRIPT))


def test_a_script_may_create_no_event_trigger(scene):
    outcome = scene.bootstraps("""
        create function loud() returns event_trigger language plpgsql as
            $do$ begin perform public.trap(); end $do$;
        create event trigger loud on ddl_command_end execute function loud()""")
    assert "event trigger" in outcome.failures["database 'shop'"]


def test_a_script_that_holds_advisory_locks_blocks_nobody(scene):
    scene.bootstraps(
        "select pg_advisory_lock(1886876777, 1819042162);"
        "select pg_advisory_lock(n) from generate_series(1, 9) n"
    )


def test_a_script_without_an_end_is_ended(scene):
    scene.cluster.endpoint["statement_timeout"] = 5
    scene.bootstraps("set statement_timeout = 0; do $do$ begin loop null; end loop; end $do$")


def test_a_script_that_does_not_let_itself_be_canceled_is_ended(scene):
    scene.cluster.endpoint["statement_timeout"] = 5
    scene.bootstraps("""do $do$ begin loop
            begin perform pg_sleep(60); exception when query_canceled then null; end;
        end loop; end $do$""")


ROWS = "select repeat('x', 1000) from generate_series(1, 400000)"


def test_a_script_with_more_rows_than_memory_is_no_burden(scene):
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    assert scene.bootstraps(ROWS).failures == {}
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < 100_000


@pytest.mark.parametrize("code", ["40001", "40P01", "55P03", "57P01", "08006"])
def test_a_script_that_fails_like_the_server_fails_alone_and_not_for_ever(scene, code):
    scene.cluster.endpoint["statement_timeout"] = 5
    scene.bootstraps(f"do $do$ begin raise exception 'over' using errcode = '{code}'; end $do$")


@pytest.mark.parametrize("person", [{"connection_limit": 0}, {"valid_until": "2001-01-01"}])
def test_the_script_of_an_owner_that_cannot_log_in_runs(scene, person):
    assert scene.bootstraps("select 1", users={"mallory": person}).failures == {}


def test_an_owner_that_keeps_itself_out_fails_alone(scene):
    """Over and over, while its script is to run as itself."""
    scene.cluster.converge(**{**scene.pillar(), "databases": {"books": "amy", "wiki": "zoe"}})
    scene.cluster.scripts[SCRIPT] = "create table orders (id int)"
    with scene.session(dbname="postgres") as session, session.cursor() as cursor:
        session.autocommit = True
        with scene.repeating(
            lambda: cursor.execute("alter role mallory set local_preload_libraries = 'nope'")
        ):
            scene.drift()
            failures = scene.cluster.attempt(**scene.pillar(bootstrap=SCRIPT)).failures
    assert set(failures) <= {"database 'shop'", "role 'mallory'"}
    scene.bystanders_converged()
    scene.heals(bootstrap=SCRIPT)


def test_a_script_that_ends_other_sessions_ends_at_most_its_own(scene):
    scene.bootstraps("select pg_terminate_backend(pid) from pg_stat_activity where pid <> pg_backend_pid()"
                     " and usename = current_user")  # fmt: skip


def test_a_script_that_tries_to_end_the_sessions_of_pgpillar_fails(scene):
    scene.bootstraps("select pg_terminate_backend(pid) from pg_stat_activity where pid <> pg_backend_pid()"
                     " and backend_type = 'client backend'")  # fmt: skip


@pytest.mark.parametrize(
    "generous",
    [
        "alter default privileges grant all on tables to public",
        "alter default privileges in schema public grant all on functions to app with grant option",
        "grant all on database shop to public",
        "grant all on schema public to public",
        "create table t (); grant all on t to public; grant all on t to app with grant option",
        "revoke all on database shop from mallory; revoke all on schema public from mallory",
        "revoke all on database shop from public, mallory, app",
    ],
)
def test_what_a_script_gives_or_takes_is_put_right(scene, generous):
    assert scene.bootstraps(generous).failures == {}


@pytest.mark.parametrize(
    "change",
    [
        "alter database shop connection limit 0",
        "alter database shop is_template true",
        "alter database shop allow_connections false",
        "alter database shop rename to books2",
        "alter database shop owner to amy",
        "alter schema public owner to amy",
        "drop schema public cascade",
        "drop schema public cascade; create schema public",
        "alter schema public rename to private",
        "alter database shop set local_preload_libraries = 'nope'",
        "alter database shop set role = 'mallory'",
        "alter role mallory set statement_timeout = '1ms'",
        "alter role mallory nologin",
    ],
)
def test_what_a_script_does_to_its_database_is_put_right(scene, change):
    scene.bootstraps(change)


# What the owner has put into its database before


def test_what_an_owner_planted_runs_as_nobody_else(scene):
    """Its rights change, it gets another owner, and the attacker goes altogether."""
    scene.begins()
    scene.sql(trap() + ";".join(HOSTILE.values()))
    moved = {"owner": "carol", "access": {"app": "read"}, "schemas": {"reporting": "amy"}}
    scene.endures(**moved)
    scene.heals(**moved)
    gone = {**moved, "users": {"mallory": {"state": "absent", "reassign_to": "carol"}}}
    scene.endures(where="role 'mallory'", **gone)
    scene.heals(**gone)


@pytest.mark.usefixtures("dumper")
def test_what_an_owner_planted_runs_as_nobody_else_when_it_is_dumped(scene):
    scene.begins()
    scene.sql(trap() + ";".join(HOSTILE.values()))
    scene.endures()
    scene.heals(state="quarantined")
    outcome = scene.endures(state="absent", naming=["shop"])
    if scene.hosted:  # its dump would be without rows, by the policy that the owner made
        assert "give the admin BYPASSRLS" in outcome.failures["database 'shop'"]
        scene.founder(f"alter role {scene.admin} bypassrls", "postgres")
    scene.heals(state="absent")
    assert scene.founder("select 1 from pg_database where datname = 'shop'", "postgres") == []


@pytest.mark.usefixtures("dumper")
@pytest.mark.parametrize(
    "setting",
    [
        "role = 'mallory'",
        "session_authorization = 'mallory'",
        "search_path = public, pg_catalog",
        "local_preload_libraries = 'nope'",
        "default_transaction_isolation = 'serializable'",
        "quote_all_identifiers = on",
        "idle_in_transaction_session_timeout = '1ms'",
    ],
)
def test_settings_of_an_owner_keep_no_dump_from_being_written(scene, tmp_path, setting):
    scene.begins()
    scene.sql(trap() + SHADOWS + f"; create table orders (id int); alter database shop set {setting}")
    scene.heals(state="quarantined")
    scene.sql(f"alter database shop set {setting}", dbname="postgres")
    scene.withstands(state="absent")
    assert len([*tmp_path.iterdir()]) == 1


def test_functions_and_operators_that_fit_better_run_as_nobody_else(scene):
    scene.begins()
    scene.sql(trap() + SHADOWS)
    scene.sql("alter database shop set search_path = public, pg_catalog")
    scene.withstands(access={"app": "read", "carol": "write"})


def test_relations_named_like_catalogs_stand_before_none(scene):
    scene.begins()
    scene.sql(trap())
    for name in ("pg_database", "pg_roles", "pg_class", "pg_namespace", "pg_proc", "pg_type", "pg_locks"):
        scene.sql(f"create view public.{name} as select * from pg_catalog.{name} where public.trap()")
    scene.sql("alter database shop set search_path = public, pg_catalog")
    scene.withstands(access={"app": "read"})


VULNERABLE = """
    create function pgpillar_helper(bigint) returns boolean language sql as 'select true';
    create table pgpillar_probed (id int);
    select pgpillar_helper(1::int);
    """
UPDATE = "select pgpillar_helper(2::int); insert into pgpillar_probed values (2);"
BETTER_FIT = """
    create function pgpillar_helper(int) returns boolean language sql as 'select public.trap()';"""


@pytest.fixture
def extension(scene):
    """An extension whose script calls a function that somebody else may have written to fit better."""
    (directory,) = scene.founder("select setting from pg_config where name = 'SHAREDIR'", "postgres")[0]
    files = {
        "pgpillar_probe.control": "default_version = '1'\nrelocatable = false\ntrusted = true\n",
        "pgpillar_probe--1.sql": VULNERABLE,
        "pgpillar_probe--1--2.sql": UPDATE,
        "pgpillar_probe--2.sql": VULNERABLE + UPDATE,
    }
    paths = [Path(directory, "extension", name) for name in files]
    for path, content in zip(paths, files.values(), strict=True):
        path.write_text(content)
        path.chmod(0o644)
    yield "pgpillar_probe"
    for path in paths:
        path.unlink()


def test_an_extension_is_created_beside_functions_that_fit_better(scene, extension):
    scene.begins()
    scene.sql(trap() + BETTER_FIT)
    wanted = {"extensions": {extension: {"version": "1"}}}
    scene.endures(naming=[extension], **wanted)


def test_an_extension_is_created_in_a_schema_whose_owner_planted_functions(scene, extension):
    scene.begins(schemas={"tools": "mallory"})
    scene.sql(trap() + BETTER_FIT.replace("function ", "function tools."))
    wanted = {"extensions": {extension: {"version": "1", "schema": "tools"}}, "schemas": {"tools": "mallory"}}
    scene.endures(naming=[extension], **wanted)


def test_an_extension_is_updated_beside_functions_that_fit_better(scene, extension):
    wanted = {"extensions": {extension: {"version": "1"}}}
    scene.begins(**wanted)
    scene.sql(trap() + BETTER_FIT)
    scene.endures(naming=[extension], extensions={extension: {"version": "2"}})


def test_an_extension_that_fits_none_of_the_owners_functions_is_created(scene):
    scene.begins()
    scene.sql(trap() + SHADOWS)
    scene.sql("alter database shop set search_path = public, pg_catalog")
    outcome = scene.endures(naming=["citext"], extensions=["citext"])
    if not outcome.failures:
        scene.heals(extensions=["citext"])


EVENTS = ("ddl_command_start", "ddl_command_end", "sql_drop", "table_rewrite")


@pytest.mark.parametrize("event", EVENTS)
def test_the_owners_function_in_an_event_trigger_runs_as_nobody_else(scene, event):
    """A superuser made the event trigger once; its function is still the owner's, to replace at will."""
    scene.begins()
    scene.sql(trap())
    scene.sql("create function loud() returns event_trigger language plpgsql as $do$ begin"
              " perform public.trap(); end $do$; create table orders (id int)")  # fmt: skip
    scene.founder(f"create event trigger loud on {event} execute function public.loud()")
    moved = {"owner": "carol", "access": {"app": "read"}, "schemas": {"reporting": "amy"}}
    scene.endures(naming=["loud"], **moved)
    gone = {**moved, "users": {"mallory": {"state": "absent", "reassign_to": "carol"}}}
    failures = scene.cluster.attempt(**scene.pillar(**gone)).failures
    assert set(failures) <= {"database 'shop'", "role 'mallory'"}
    scene.nobody_gained()


@from_major(17)
@superuser_alone  # a hosted admin cannot turn it off: docs/design.rst, Limits
def test_the_owners_function_in_a_login_event_trigger_runs_as_nobody_else(scene):
    scene.begins()
    scene.sql(trap())
    scene.sql("create function loud() returns event_trigger language plpgsql as $do$ begin"
              " perform public.trap(); end $do$")  # fmt: skip
    scene.founder("create event trigger loud on login execute function public.loud();"
                  " alter event trigger loud enable always")  # fmt: skip
    scene.endures(naming=["loud"], access={"app": "read"})


@from_major(17)
def test_a_login_event_trigger_that_lets_nobody_in_is_named(scene):
    scene.begins()
    scene.sql("create function loud() returns event_trigger language plpgsql as $do$ begin"
              " raise exception 'closed'; end $do$")  # fmt: skip
    scene.founder("create event trigger loud on login execute function public.loud()")
    scene.endures(naming=["shop"], access={"app": "read"})


# Settings

# Each may keep the admin out of the database, or make its statements fail or mean something else
FENCES = ("local_preload_libraries = 'nope'", "role = 'mallory'", "session_authorization = 'mallory'")


@pytest.mark.parametrize("setting", FENCES)
def test_a_setting_of_the_owners_keeps_the_admin_out_of_nothing(scene, setting):
    keeps_nobody_out(scene, setting)


@from_major(17)
@pytest.mark.parametrize("setting", ["idle_session_timeout = '1ms'", "transaction_timeout = '1ms'"])
def test_a_tiny_timeout_keeps_the_admin_out_of_nothing(scene, setting):
    keeps_nobody_out(scene, setting)


def keeps_nobody_out(scene, setting):
    scene.begins()
    scene.sql(f"alter database shop set {setting}")
    scene.sql(f"alter role mallory in database shop set {setting}", dbname="postgres")
    scene.withstands(naming=["shop"], access={"app": "read"})


STRANGE = (
    *("statement_timeout = '1ms'", "lock_timeout = '1ms'", "idle_in_transaction_session_timeout = '1ms'"),
    *("default_transaction_isolation = 'serializable'", "default_transaction_deferrable = on"),
    *("row_security = on", "quote_all_identifiers = on", "client_encoding = 'LATIN1'"),
    *("default_transaction_read_only = on", "search_path = pg_temp, public"),
)


def test_settings_that_make_a_session_strange_keep_the_admin_out_of_nothing(scene):
    scene.begins()
    statements = [
        f"alter {whose} set {setting}"
        for setting in STRANGE
        for whose in ("database shop", "role mallory in database shop")
    ]
    scene.sql(";".join(statements), dbname="postgres")
    assert scene.withstands(access={"app": "read"}).failures == {}


ODD = (
    *("datestyle = 'German'", "intervalstyle = 'sql_standard'", "timezone = 'America/St_Johns'"),
    *("bytea_output = 'escape'", "standard_conforming_strings = off", "backslash_quote = off"),
    *("xmloption = document", "transform_null_equals = on", "array_nulls = off", "xmlbinary = hex"),
    *("password_encryption = md5", "temp_tablespaces = ''", "default_tablespace = ''"),
    *("plan_cache_mode = force_generic_plan", "work_mem = '64kB'", "check_function_bodies = off"),
    *("default_table_access_method = 'heap'", "extra_float_digits = -15", "client_min_messages = error"),
    *("enable_seqscan = off", "enable_indexscan = off", "enable_hashjoin = off", "enable_sort = off"),
    *("enable_nestloop = off", "jit = on", "jit_above_cost = 0", "cursor_tuple_fraction = 0"),
    *(
        "from_collapse_limit = 1",
        "geqo_threshold = 2",
        "synchronous_commit = off",
        "escape_string_warning = off",
    ),
    *("tcp_user_timeout = 1000", "client_connection_check_interval = 1", "lo_compat_privileges_of = 'x'"),
    *("createrole_self_grant = 'set, inherit'", "restrict_nonsystem_relation_kind = 'view, foreign-table'"),
    *(
        "debug_parallel_query = on",
        "force_parallel_mode = on",
        "parallel_setup_cost = 0",
        "my.own = 'x=y,\"z'",
    ),
    *("statement_timeout = 1000", "temp_buffers = 100", "vacuum_cost_delay = 100", "io_combine_limit = 1"),
)


def test_odd_settings_change_nothing_of_a_run(scene):
    """All that the server lets an owner set, at once, wherever it may."""
    scene.begins()
    places = ("database shop", "role mallory", "role mallory in database shop")
    taken = sum(_is_taken(scene, f"alter {whose} set {setting}") for setting in ODD for whose in places)
    assert taken > 75
    scene.withstands(access={"app": "read"})


def _is_taken(scene, statement):
    try:
        scene.sql(statement, dbname="postgres")
    except psycopg2.Error:
        return False
    return True


UNREADABLE = {
    "quotes in the wrong place": ('a"b', '"open', 'a"'),
    "nothing between commas": ("public,", ",,", ",public"),
    "what is no name": ("a\nb", "a=b", "a b"),
}


@pytest.mark.parametrize("what", UNREADABLE)
@pytest.mark.parametrize("name", ["search_path", "temp_tablespaces", "local_preload_libraries"])
def test_a_list_that_is_none_concerns_nobody_else(scene, what, name):
    """A list that the server would not take in SET gets into a setting by set_config and FROM CURRENT."""
    scene.begins()
    places = ("database shop", "role mallory", "role mallory in database shop")
    with scene.session() as session, session.cursor() as cursor:
        session.autocommit = True
        for whose, value in zip(places, UNREADABLE[what], strict=True):
            if _is_set(cursor, name, value):
                cursor.execute(f"alter {whose} set {name} from current")
    scene.withstands(naming=["shop"], access={"app": "read"})


def _is_set(cursor, name, value):
    try:
        cursor.execute("select set_config(%s, %s, false)", [name, value])
    except psycopg2.Error:
        return False
    return True


def test_a_setting_in_the_encoding_of_its_database_concerns_nobody_else(scene):
    encoding = {"encoding": "LATIN1", "locale": "C", "template": "template0"}
    scene.begins(**encoding)
    with scene.session(client_encoding="LATIN1") as session, session.cursor() as cursor:
        session.autocommit = True
        cursor.execute("set search_path = 'käse', public")
        for whose in ("database shop", "role mallory", "role mallory in database shop"):
            cursor.execute(f"alter {whose} set search_path from current")
    scene.withstands(naming=["shop"], access={"app": "read"}, **encoding)


def test_names_in_the_encoding_of_a_database_concern_nobody_else(scene):
    encoding = {"encoding": "LATIN1", "locale": "C", "template": "template0"}
    scene.begins(**encoding)
    scene.sql(
        "create schema käse; create table käse.né (à int); create table né (à int);"
        " grant select (à) on né to app;"
        " create function né(à int) returns int language sql as 'select 1'",
        client_encoding="LATIN1",
    )
    scene.withstands(access={"app": "read"}, **encoding)


# What the owner may do to its database itself


@pytest.mark.parametrize(
    "change",
    [
        "alter database shop connection limit 0",
        "alter database shop is_template true",
        "alter database shop allow_connections false",
        "revoke all on database shop from public, app, mallory",
        "grant all on database shop to public; grant all on database shop to app with grant option",
    ],
)
def test_what_an_owner_does_to_its_database_is_put_right(scene, change):
    scene.begins()
    scene.sql(change, dbname="postgres")
    assert scene.withstands(access={"app": "read"}).failures == {}


@hosted_alone
def test_an_owner_that_revokes_connect_from_a_hosted_admin_is_undone(scene):
    scene.begins()
    scene.sql(f"revoke connect on database shop from {scene.admin}, mallory, public", dbname="postgres")
    assert scene.withstands(access={"app": "read"}).failures == {}


OUT = (
    "revoke connect on database shop from {}, mallory, public",
    "alter database shop connection limit 0",
)


@hosted_alone
@pytest.mark.parametrize("kept_out", OUT)
def test_an_owner_that_keeps_a_hosted_admin_out_is_demoted_in_one_run(scene, kept_out):
    scene.begins()
    scene.sql(kept_out.format(scene.admin), dbname="postgres")
    assert scene.withstands(owner="carol", access={"app": "read"}).failures == {}


@hosted_alone
@pytest.mark.parametrize("kept_out", OUT)
def test_an_owner_that_keeps_a_hosted_admin_out_and_leaves_is_gone_after_two_runs(scene, kept_out):
    """The first one enters the database too late to plan what the role gives away there."""
    scene.begins()
    scene.sql(kept_out.format(scene.admin), dbname="postgres")
    leaving = {"owner": "carol", "users": {"mallory": {"state": "absent", "reassign_to": "carol"}}}
    (why,) = scene.fails(
        where="role 'mallory'", naming=["waits for database 'shop'"], **leaving
    ).failures.values()
    assert ";" not in why.removesuffix("; run this again once it is")
    scene.heals(**leaving)


@superuser_alone
def test_an_owner_that_may_create_databases_takes_no_name_of_another(scene):
    """It renames its own to a name that pillar gives to somebody else later, with its traps in it."""
    users = {"mallory": {"attributes": ["createdb"]}}
    scene.begins(users=users)
    scene.sql(trap() + SHADOWS + ";" + BETTER_FIT)
    scene.sql("alter database shop rename to stock", dbname="postgres")
    more = {"stock": {"owner": "carol", "extensions": ["citext"]}}
    scene.endures(where="database 'stock'", naming=["stock"], users=users, databases=more)
    owners = dict(scene.founder("select datname, pg_get_userbyid(datdba) from pg_database", "postgres"))
    assert owners["shop"] == "mallory"


# What the owner holds


def test_an_owner_that_holds_its_own_role_keeps_nobody_waiting(scene):
    scene.begins()
    scene.founder("alter role mallory connection limit 5", "postgres")
    users = {"mallory": {"settings": {"work_mem": "3MB"}}}
    with scene.holding("alter role mallory set work_mem = '2MB'", dbname="postgres"):
        scene.fails(where="role 'mallory'", naming=["mallory"], users=users)
    scene.heals(users=users)


def test_an_owner_that_holds_its_own_password_keeps_nobody_waiting(scene):
    scene.begins()
    users = {"mallory": {"connection_limit": 7}}
    with scene.holding("alter role mallory password 'other'", dbname="postgres"):
        scene.fails(where="role 'mallory'", naming=["mallory"], users=users)
    scene.heals(users=users)


@pytest.mark.parametrize(
    "statement",
    [
        "grant connect on database shop to app",
        "alter database shop set work_mem = '2MB'",
        "alter database shop connection limit 9",
        "comment on database shop is 'mine'",
        "alter role mallory in database shop set work_mem = '2MB'",
    ],
)
def test_an_owner_that_holds_its_database_keeps_nobody_waiting(scene, statement):
    scene.begins()
    wanted = {
        "access": {"app": "read", "carol": "read"},
        "connection_limit": 8,
        "settings": {"work_mem": "4MB"},
    }
    with scene.holding(statement, dbname="postgres"):
        scene.endures(naming=["mallory"], **wanted)
    scene.heals(**wanted)


@pytest.mark.parametrize(
    "statement",
    [
        "lock table orders in access exclusive mode",
        "lock table orders in access share mode",
        "grant select on orders to app",
        "grant usage on schema public to app",
        "alter default privileges in schema public grant select on tables to app",
        "alter table orders add column more int",
    ],
)
def test_an_owner_that_holds_a_table_keeps_nobody_waiting(scene, statement):
    scene.begins()
    scene.sql("create table orders (id int)")
    wanted = {"owner": "carol", "access": {"app": "read"}}
    with scene.holding(statement, "select pg_sleep(0)"):
        scene.fails(naming=["mallory"], **wanted)
    scene.heals(**wanted)


def test_what_an_owner_prepared_and_never_commits_keeps_nobody_waiting(scene):
    """There is no session that holds its locks."""
    scene.begins()
    scene.sql("create table orders (id int)")
    scene.sql("begin; lock table orders in access exclusive mode; alter table orders add column more int;"
              " prepare transaction 'kept'")  # fmt: skip
    wanted = {"owner": "carol", "access": {"app": "read"}}
    scene.fails(naming=["kept", "mallory"], **wanted)
    scene.founder("rollback prepared 'kept'")
    scene.heals(**wanted)


def test_an_owner_that_fills_its_database_keeps_nobody_out(scene):
    scene.begins(connection_limit=3)
    with scene.holding("select 1"), scene.holding("select 1"), scene.holding("select 1"):
        scene.endures(naming=["shop"], connection_limit=4, access={"app": "read"})
    scene.heals(connection_limit=4, access={"app": "read"})


@pytest.mark.usefixtures("dumper")
def test_an_owner_that_comes_back_while_its_database_is_dumped_keeps_nobody_waiting(scene):
    scene.begins()
    scene.heals(state="quarantined")

    def come_back():
        scene.sql("grant connect on database shop to mallory", dbname="postgres")
        scene.sql("select pg_sleep(1)")

    with scene.repeating(come_back):
        scene.endures(naming=["shop"], state="absent")
    scene.heals(state="absent")


def test_an_owner_that_ends_its_own_sessions_keeps_nobody_waiting(scene):
    scene.cluster.converge(**{**scene.pillar(), "databases": {"books": "amy", "wiki": "zoe"}})
    scene.cluster.scripts[SCRIPT] = "create table orders (id int); select pg_sleep(1)"
    ending = "select pg_terminate_backend(pid) from pg_stat_activity where usename = 'mallory'"
    with scene.repeating(lambda: scene.sql(ending, dbname="postgres")):
        scene.endures(bootstrap=SCRIPT)
    scene.heals(bootstrap=SCRIPT)


def test_a_sequence_that_becomes_a_view_runs_as_nobody_else(scene):
    """It is replaced between two statements of a run, which waits for another sequence meanwhile."""
    scene.begins()
    scene.sql(trap() + SWAPPED)
    scene.founder("revoke all on sequence first, second from app")
    with scene.holding(*SWAP) as session, scene.run_beside() as running:
        scene.wait_for_a_waiter(running)
        session.commit()
    assert set(running.result().failures) <= {"database 'shop'"}
    scene.nobody_gained()


SWAPPED = """;
    create sequence first; create sequence second; create table base as select 1 as one;
    create function sprung(int) returns boolean language plpgsql immutable as
        $do$ begin return public.trap(); end $do$"""
SWAP = (
    "alter sequence first rename to other",
    "alter sequence other rename to first",
    "drop sequence second",
    "create view second as select one from base where sprung(1)",
)


def test_an_owner_that_ties_the_login_of_scripts_to_a_closed_database_stops_no_script(scene):
    """Its undeclared database gives that login a right, and then lets nobody in."""
    scene.cluster.converge(**{**scene.pillar(), "databases": {"books": "amy", "wiki": "zoe"}})
    scene.stranger(options="createdb")
    scene.sql("create database lair", "stranger", scene.admin_database)
    scene.cluster.scripts[SCRIPT] = "create table orders (id int); select pg_sleep(1)"
    with scene.session("stranger", scene.admin_database) as session, session.cursor() as cursor:
        session.autocommit = True

        def tie():
            cursor.execute(f"grant connect on database lair to {BOOTSTRAP_LOGIN}")
            cursor.execute("alter database lair allow_connections false")

        with scene.repeating(tie):
            scene.cluster.attempt(**scene.pillar(bootstrap=SCRIPT))
    more = {"stock": {"owner": "carol", "bootstrap": SCRIPT}}
    assert scene.endures(bootstrap=SCRIPT, databases=more).failures == {}


# What the owner keeps


def test_a_demoted_owner_owns_nothing_of_any_kind(scene):
    scene.begins()
    for kind, statements in KINDS.items():
        scene.sql(f'create schema "{kind}"')
        for statement in statements:
            scene.sql(f'set search_path = "{kind}"; {statement}')
    wanted = {"owner": "carol", "access": {"app": "read", "mallory": "read"}}
    wanted["schemas"] = {kind: {} for kind in KINDS}
    scene.withstands(naming=["mallory"], **wanted)
    assert owned_by(scene, "mallory") == []


def test_an_extension_of_a_demoted_owner_is_refused_by_name(scene):
    """The server has no command that gives an extension to another role."""
    scene.begins()
    scene.sql("create extension hstore")
    wanted = {"owner": "carol", "access": {"app": "read", "mallory": "read"}}
    scene.fails(naming=["hstore", "mallory"], **wanted)
    scene.founder("drop extension hstore")
    scene.heals(**wanted)


RANGES = ("create type mine as range (subtype = int)", "create type other as range (subtype = text)")


def test_a_demoted_owner_keeps_no_range_whose_constructors_are_the_founders(scene):
    scene.begins()
    for statement in RANGES:
        scene.sql(statement)
    scene.withstands(naming=["mallory"], owner="carol", access={"app": "read", "mallory": "read"})
    assert owned_by(scene, "mallory") == []


def test_the_plan_names_each_routine_and_view_that_will_act_as_the_new_owner(scene):
    """They run with the rights of whoever owns them, and the old owner wrote them."""
    scene.begins()
    scene.sql("".join(f"create view v{number} as select {number} as one;" for number in range(5)))
    scene.sql("create function backdoor(command text) returns void language plpgsql security definer as"
              " $do$ begin execute command; end $do$")  # fmt: skip
    wanted = {"owner": "carol", "access": {"mallory": "read"}}
    foreseen = scene.cluster.forecast(**scene.pillar(**wanted))
    assert "routine public.backdoor(text)" in str(text.tree(foreseen.changes))
    assert "tables v0, v1, v2 and 2 more in schema public owner" in str(text.tree(foreseen.changes))
    assert all(f'"v{number}" OWNER TO "carol"' in "".join(foreseen.statements) for number in range(5))
    scene.withstands(naming=["backdoor"], **wanted)


def owned_by(scene, role):
    return scene.founder(
        "select pg_describe_object(classid, objid, objsubid) from pg_shdepend where deptype = 'o'"
        " and refobjid = %s::regrole and dbid ="
        " (select oid from pg_database where datname = current_database())",
        parameters=[role],
    )


def test_rights_on_what_an_owner_added_to_an_extension_are_taken_back(scene):
    wanted = {"access": {"app": "read"}}
    scene.begins(**wanted)
    scene.sql("create extension hstore; create table orders (id int)")
    scene.sql("alter extension hstore add table orders; grant insert on orders to app")
    assert scene.withstands(**wanted).failures == {}
    scene.sql("select from orders", "app")
    with pytest.raises(psycopg2.errors.InsufficientPrivilege):
        scene.sql("insert into orders values (1)", "app")


def test_a_demoted_owner_destroys_nothing_by_what_it_made(scene):
    scene.begins()
    scene.sql('create collation mine (locale = "C"); create table orders (id int, what text collate mine)')
    wanted = {"owner": "carol", "access": {"mallory": "read"}}
    scene.withstands(naming=["mallory"], **wanted)
    with pytest.raises(psycopg2.errors.InsufficientPrivilege):
        scene.sql("drop collation mine cascade")


def test_a_demoted_owner_does_not_keep_the_schema_public(scene):
    scene.begins()
    scene.founder("alter schema public owner to mallory")  # whose it is by itself from 15 on alone
    scene.sql("drop schema public cascade; create schema public; create table orders (id int)")
    wanted = {"owner": "carol", "access": {"app": "read", "mallory": "read"}}
    scene.withstands(**wanted)
    assert owned_by(scene, "mallory") == []


def test_a_schema_whose_owner_leaves_pillar_is_the_same_as_on_a_new_server(scene):
    scene.begins(schemas={"public": {"owner": "mallory"}}, owner="carol")
    scene.withstands(owner="carol", access={"mallory": "read"})
    assert owned_by(scene, "mallory") == []


def test_objects_in_a_schema_where_their_owner_may_not_create_move(scene):
    scene.begins()
    scene.sql("create table orders (id int)")
    wanted = {"owner": "carol", "schemas": {"reporting": "mallory"}}
    scene.founder("alter table orders owner to mallory")
    scene.withstands(**wanted)
    assert not [one for one in owned_by(scene, "mallory") if "orders" in one[0]]


def test_the_rights_that_an_owner_took_from_itself_come_back(scene):
    scene.begins()
    scene.sql("create table orders (id int); create function f() returns int language sql as 'select 1'")
    scene.sql("revoke all on orders from mallory; revoke all on function f() from mallory, public")
    scene.withstands()
    assert scene.sql("select count(*), f() from orders group by 2") == []


LONG = "report(timestamptz, timestamptz, timestamptz)"


def test_routines_with_long_arguments_get_their_rights(scene):
    scene.begins()
    scene.sql(f"create function {LONG} returns int language sql as 'select 1'")
    scene.sql(f"create function {LONG[:-1]}, int) returns int language sql as 'select 1'")
    scene.sql("create procedure p(int) language sql as 'select 1'")
    scene.founder(f"revoke all on function {LONG} from public, app")
    scene.founder(f"revoke all on function {LONG[:-1]}, int) from public, app")
    scene.withstands()
    may = "select has_function_privilege('app', oid, 'execute') from pg_proc where proname = 'report'"
    assert scene.founder(may) == [(True,), (True,)]


@from_major(14)
def test_routines_that_differ_in_out_arguments_get_their_rights(scene):
    scene.begins()
    scene.sql("create procedure p(int) language sql as 'select 1'")
    scene.sql("create procedure p(out text) language sql as 'select ''x'''")
    scene.founder("revoke all on all procedures in schema public from public, app")
    scene.withstands()


def test_an_heir_that_may_not_create_there_leaves_the_second_run_empty(scene):
    scene.begins()
    scene.sql("create table orders (id int)")
    moved = {"owner": "carol", "users": {"mallory": {"state": "absent", "reassign_to": "app"}}}
    scene.withstands(where="role 'mallory'", **moved)


# Names and numbers


HOSTILE_NAMES = [
    "two\nlines",
    'quo"te',
    "per%cent %s %(x)s",
    "back\\slash",
    "semi;colon--",
    "x" * 63,
    "é" * 31,
]


@pytest.mark.parametrize("name", HOSTILE_NAMES)
def test_names_of_an_owners_objects_are_names_alone(scene, name):
    scene.begins()
    name = quoted(name)
    for statement in (
        "create schema {}",
        "create table {} ({} int)",
        "grant select ({}) on {} to app",
        "create schema other; create sequence other.{}",  # before 14 a sequence has a type of its name
        "create domain {}.{} as int",
        "create function {}({}.{}) returns int language sql as 'select 1'",
        "create table {0}.more ({0} {0}.{0})",
    ):
        scene.sql(statement.replace("{0}", name).replace("{}", name))
    scene.withstands(owner="carol", access={"app": "read"})


def test_very_many_objects_change_their_owner(scene):
    """More than one step may touch."""
    scene.begins()
    scene.sql("do $do$ begin for n in 1..4000 loop execute format('create table t%s ()', n);"
              " if n % 500 = 0 then commit; end if; end loop; end $do$")  # fmt: skip
    scene.withstands(owner="carol", access={"app": "read"})


# What an owner makes of its own database, so that pillar cannot have it


def test_an_owner_that_reopens_a_database_that_is_to_be_dropped_stops_no_other(scene):
    scene.begins()
    scene.heals(state="quarantined")
    scene.sql("alter database shop allow_connections true", dbname=scene.admin_database)
    scene.sql("grant connect on database shop to mallory", dbname=scene.admin_database)
    outcome = scene.fails(naming=["'shop' is still open", "postgresql:databases:shop:state"], state="absent")
    assert scene.forecast(state="absent").failures == outcome.failures
    scene.heals(state="quarantined")


def test_an_owner_that_marks_its_database_as_unfinished_stops_no_other(scene):
    """Its bootstrap script, which ran long ago, is gone."""
    scene.cluster.scripts[SCRIPT] = "create table orders (id int)"
    scene.begins(bootstrap=SCRIPT)
    del scene.cluster.scripts[SCRIPT]
    scene.sql(f"alter database shop connection limit {UNFINISHED_LIMIT}", dbname=scene.admin_database)
    assert scene.endures(where="", bootstrap=SCRIPT).failures == {}
    assert scene.forecast(bootstrap=SCRIPT).failures == {}
    scene.heals()


@pytest.mark.parametrize("version", ["latest", "9.9", None])
def test_an_extension_that_the_server_does_not_have_stops_no_other(scene, version):
    scene.begins()
    wanted = {"extensions": {"no_such": {"version": version} if version else {}}}
    outcome = scene.fails(naming=["no_such", "postgresql:databases:shop:extensions:no_such"], **wanted)
    assert scene.forecast(**wanted).failures == outcome.failures
    scene.heals()


@pytest.mark.parametrize("state", ["closed", "kept out"])
def test_an_extension_that_the_server_does_not_have_stops_no_other_where_nobody_sees_inside(scene, state):
    scene.begins()
    scene.sql(_SHUTS[state], dbname=scene.admin_database)
    scene.fails(naming=["no_such"], extensions={"no_such": {"version": "latest"}})
    scene.heals()


_SHUTS = {
    "closed": "alter database shop allow_connections false",
    "kept out": "alter database shop connection limit 0; revoke connect on database shop from mallory",
}


LOCKS = {
    "a table": "lock table orders in access exclusive mode",
    "a view": "alter view seen rename to unseen",
}


@pytest.mark.parametrize("what", LOCKS)
def test_an_owner_that_holds_what_is_dumped_keeps_nobody_waiting(scene, slow_dumper, what):
    """It lets itself in after all sessions were ended."""
    scene.begins()
    scene.sql("create table orders (id int); create view seen as select id from orders")
    scene.heals(state="quarantined")
    scene.drift()
    with scene.run_beside(state="absent") as running:
        slow_dumper.wait_for_start(running)
        scene.sql("grant connect on database shop to mallory", dbname=scene.admin_database)
        with scene.holding(LOCKS[what]):
            slow_dumper.go()
            (said,) = running.result().failures.values()
    assert re.search("pg_dump of 'shop' waited 1 s for a lock.*backend .* of 'mallory'", said)
    scene.bystanders_converged()
    scene.heals(state="absent")


def test_an_owner_that_holds_one_thing_after_another_uses_up_one_limit(scene):
    """The setting of its database is held for four of the six waits that it has, and a table for ever."""
    scene.cluster.endpoint.update(lock_timeout=6, blocking_limit=1)
    scene.begins()
    scene.sql("create table orders (id int); grant truncate on orders to app")
    wanted = {"settings": {"work_mem": "4MB"}}

    def waits():
        return len(scene.logged("canceling statement due to lock timeout"))

    with (
        scene.holding("alter table orders add column more int"),
        scene.holding("alter database shop set work_mem = '2MB'", dbname=scene.admin_database) as first,
        scene.run_beside(**wanted) as running,
    ):
        wait_for(lambda: running.done() or waits() >= 4, "the run does not wait")
        first.rollback()
        (said,) = running.result().failures.values()
    assert "table orders" in said
    assert waits() <= 7, "each waits for a second"
    scene.heals(**wanted)


def test_an_owner_that_holds_things_in_several_databases_uses_up_one_limit(scene):
    """In each of the others a run tries once, as it would for somebody who holds nothing."""
    scene.cluster.endpoint["lock_timeout"] = 4
    more = {f"shop{n}": "mallory" for n in range(3)}
    scene.begins(databases=more)
    wanted = {name: {"owner": "mallory", "access": {"app": "read"}} for name in more}
    with ExitStack() as stack:
        for name in more:
            scene.sql("create table orders (id int)", dbname=name)
            stack.enter_context(scene.holding("lock table orders", dbname=name))
        outcome = scene.cluster.attempt(**scene.pillar(databases=wanted))
    assert outcome.failures.keys() == {f"database '{name}'" for name in more}
    in_one = 4 / 0.2  # it waits 0.2 s (NEXT_LOCK) each time
    assert len(scene.logged("canceling statement due to lock timeout")) <= in_one + 2
    scene.heals(databases=wanted)
