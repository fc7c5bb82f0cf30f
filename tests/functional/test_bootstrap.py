"""Bootstrap: once, as the owner, whole or not at all, and no way around what pillar grants."""

import psycopg2
import pytest

from pgpillar import bootstrap, execute, sql
from pgpillar.model import UNFINISHED_LIMIT

AT_SHOP = {"dbname": "shop"}
URL = "salt://shop/schema.sql"


@pytest.fixture
def shop(cluster):
    """A function that gives the script and the rest of the database's pillar, and returns the pillar."""

    def declare(script, **keys):
        cluster.scripts[URL] = script
        database = {"owner": "shop", "bootstrap": URL, **keys}
        return {"databases": {"shop": database}, "users": ["shop", "ann"]}

    return declare


def is_unfinished(cluster):
    limit = cluster.query("select datconnlimit from pg_database where datname = 'shop'")
    return limit == [(UNFINISHED_LIMIT,)]


def tables(cluster):
    found = "select tablename, tableowner from pg_tables where schemaname !~ '^(pg_|information_schema)'"
    return dict(cluster.query(found, **AT_SHOP))


def test_it_runs_once_as_the_owner(cluster, shop):
    declared = shop("create table orders as select current_user::text as who, session_user::text as admin")
    changed = cluster.converge(**declared)
    assert f"run {URL} as shop" in changed["databases"]["shop"]
    assert tables(cluster) == {"orders": "shop"}
    assert cluster.query("select who from orders", **AT_SHOP) == [("shop",)]
    cluster.query("drop table orders", **AT_SHOP)
    assert cluster.converge(**declared) == {}
    assert tables(cluster) == {}


def test_it_is_foretold(cluster, shop):
    declared = shop("select 1")
    assert cluster.preview(**declared) == cluster.converge(**declared)


def test_readers_see_what_it_made(cluster, shop):
    script = "create table orders (id int); insert into orders values (1)"
    cluster.settle(**shop(script, access={"ann": "read"}))
    assert cluster.query("select id from orders", user="ann", **AT_SHOP) == [(1,)]


def test_it_finds_its_extensions_and_schemas(cluster, shop):
    script = "create table orders (what citext); create table stock.tea (); create schema more"
    cluster.settle(**shop(script, extensions=["citext"], schemas={"stock": {}}))
    assert tables(cluster) == {"orders": "shop", "tea": "shop"}


SCRIPTS = {
    "a sign of percent": ("create table t as select '100%' as a, 5 % 3 as b, '%s %(x)s' as c", "100%"),
    "braces": ("create table t as select '{a} {} {0}' as a", "{a} {} {0}"),
    "quotes": (
        "create table t as select 'it''s \"so\" $$ $x$ $bootstrap$ \\' as a",
        'it\'s "so" $$ $x$ $bootstrap$ \\',
    ),
    "Unicode": ("create table t as select 'Größe 漢字' as a", "Größe 漢字"),
    "a function": (
        "create function f() returns text language plpgsql as $$ begin return 'tea'; end $$;\n"
        "create table t as select f() as a",
        "tea",
    ),
    "comments": (
        "-- it's a comment; commit;\n/* rollback; */ create table t as select 'tea' as a; -- end",
        "tea",
    ),
    "its own database": (
        "comment on database shop is 'tea'; alter database shop set work_mem = '2MB';\n"
        "create table t as select shobj_description(oid, 'pg_database') as a"
        " from pg_database where datname = 'shop'",
        "tea",
    ),
    "a DO block": ("do $do$ begin create table t as select 'tea' as a; end $do$", "tea"),
    "a statement with rows": ("create table t (a text); insert into t select 'tea' returning a;", "tea"),
    "a path of its own": ("set search_path = public; create table t as select 'tea' as a;", "tea"),
}


@pytest.mark.parametrize("what", SCRIPTS)
def test_a_script_may_hold(cluster, shop, what):
    script, expected = SCRIPTS[what]
    declared = shop(script)
    cluster.converge(**declared)
    assert cluster.query("select a from t", client_encoding="UTF8", **AT_SHOP) == [(expected,)]
    assert tables(cluster) == {"t": "shop"}
    assert cluster.converge(**declared) == {}


def test_an_empty_script_does_nothing(cluster, shop):
    cluster.settle(**shop("-- nothing yet\n"))
    assert not is_unfinished(cluster)


# Failures


def test_a_script_that_fails_leaves_nothing_and_the_next_run_heals(cluster, shop):
    outcome = cluster.attempt(**shop("create table orders (); create table orders ()"))
    (failure,) = outcome.failures.values()
    assert f"{URL} failed and left nothing behind" in failure
    assert 'relation "orders" already exists' in failure
    assert tables(cluster) == {}
    assert is_unfinished(cluster)
    cluster.settle(**shop("create table orders ()"))
    assert tables(cluster) == {"orders": "shop"}
    assert not is_unfinished(cluster)


# A run that is killed leaves what was committed


KILLED_BEFORE = {
    "the database is opened": (execute._Run, "_inside"),
    "the login of the script is made": (bootstrap, "admit"),
    "the script runs": (bootstrap, "_run_as_login"),
    "the mark is removed": (sql, "unmark"),
    "the login of the script is dropped": (bootstrap, "_drop_owned"),
}


@pytest.mark.parametrize("what", KILLED_BEFORE)
def test_a_run_that_was_killed_is_finished_by_the_next(cluster, shop, what, monkeypatch):
    declared = shop("create table orders (); create table more ()", access={"ann": "read"})

    def killed(*_):
        raise KeyboardInterrupt

    with monkeypatch.context() as patched:
        patched.setattr(*KILLED_BEFORE[what], killed)
        with pytest.raises(KeyboardInterrupt):
            cluster.attempt(**declared)
    cluster.settle(**declared)
    assert tables(cluster) == {"orders": "shop", "more": "shop"}
    assert not is_unfinished(cluster)
    assert cluster.query("select 1 from pg_db_role_setting where setconfig::text ~ 'unfinished'") == []
    assert cluster.query("select 1 from pg_roles where rolname ~ '^pgpillar'") == []


