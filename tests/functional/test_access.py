"""What each level of access can do, on objects old and new, and that nothing more than it stays granted."""

from contextlib import closing

import psycopg2
import pytest
from psycopg2 import sql

pytestmark = pytest.mark.first_and_last_major

LEVELS = ["read", "write", "owner"]

DATABASE = {"ann": "read", "walt": "write", "olga": "owner"}
SCHEMA = {"nina": "read", "will": "write", "otto": "owner"}
SHOP = {
    "databases": {
        "shop": {"owner": "shop", "access": {**DATABASE, "team": "owner"}, "schemas": {}},
        "wiki": "shop",
    },
    "users": {**{name: {} for name in ("shop", "press", *DATABASE, *SCHEMA)}, "gus": {"groups": ["team"]}},
    "groups": {"team": {}},
}
SHOP["databases"]["shop"]["schemas"]["news"] = {"owner": "press", "access": SCHEMA}

BEFORE_ANY_ACCESS = {
    **SHOP,
    "databases": {"wiki": "shop", "shop": {"owner": "shop", "schemas": {"news": {"owner": "press"}}}},
}

# One of each kind, named after who made it
OBJECTS = """
create table {p}_table (id serial primary key, what text);
create table {p}_ident (id int generated always as identity, what text);
create table {p}_parted (at int) partition by range (at);
create table {p}_part partition of {p}_parted for values from (0) to (10);
create view {p}_view as select * from {p}_table;
create materialized view {p}_kept as select 1 as one;
create foreign table {p}_far (id int) server nowhere;
create sequence {p}_counter;
create function {p}_twice(n int) returns int language sql as 'select n * 2';
revoke execute on function {p}_twice(int) from public;
create procedure {p}_tidy() language sql as 'select 1';
create aggregate {p}_total(int) (sfunc = int4pl, stype = int);
"""

# What may be done at the least level that may do it
STATEMENTS = {
    "select from {p}_table": "read",
    "select what from {p}_ident": "read",
    "select from {p}_parted": "read",
    "select from {p}_part": "read",
    "select from {p}_view": "read",
    "select from {p}_kept": "read",
    "select from {p}_far": "read",
    "select last_value from {p}_counter": "read",
    "select {p}_twice(1)": "read",
    "call {p}_tidy()": "read",
    "select {p}_total(n) from generate_series(1, 3) n": "read",
    "insert into {p}_table (what) values ('tea')": "write",
    "insert into {p}_ident (what) values ('tea')": "write",
    "insert into {p}_parted values (1)": "write",
    "insert into {p}_view (what) values ('tea')": "write",
    "update {p}_table set what = 'tea' where what = 'tea'": "write",
    "select from {p}_table for update": "write",
    "delete from {p}_part": "write",
    "select nextval('{p}_counter')": "write",
    "select setval('{p}_counter', 1)": "owner",
    "truncate {p}_table": "owner",
    "create table mine (id int references {p}_table)": "owner",
    "create view mine as select 1": "owner",
    "create function mine() returns int language sql as 'select 1'": "owner",
    "create type mine as enum ()": "owner",
    "create index on {p}_table (what)": "owner",
    "create rule r as on insert to {p}_table do nothing": "owner",
    "alter table {p}_table add more text": "owner",
    "comment on column {p}_table.what is 'tea'": "owner",
    "refresh materialized view {p}_kept": "owner",
    "drop function {p}_twice(int)": "owner",
    "drop table {p}_part": "owner",
    "drop view {p}_view": "owner",
}
ONLY_ON_THE_DATABASE = {"create temp table mine ()": "owner", "create schema mine": "owner"}
DATA = [statement for statement, level in STATEMENTS.items() if level != "owner"]


@pytest.fixture(scope="module")
def shop(lasting):
    """A converged shop with objects from before any access, and from each who has created them since."""
    lasting.converge(**BEFORE_ANY_ACCESS)
    at_shop = {"dbname": "shop"}
    lasting.query("create foreign data wrapper none", **at_shop)
    lasting.query("create server nowhere foreign data wrapper none", **at_shop)
    lasting.query("grant usage on foreign server nowhere to public", **at_shop)
    make(lasting, "old", "shop")
    make(lasting, "old", "press", "news")
    lasting.converge(**SHOP)
    make(lasting, "shop", "shop")
    make(lasting, "olga", "olga")
    make(lasting, "self", "olga", "public", "set role olga;")
    make(lasting, "gus", "gus")
    make(lasting, "press", "press", "news")
    make(lasting, "otto", "otto", "news")
    assert lasting.converge(**SHOP) == {}, "default privileges have left nothing to do"
    return lasting


