"""Databases: their owner and what follows it, limits, settings, and what cannot be changed in place."""

import re

import psycopg2
import pytest

from pgpillar import text

USERS = ["shop", "heir"]
AT_SHOP = {"dbname": "shop"}


def shop(**keys):
    return {"databases": {"shop": {"owner": "shop", **keys}}, "users": USERS}


def row(cluster, name="shop"):
    """A row of pg_database, as JSON has it."""
    ((found,),) = cluster.query("select to_jsonb(d) from pg_database d where datname = %s", [name])
    return found


def test_the_short_form_names_the_owner(cluster):
    changed = cluster.settle(databases={"shop": "shop"}, users=["shop"])
    assert changed["databases"]["shop"][0] == "create, closed to PUBLIC"
    assert cluster.query("select current_database()", user="shop", **AT_SHOP) == [("shop",)]


def test_a_database_that_is_there_is_adopted_as_it_is(cluster):
    cluster.query("create role shop")
    cluster.query("create database shop owner shop connection limit 7")
    cluster.query("create table orders (id int); insert into orders values (1)", **AT_SHOP)
    cluster.query("alter database shop set work_mem = '1MB'")
    cluster.scripts["salt://shop.sql"] = "create table never ()"
    changed = cluster.settle(**shop(bootstrap="salt://shop.sql"))
    assert changed["databases"]["shop"][:2] == ["connection limit -1", "reset work_mem"]
    assert cluster.query("select id from orders", **AT_SHOP) == [(1,)]
    assert cluster.query("select to_regclass('never')", **AT_SHOP) == [(None,)]


# Owners

EVERYTHING = """
create table plain (id serial primary key, stamp int generated always as identity, what text);
create table parted (at int) partition by range (at);
create table part partition of parted for values from (0) to (10);
create view seen as select 1 as one;
create materialized view kept as select 1 as one;
create sequence counter;
create function twice(n int) returns int language sql as 'select n * 2';
create procedure tidy(inout n int, note text) language sql as 'select n';
create aggregate total(int) (sfunc = int4pl, stype = int);
create type colour as enum ('red');
create type pair as (a int, b int);
create type span as range (subtype = int);
create domain short as text check (length(value) < 9);
"""

OWNERS = """
select distinct pg_get_userbyid(owner) from (
    select relowner as owner, relnamespace as schema from pg_class
    union all select proowner, pronamespace from pg_proc
    union all select typowner, typnamespace from pg_type) o
where schema = 'public'::regnamespace and owner <> 10  -- a range's functions"""


def test_everything_in_it_follows_to_a_new_owner(every_cluster):
    every_cluster.converge(**shop())
    every_cluster.query(EVERYTHING, user="shop", **AT_SHOP)
    assert every_cluster.query(OWNERS, **AT_SHOP) == [("shop",)]
    every_cluster.settle(databases={"shop": "heir"}, users=USERS)
    assert every_cluster.query(OWNERS, **AT_SHOP) == [("heir",)]
    every_cluster.query("insert into plain (what) values ('tea')", user="heir", **AT_SHOP)
    with pytest.raises(psycopg2.OperationalError, match="permission denied for database"):
        every_cluster.query("select 1", user="shop", **AT_SHOP)


def test_what_others_own_stays_theirs(cluster):
    cluster.converge(**shop())
    cluster.query("create role stranger; create table theirs ()", **AT_SHOP)
    cluster.query("alter table theirs owner to stranger", **AT_SHOP)
    cluster.settle(databases={"shop": "heir"}, users=USERS)
    owner = cluster.query("select tableowner from pg_tables where tablename = 'theirs'", **AT_SHOP)
    assert owner == [("stranger",)]


def test_an_owner_that_somebody_changed_is_changed_back(cluster):
    cluster.converge(**shop())
    cluster.query("create role stranger; alter database shop owner to stranger")
    assert cluster.settle(**shop())["databases"]["shop"][0] == "owner: stranger → shop"
    cluster.query("create schema mine", user="shop", **AT_SHOP)


def test_a_group_may_own(cluster):
    cluster.settle(
        databases={"shop": "builders"}, users={"ann": {"groups": ["builders"]}}, groups={"builders": {}}
    )
    cluster.query("create table made ()", user="ann", **AT_SHOP)