@pytest.mark.parametrize("left", ["", "; revoke all on database shop from public"])
def test_a_run_that_was_killed_while_the_database_was_closed_is_finished_by_the_next(cluster, shop, left):
    limit = f"allow_connections false connection limit {UNFINISHED_LIMIT}"
    cluster.query(f"create database shop {limit} template template0")
    for statement in filter(None, left.split("; ")):
        cluster.query(statement)
    changed = cluster.settle(**shop("create table orders ()", access={"ann": "read"}))
    assert f"run {URL} as shop" in changed["databases"]["shop"]
    assert tables(cluster) == {"orders": "shop"}


def test_a_database_whose_script_is_taken_out_after_it_failed_is_finished_without_it(cluster, shop):
    assert cluster.attempt(**shop("select no_such()")).failures
    cluster.settle(databases={"shop": "shop"}, users=["shop"])
    assert not is_unfinished(cluster)
    cluster.query("select 1", user="shop", **AT_SHOP)


def test_while_unfinished_nobody_gets_in(cluster, shop):
    cluster.attempt(**shop("select no_such()", access={"ann": "read"}))
    for user in ("shop", "ann"):
        with pytest.raises(psycopg2.OperationalError, match="permission denied for database"):
            cluster.query("select 1", user=user, **AT_SHOP)


@pytest.mark.parametrize("end", ["commit", "rollback; begin", "end", "prepare transaction 'x'"])
def test_a_script_that_ends_its_transaction_is_refused_and_leaves_nothing(cluster, shop, end):
    outcome = cluster.attempt(**shop(f"begin; create table orders (); {end}; create table more ()"))
    (failure,) = outcome.failures.values()
    assert URL in failure
    assert "neither BEGIN, COMMIT or ROLLBACK" in failure
    assert tables(cluster) == {}
    assert is_unfinished(cluster)
    cluster.settle(**shop("create table orders ()"))


def test_what_only_psql_could_feed_is_refused_with_advice(cluster, shop):
    outcome = cluster.attempt(**shop("create table t (a int); copy t from stdin;"))
    assert "nor COPY FROM stdin" in outcome.failures["database 'shop'"]


NOT_THE_OWNERS = {
    "create role intruder": "permission denied to create role",
    "reset role; create role intruder": "cannot set parameter",
    "set role postgres; create role intruder": "cannot set parameter",
    "set session authorization default; create role intruder": "cannot set parameter",
    "copy (select 1) to program 'true'": "to COPY to or from an external program",
}


@pytest.mark.parametrize("script", NOT_THE_OWNERS)
def test_a_script_cannot_do_what_the_owner_may_not(cluster, shop, script):
    outcome = cluster.attempt(**shop(script))
    assert NOT_THE_OWNERS[script] in outcome.failures["database 'shop'"]
    assert cluster.query("select 1 from pg_roles where rolname = 'intruder'") == []


def test_a_failing_script_keeps_the_other_databases_from_nothing(cluster, shop):
    declared = shop("select no_such()")
    declared["databases"]["wiki"] = declared["databases"]["books"] = "ann"
    outcome = cluster.attempt(**declared)
    assert list(outcome.failures) == ["database 'shop'"]
    for name in ("wiki", "books"):
        cluster.query("select 1", user="ann", dbname=name)


TOO_MUCH = {
    "a table to PUBLIC": "create table t (); grant select on t to public",
    "the database to PUBLIC": "grant connect, temp on database shop to public",
    "a table to a user": "create table t (); grant all on t to ann with grant option",
    "a schema to a user": "grant create on schema public to ann",
    "tomorrow's tables": "alter default privileges grant all on tables to ann, public",
    "the whole database": "grant create on database shop to ann",
}


@pytest.mark.parametrize("what", TOO_MUCH)
def test_what_a_script_grants_too_much_is_taken_back_in_the_same_run(cluster, shop, what):
    declared = shop(TOO_MUCH[what], access={"ann": "read"})
    changed = cluster.converge(**declared)
    assert any(line.startswith("revoke") for line in changed["databases"]["shop"])
    assert cluster.converge(**declared) == {}


def test_a_script_that_is_missing_stops_its_database_alone(cluster):
    declared = {"databases": {"shop": {"owner": "shop", "bootstrap": URL}, "wiki": "shop"}, "users": ["shop"]}
    forecast, outcome = cluster.forecast(**declared), cluster.attempt(**declared)
    said = f"{URL} is not there (postgresql:databases:shop:bootstrap)"
    assert outcome.failures == forecast.failures == {"database 'shop'": said}
    assert cluster.query("select datname from pg_database where datname in ('shop', 'wiki')") == [("wiki",)]


def test_a_script_is_not_asked_for_where_the_database_is_there(cluster):
    cluster.converge(databases={"shop": "shop"}, users=["shop"])
    assert cluster.converge(databases={"shop": {"owner": "shop", "bootstrap": URL}}, users=["shop"]) == {}


def test_it_needs_no_right_that_others_lack(every_cluster):
    """The schema public is nobody's to write in before 15 once PUBLIC is shut out of it: but the owner's."""
    every_cluster.scripts[URL] = "create table orders (); create schema stock; create temp table t ()"
    every_cluster.settle(databases={"shop": {"owner": "shop", "bootstrap": URL}}, users=["shop"])
    assert "orders" in tables(every_cluster)