def make(cluster, prefix, user, schema="public", first=""):
    script = f"{first} set search_path = {schema}; {OBJECTS.format(p=prefix)}"
    cluster.query(script, user=user, dbname="shop")


@pytest.fixture(scope="module")
def can(shop):
    """Whether a user, logged in, may do something. Nothing of it stays."""
    sessions = {}

    def ask(user, schema, statement):
        if user not in sessions:
            password = shop.passwords[user]
            sessions[user] = shop.server.connect(user=user, password=password, dbname="shop")
        with closing(sessions[user].cursor()) as cursor:
            try:
                cursor.execute(sql.SQL("set search_path = {}").format(sql.Identifier(schema)))
                cursor.execute(statement)
            except psycopg2.errors.InsufficientPrivilege:
                return False
            except psycopg2.Error as error:
                # Nobody is at home behind the foreign table, and its owner learns that
                if "has no handler" not in str(error):
                    raise
            finally:
                sessions[user].rollback()
            return True

    yield ask
    for session in sessions.values():
        session.close()


def reaches(level, least):
    return LEVELS.index(level) >= LEVELS.index(least)


@pytest.mark.parametrize("statement", [*STATEMENTS, *ONLY_ON_THE_DATABASE])
@pytest.mark.parametrize("prefix", ["old", "shop", "olga"])
def test_each_level_on_a_database_does_its_part_and_no_more(can, statement, prefix):
    least = {**STATEMENTS, **ONLY_ON_THE_DATABASE}[statement]
    found = {user: can(user, "public", statement.format(p=prefix)) for user in DATABASE}
    assert found == {user: reaches(level, least) for user, level in DATABASE.items()}


@pytest.mark.parametrize("statement", STATEMENTS)
@pytest.mark.parametrize("prefix", ["old", "press", "otto"])
def test_each_level_on_a_schema_does_its_part_and_no_more(can, statement, prefix):
    found = {user: can(user, "news", statement.format(p=prefix)) for user in SCHEMA}
    assert found == {user: reaches(level, STATEMENTS[statement]) for user, level in SCHEMA.items()}


@pytest.mark.parametrize("statement", ONLY_ON_THE_DATABASE)
def test_no_level_on_a_schema_is_one_on_the_database(can, statement):
    assert not any(can(user, "news", statement) for user in SCHEMA)


@pytest.mark.parametrize("statement", DATA)
@pytest.mark.parametrize("prefix", ["self", "gus"])
def test_what_members_make_in_their_own_name_is_readable_and_writable_too(can, statement, prefix):
    found = {user: can(user, "public", statement.format(p=prefix)) for user in ("ann", "walt")}
    assert found == {"ann": STATEMENTS[statement] == "read", "walt": True}


@pytest.mark.parametrize("statement", DATA)
def test_access_to_a_database_reaches_each_of_its_schemas(can, statement):
    found = {user: can(user, "news", statement.format(p="press")) for user in ("ann", "walt")}
    assert found == {"ann": STATEMENTS[statement] == "read", "walt": True}


@pytest.mark.parametrize("user", SCHEMA)
def test_access_to_a_schema_reaches_no_other(can, user):
    for statement in ("select from public.old_table", "insert into public.shop_ident (what) values ('')"):
        assert not can(user, "news", statement)
    assert not can(user, "public", "create view public.mine as select 1")


def test_owners_of_a_database_and_of_its_schemas_keep_to_their_own(can):
    assert not can("shop", "news", "select from news.press_table")
    assert not can("press", "public", "select from public.shop_table")


MADE_BY = [
    ("public", "old", "shop"),
    ("public", "olga", "shop"),
    ("public", "self", "olga"),
    ("public", "gus", "shop"),
]
MADE_BY += [("news", "old", "press"), ("news", "otto", "press")]


@pytest.mark.parametrize(("schema", "prefix", "owner"), MADE_BY)
def test_what_a_member_makes_is_the_owners_unless_it_acts_in_its_own_name(shop, schema, prefix, owner):
    found = "select tableowner from pg_tables where schemaname = %s and tablename = %s"
    assert shop.query(found, [schema, f"{prefix}_table"], dbname="shop") == [(owner,)]


@pytest.mark.parametrize("user", ["ann", "nina", "press"])
def test_no_access_to_one_database_is_access_to_another(shop, user):
    with pytest.raises(psycopg2.OperationalError, match="permission denied for database"):
        shop.query("select 1", user=user, dbname="wiki")


# Drift: what somebody granted or revoked by hand is taken back, and nothing else changes