# Limits and settings


def test_a_connection_limit_is_set_changed_and_lifted(cluster):
    for limit in (5, 6, -1):
        cluster.settle(**shop(connection_limit=limit))
        assert row(cluster)["datconnlimit"] == limit


def test_settings_are_set_changed_and_taken_away(cluster):
    cluster.settle(**shop(settings={"search_path": ["shop", "public"], "work_mem": "1MB", "jit": False}))
    assert cluster.query("show search_path", user="shop", **AT_SHOP) == [("shop, public",)]
    changed = cluster.settle(**shop(settings={"work_mem": "2MB", "jit": False}))
    assert changed["databases"]["shop"] == ["reset search_path", "set work_mem = 2MB"]


@pytest.mark.parametrize(
    ("drift", "lines"),
    [
        ("alter database shop connection limit 3", ["connection limit -1"]),
        ("alter database shop set timezone = 'Asia/Tokyo'", ["reset timezone"]),
        ("alter role heir in database shop set work_mem = '1MB'", ["heir acts here without work_mem"]),
        ("create role stranger; alter role stranger in database shop set work_mem = '1MB'", []),
    ],
)
def test_what_somebody_changed_by_hand_is_taken_back(cluster, drift, lines):
    cluster.converge(**shop())
    for statement in drift.split(";"):
        cluster.query(statement)
    assert cluster.settle(**shop()) == ({"databases": {"shop": lines}} if lines else {})


# What only a new database can have


def test_encoding_and_locale_hold_for_a_new_database(every_cluster):
    every_cluster.settle(**shop(encoding="LATIN1", locale="C"))
    latin1 = every_cluster.query("select pg_char_to_encoding('LATIN1')")[0][0]
    assert (row(every_cluster)["encoding"], row(every_cluster)["datcollate"]) == (latin1, "C")


def test_one_name_of_an_encoding_is_as_good_as_another(cluster):
    cluster.settle(**shop(encoding="utf-8", locale="C.utf8"))
    assert cluster.settle(**shop(encoding="UTF8", locale="C.UTF-8")) == {}


@pytest.mark.parametrize(("key", "value"), [("encoding", "LATIN1"), ("locale", "POSIX")])
def test_what_cannot_be_changed_in_place_is_refused_of_its_database_alone(cluster, key, value):
    cluster.converge(**shop())
    asked = shop(**{key: value}, connection_limit=3)
    asked["databases"]["wiki"] = "shop"
    forecast, outcome = cluster.forecast(**asked), cluster.attempt(**asked)
    assert outcome.failures == forecast.failures
    assert list(outcome.failures) == ["database 'shop'"]
    path = f"postgresql:databases:shop:{key}"
    assert re.search(
        f"'shop' has {key} .*cannot change it to {value} in place.* set {path} to ",
        outcome.failures["database 'shop'"],
    )
    assert text.tree(outcome.changes) == text.tree(forecast.changes)
    assert list(text.tree(outcome.changes)["databases"]) == ["wiki"]
    assert row(cluster)["datconnlimit"] == -1


def test_a_template_is_copied_and_closed_as_well(cluster):
    cluster.query("create database mould")
    cluster.query("create table shape (); grant all on shape to public; create table form ()", dbname="mould")
    cluster.query("alter table form owner to postgres", dbname="mould")
    cluster.converge(**shop(template="mould", access={"heir": "read"}))
    assert cluster.settle(**shop(template="mould", access={"heir": "read"})) == {}
    cluster.query("select from form", user="heir", **AT_SHOP)
    public = cluster.query(
        "select from pg_class, aclexplode(relacl) a where a.grantee = 0 and relname in ('shape', 'form')",
        **AT_SHOP,
    )
    assert public == []


def test_a_new_database_is_not_left_marked_as_a_template(cluster):
    cluster.settle(**shop())
    assert row(cluster)["datistemplate"] is False


def test_databases_come_in_one_run_and_know_nothing_of_each_other(cluster):
    names = [f"db{n}" for n in range(4)]
    cluster.settle(databases={name: name for name in names}, users=names)
    for name in names:
        cluster.query("create table mine ()", user=name, dbname=name)
    with pytest.raises(psycopg2.OperationalError, match="permission denied for database"):
        cluster.query("select 1", user="db0", dbname="db1")