HERE = " in schema public"
DRIFTS = {
    # tables and columns
    "grant truncate on shop_table to walt": [f"revoke TRUNCATE on table shop_table{HERE} from walt"],
    "grant all on shop_view to ann": [
        "revoke INSERT, UPDATE, DELETE, TRUNCATE, REFERENCES, TRIGGER{maintain}"
        f" on table shop_view{HERE} from ann"
    ],
    "grant select on shop_table to nina": [f"revoke SELECT on table shop_table{HERE} from nina"],
    "revoke select on shop_table from ann": [f"grant SELECT on table shop_table{HERE} to ann"],
    "revoke all on shop_kept, shop_far from walt": [
        f"grant SELECT, INSERT, UPDATE, DELETE on tables shop_far, shop_kept{HERE} to walt"
    ],
    "grant select (what) on shop_table to nina": [f"revoke SELECT on column shop_table.what{HERE} from nina"],
    "grant select (id, what), update (what, id) on shop_table to nina": [
        f"revoke SELECT, UPDATE on columns shop_table.id, shop_table.what{HERE} from nina"
    ],
    "grant select (what) on shop_table, shop_ident to nina": [
        f"revoke SELECT on column shop_ident.what{HERE} from nina",
        f"revoke SELECT on column shop_table.what{HERE} from nina",
    ],
    "grant update (what), insert (id) on shop_table to ann": [
        f"revoke INSERT on column shop_table.id{HERE} from ann",
        f"revoke UPDATE on column shop_table.what{HERE} from ann",
    ],
    # sequences
    "grant usage on sequence shop_counter to ann": [f"revoke USAGE on sequence shop_counter{HERE} from ann"],
    "grant update on sequence shop_table_id_seq to walt": [
        f"revoke UPDATE on sequence shop_table_id_seq{HERE} from walt"
    ],
    "revoke usage on sequence shop_table_id_seq from walt": [
        f"grant USAGE on sequence shop_table_id_seq{HERE} to walt"
    ],
    # routines
    "grant execute on function shop_twice to nina": [
        f"revoke EXECUTE on routine shop_twice(integer){HERE} from nina"
    ],
    "revoke execute on procedure shop_tidy from ann": [f"grant EXECUTE on routine shop_tidy(){HERE} to ann"],
    "revoke execute on function shop_total(int) from walt": [
        f"grant EXECUTE on routine shop_total(integer){HERE} to walt"
    ],
    # schemas
    "grant create on schema public to walt": ["revoke CREATE on schema public from walt"],
    "grant usage on schema public to nina": ["revoke USAGE on schema public from nina"],
    "revoke usage on schema news from ann": ["grant USAGE on schema news to ann"],
    "revoke create on schema news from press": ["grant CREATE on schema news to press"],
    # the database
    "grant create, temp on database shop to ann": ["revoke CREATE, TEMPORARY on the database from ann"],
    "revoke connect on database shop from walt": ["grant CONNECT on the database to walt"],
    "revoke temp on database shop from shop": ["grant TEMPORARY on the database to shop"],
    # tomorrow's objects
    "alter default privileges for role shop grant select on tables to nina": [
        "revoke SELECT on new tables of shop from nina"
    ],
    "alter default privileges for role shop grant usage on schemas to ann": [
        "revoke USAGE on new schemas of shop from ann"
    ],
    "alter default privileges for role shop grant usage on types to ann": [
        "revoke USAGE on new types of shop from ann"
    ],
    "alter default privileges for role shop in schema public grant truncate on tables to walt": [
        f"revoke TRUNCATE on new tables of shop{HERE} from walt"
    ],
    "alter default privileges for role press in schema news grant update on sequences to will": [
        "revoke UPDATE on new sequences of press in schema news from will"
    ],
    "alter default privileges for role olga in schema public grant execute on functions to nina": [
        f"revoke EXECUTE on new routines of olga{HERE} from nina"
    ],
    "alter default privileges for role shop in schema public revoke select on tables from ann": [
        f"grant SELECT on new tables of shop{HERE} to ann"
    ],
    "alter default privileges for role shop in schema public revoke all on functions from walt": [
        f"grant EXECUTE on new routines of shop{HERE} to walt"
    ],
    "alter default privileges in schema public grant select on tables to walt": [
        f"revoke SELECT on new tables of postgres{HERE} from walt"
    ],
    # the right to pass on
    "grant select on shop_table to ann with grant option": [
        f"revoke the right to pass on SELECT, and what was passed on, on table shop_table{HERE} from ann"
    ],
    "grant select (what) on shop_table to ann with grant option": [
        f"revoke SELECT, and what was passed on, on column shop_table.what{HERE} from ann"
    ],
    "grant truncate on shop_table to walt with grant option": [
        f"revoke TRUNCATE, and what was passed on, on table shop_table{HERE} from walt"
    ],
    "grant usage on sequence shop_counter to walt with grant option": [
        f"revoke the right to pass on USAGE, and what was passed on, on sequence shop_counter{HERE} from walt"
    ],
    "grant execute on function shop_twice to ann with grant option": [
        "revoke the right to pass on EXECUTE, and what was passed on,"
        f" on routine shop_twice(integer){HERE} from ann"
    ],
    "grant usage on schema news to ann with grant option": [
        "revoke the right to pass on USAGE, and what was passed on, on schema news from ann"
    ],
    "grant connect on database shop to ann with grant option": [
        "revoke the right to pass on CONNECT, and what was passed on, on the database from ann"
    ],
    "alter default privileges for role shop in schema public"
    " grant select on tables to ann with grant option": [
        f"revoke SELECT on new tables of shop{HERE} from ann",
        f"grant SELECT on new tables of shop{HERE} to ann",
    ],
    "revoke insert on shop_table from shop": [f"grant INSERT on table shop_table{HERE} to shop"],
    "revoke execute on procedure shop_tidy from public": [],
}


@pytest.mark.parametrize("drift", DRIFTS)
def test_a_drift_is_taken_back_and_nothing_else(shop, drift):
    shop.query(drift, dbname="shop")
    maintain = ", MAINTAIN" if shop.server.query("show server_version_num")[0][0] >= "170000" else ""
    lines = [line.format(maintain=maintain) for line in DRIFTS[drift]]
    assert shop.settle(**SHOP) == ({"databases": {"shop": lines}} if lines else {})


PASSED_ON = {
    "a table": ("select on shop_table", "walt"),
    "a column": ("select (what) on shop_table", "walt"),
    "a sequence": ("select on sequence shop_counter", "walt"),
    "a function": ("execute on function shop_twice", "walt"),
    "a schema": ("usage on schema public", "nina"),
    "the database": ("temp on database shop", "nina"),
}


@pytest.mark.parametrize("what", PASSED_ON)
def test_what_was_passed_on_is_taken_back_to_the_last_link(shop, what):
    right, middle = PASSED_ON[what]
    shop.query(f"grant {right} to ann with grant option", dbname="shop")
    shop.query(f"set role ann; grant {right} to {middle} with grant option", dbname="shop")
    shop.query(f"set role {middle}; grant {right} to will", dbname="shop")
    (line,) = shop.settle(**SHOP)["databases"]["shop"]
    assert "and what was passed on" in line
    assert line.endswith(" from ann")


def test_a_column_that_the_holder_of_the_table_passed_on_is_taken_back(shop):
    shop.query("grant select on shop_table to ann with grant option", dbname="shop")
    shop.query("set role ann; grant select (id, what) on shop_table to nina", dbname="shop")
    assert shop.settle(**SHOP)["databases"]["shop"] == [
        f"revoke SELECT on columns shop_table.id, shop_table.what{HERE} (given by ann) from nina",
        f"revoke the right to pass on SELECT, and what was passed on, on table shop_table{HERE} from ann",
    ]


def test_what_a_stranger_passed_on_goes_and_the_stranger_keeps_its_own(shop):
    shop.query("create role stranger", dbname="shop")
    shop.query("grant truncate, select on shop_table to stranger with grant option", dbname="shop")
    shop.query("grant usage on schema public to stranger", dbname="shop")
    shop.query("set role stranger; grant truncate, select on shop_table to ann", dbname="shop")
    lines = shop.settle(**SHOP)["databases"]["shop"]
    assert lines == [f"revoke SELECT, TRUNCATE on table shop_table{HERE} (given by stranger) from ann"]
    kept = "select has_table_privilege('stranger', 'shop_table', 'truncate with grant option')"
    assert shop.query(kept, dbname="shop") == [(True,)]
    shop.query("drop owned by stranger; drop role stranger", dbname="shop")


def test_strangers_keep_what_they_have(shop):
    """Roles that pillar does not name, in every kind of place."""
    shop.query("create role stranger", dbname="shop")
    for right in (
        "all on shop_table",
        "update (what) on shop_ident",
        "all on sequence shop_counter",
        "all on function shop_twice",
        "all on schema public",
        "all on database shop",
    ):
        shop.query(f"grant {right} to stranger with grant option", dbname="shop")
    shop.query("alter default privileges for role shop grant all on tables to stranger", dbname="shop")
    shop.query("alter default privileges for role stranger grant all on tables to stranger", dbname="shop")
    assert shop.converge(**SHOP) == {}
    shop.query("drop owned by stranger; drop role stranger", dbname="shop")


def test_schemas_that_pillar_does_not_name_are_left_alone(shop):
    shop.query("create schema theirs; create table theirs.t (); grant all on theirs.t to ann", dbname="shop")
    shop.query("grant usage on schema theirs to ann", dbname="shop")
    assert shop.converge(**SHOP) == {}
    shop.query("drop schema theirs cascade", dbname="shop")


def test_what_a_superuser_made_by_hand_is_shared_by_the_next_run(shop, can):
    shop.query("create table by_hand ()", dbname="shop")
    assert shop.settle(**SHOP)["databases"]["shop"] == [
        f"grant SELECT on table by_hand{HERE} to ann",
        f"grant SELECT, INSERT, UPDATE, DELETE on table by_hand{HERE} to walt",
    ]
    assert can("ann", "public", "select from by_hand")
    shop.query("drop table by_hand", dbname="shop")


def test_many_tables_take_few_statements(shop):
    shop.query(
        "do $$ begin for n in 1..150 loop execute format('create table many_%s ()', n); end loop; end $$",
        dbname="shop",
        user="shop",
    )
    assert shop.converge(**SHOP) == {}
    shop.query(
        "do $$ begin for n in 1..150 loop execute format('revoke all on many_%s from ann, walt', n);"
        " execute format('grant trigger on many_%s to nina', n); end loop; end $$",
        dbname="shop",
    )
    lines = shop.settle(**SHOP)["databases"]["shop"]
    assert sorted(line.split(" on ")[0] for line in lines) == [
        "grant SELECT",
        "grant SELECT, INSERT, UPDATE, DELETE",
        "revoke TRIGGER",
    ]
    assert all("and 147 more in schema public" in line for line in lines)
    shop.query(
        "do $$ begin for n in 1..150 loop execute format('drop table many_%s', n); end loop; end $$",
        dbname="shop",
    )


# Access given, changed and taken away in pillar


def declare(level):
    access = {"ann": level} if level else {}
    return {"databases": {"shop": {"owner": "shop", "access": access}}, "users": ["shop", "ann"]}


@pytest.mark.parametrize(
    ("before", "after"), [(a, b) for a in [None, *LEVELS] for b in [None, *LEVELS] if a != b]
)
def test_from_each_level_to_each_other(cluster, before, after):
    cluster.converge(**declare(before))
    cluster.query("create table orders (id serial, what text)", user="shop", dbname="shop")
    cluster.settle(**declare(after))
    cluster.query("create table more (id serial, what text)", user="shop", dbname="shop")
    for least, statement in (
        ("read", "select from {}"),
        ("write", "insert into {} (what) values ('')"),
        ("owner", "drop table {}"),
    ):
        for table in ("orders", "more"):
            attempt = {"statement": statement.format(table), "user": "ann", "dbname": "shop"}
            if after and reaches(after, least):
                cluster.query(**attempt)
            else:
                with pytest.raises((psycopg2.errors.InsufficientPrivilege, psycopg2.OperationalError)):
                    cluster.query(**attempt)


def test_access_may_stand_with_the_role(cluster):
    cluster.settle(
        databases={"shop": {"owner": "shop", "schemas": {"news": {}}}},
        users={"shop": {}, "ann": {"groups": ["readers"]}, "nina": {"access": {"shop": {"news": "write"}}}},
        groups={"readers": {"access": {"shop": "read"}}},
    )
    cluster.query("create table news.items (what text)", user="shop", dbname="shop")
    cluster.query("insert into news.items values ('tea')", user="nina", dbname="shop")
    assert cluster.query("select what from news.items", user="ann", dbname="shop") == [("tea",)]


def test_many_objects_are_shown_in_the_same_words_before_and_after(cluster):
    """They are changed in steps, which is no matter of what changes."""
    cluster.converge(databases={"shop": "shop"}, users=["shop", "ann"])
    tables = "do $$ begin for n in 1..230 loop execute format('create table t%s ()', n); end loop; end $$"
    cluster.query(tables, dbname="shop", user="shop")
    changed = cluster.settle(
        databases={"shop": {"owner": "shop", "access": {"ann": "read"}}}, users=["shop", "ann"]
    )
    assert (
        "grant SELECT on tables t1, t10, t100 and 227 more in schema public to ann"
        in changed["databases"]["shop"]
    )
