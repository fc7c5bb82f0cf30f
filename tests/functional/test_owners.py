"""Who owns what in a database once pillar has said who is its owner, whatever the owner before left there."""

from contextlib import closing

import pytest
from psycopg2 import errors

from tests.functional.test_adoption import reported


@pytest.fixture(params=["cluster", "hosted"])
def either(request):
    """A clean cluster that a superuser administers, then one whose admin is no superuser."""
    return request.getfixturevalue(request.param)


# The schema public, where pillar names no owner for it

OF_PUBLIC = "select nspowner::regrole::text from pg_namespace where nspname = 'public'"
AT_SHOP = {"dbname": "shop"}


def shop_of(owner, **keys):
    return {"databases": {"shop": {"owner": owner, **keys}}, "users": ["shop", "boss", "gus"]}


def usual_owner(cluster):
    return [("pg_database_owner" if is_from(15, cluster) else "postgres",)]


def is_from(major, cluster):
    ((version,),) = cluster.query("select current_setting('server_version_num')::int")
    return version >= major * 10000


def test_public_goes_back_when_its_owner_leaves_pillar(either):
    either.settle(**shop_of("shop", access={"gus": "read"}, schemas={"public": {"owner": "gus"}}))
    assert either.query(OF_PUBLIC, **AT_SHOP) == [("gus",)]
    either.settle(**shop_of("shop", access={"gus": "read"}))
    assert either.query(OF_PUBLIC, **AT_SHOP) == usual_owner(either)
    either.query("create table mine ()", user="shop", **AT_SHOP)
    with pytest.raises(errors.InsufficientPrivilege):
        either.query("create table public.mine_too ()", user="gus", **AT_SHOP)


def test_an_owner_who_makes_public_anew_does_not_keep_it(either):
    either.settle(**shop_of("shop"))
    as_owner = {"user": "shop", **AT_SHOP}
    if not is_from(15, either):
        either.query("alter schema public owner to shop", **AT_SHOP)
    either.query("drop schema public; create schema public; create table public.orders ()", **as_owner)
    either.settle(**shop_of("boss", access={"shop": "read"}))
    assert either.query(OF_PUBLIC, **AT_SHOP) == usual_owner(either)
    for statement in ("create table public.mine ()", "drop schema public cascade", "drop table orders"):
        with pytest.raises(errors.InsufficientPrivilege):
            either.query(statement, **as_owner)


def test_public_stays_with_a_stranger_and_is_reported(either):
    either.converge(**shop_of("shop"))
    either.query("create role ghost; alter schema public owner to ghost", **AT_SHOP)
    assert either.converge(**shop_of("shop")) == {}
    assert reported(either, **shop_of("shop"))["objects"] == {"shop": ["schema public belongs to ghost"]}


# What a role owns beside tables, sequences, routines and types

OTHERS = """
create schema app;
create collation app."Odd, (one" (locale = 'C');
create conversion app.latin for 'UTF8' to 'LATIN1' from utf8_to_iso8859_1;
create text search configuration app.search (copy = simple);
create text search dictionary app.words (template = simple);
create function app.same(int, text) returns bool language sql as 'select true';
create operator app.=== (leftarg = int, rightarg = text, function = app.same);
create operator app.!!! (rightarg = text, function = textlen);
create table app.t (a int, b int, c text collate app."Odd, (one");
create statistics app.numbers on a, b from app.t;
create publication "Odd, pub" for table app.t;
create server far foreign data wrapper none;
create user mapping for public server far;
select lo_create(4711);
"""
BY_A_SUPERUSER = """
create operator family app.families using btree;
alter operator family app.families using btree owner to shop;
create operator class app.ints for type int4 using btree family app.families as
    operator 1 <, operator 2 <=, operator 3 =, operator 4 >=, operator 5 >, function 1 btint4cmp(int4, int4);
alter operator class app.ints using btree owner to shop;
create language plshop handler plpgsql_call_handler;
alter language plshop owner to shop;
"""
LEFT = """
    select pg_describe_object(classid, objid, 0) from pg_shdepend
    where refclassid = 'pg_authid'::regclass and refobjid = 'shop'::regrole and deptype = 'o'
    and dbid = (select oid from pg_database where datname = current_database())
    and classid <> 'pg_default_acl'::regclass"""
KINDS = {
    *("collation", "conversion", "text search configuration", "text search dictionary", "operator"),
    *("operator class", "operator family", "statistics object", "publication", "server", "large object"),
    "language",
}


def handed_over(cluster):
    """The shop, of which the owner has made one of each kind, and was demoted to read since."""
    cluster.converge(**shop_of("shop", schemas={"app": {}}))
    cluster.query("drop schema app; create foreign data wrapper none", **AT_SHOP)
    cluster.query("grant usage on foreign data wrapper none to shop, boss", **AT_SHOP)
    cluster.query(OTHERS, user="shop", **AT_SHOP)
    cluster.query(BY_A_SUPERUSER, **AT_SHOP)
    return cluster.settle(**DEMOTED)


DEMOTED = shop_of("boss", schemas={"app": {}}, access={"shop": "read"})


def test_a_demoted_owner_owns_nothing_of_any_kind(cluster):
    lines = handed_over(cluster)["databases"]["shop"]
    moved = {line.split(" owner: ")[0] for line in lines if line.endswith("shop → boss")}
    assert {kind for kind in KINDS if any(line.startswith(kind) for line in moved)} == KINDS
    assert cluster.query(LEFT, **AT_SHOP) == []


def test_a_demoted_owner_owns_nothing_in_a_schema_whose_name_wants_quotes(cluster):
    schemas = {'Odd "s': {}}
    cluster.converge(**shop_of("shop", schemas=schemas))
    cluster.query('create collation "Odd ""s".words from "C"', user="shop", **AT_SHOP)
    cluster.settle(**shop_of("boss", schemas=schemas, access={"shop": "read"}))
    assert cluster.query(LEFT, **AT_SHOP) == []


def test_a_hosted_admin_moves_what_a_demoted_owner_owns(hosted):
    hosted.converge(**shop_of("shop", schemas={"app": {}}))
    hosted.query("drop schema app; create foreign data wrapper none", **AT_SHOP)
    hosted.query("grant usage on foreign data wrapper none to shop, boss", **AT_SHOP)
    hosted.query(OTHERS, user="shop", **AT_SHOP)
    hosted.settle(**DEMOTED)
    assert hosted.query(LEFT, **AT_SHOP) == []


def test_what_the_superuser_made_goes_to_who_adopts_its_database(cluster):
    cluster.query("create database shop")
    cluster.query("create foreign data wrapper none", **AT_SHOP)
    cluster.query(OTHERS, **AT_SHOP)
    lines = cluster.settle(**shop_of("shop", schemas={"app": {}}))["databases"]["shop"]
    moved = {line.split(" owner: ")[0] for line in lines if line.endswith("postgres → shop")}
    not_here = {"operator class", "operator family", "language"}
    found = {kind for kind in KINDS if any(line.startswith((f"{kind} ", f"{kind}s ")) for line in moved)}
    assert found == KINDS - not_here
    for statement in (
        'drop collation app."Odd, (one" cascade',
        "select lo_unlink(4711)",
        "drop server far cascade",
    ):
        cluster.query(statement, user="shop", **AT_SHOP)


A_BASE_TYPE = """
create type weight;
create function weight_in(cstring) returns weight immutable strict language internal as 'int4in';
create function weight_out(weight) returns cstring immutable strict language internal as 'int4out';
create type weight (input = weight_in, output = weight_out, internallength = 4, passedbyvalue);
"""


def test_a_base_type_goes_with_its_database(cluster):
    cluster.query("create database shop")
    cluster.query(A_BASE_TYPE, **AT_SHOP)
    lines = cluster.settle(**shop_of("shop"))["databases"]["shop"]
    assert "type public.weight owner: postgres → shop" in lines
    cluster.query("drop type weight cascade", user="shop", **AT_SHOP)


# What is too much for one transaction

MANY = "do $$ begin for n in 100..329 loop execute format('create table t%s ()', n); end loop; end $$"
OF_SHOP = "select relname from pg_class where relowner = 'shop'::regrole"


def heir(either):
    """The shop with many tables, and then another owner of it, without the one before in pillar."""
    either.converge(**SHOP)
    either.query(MANY, user="shop", **AT_SHOP)
    either.query("create publication in_no_schema", user="shop", **AT_SHOP)
    return {"databases": {"shop": "boss"}, "users": ["boss"]}


SHOP = {"databases": {"shop": "shop"}, "users": ["shop"]}


def test_many_objects_follow_to_a_new_owner(either):
    either.settle(**heir(either))
    assert either.query(OF_SHOP, **AT_SHOP) == []


def test_a_change_of_owner_that_was_cut_is_finished_by_the_next_run(either):
    either.endpoint.update(lock_timeout=1)
    declared = heir(either)
    with closing(either.server.connect(**AT_SHOP)) as session, session.cursor() as cursor:
        cursor.execute("lock table t250 in access share mode")
        assert either.attempt(**declared).failures
        assert 0 < len(either.query(OF_SHOP, **AT_SHOP)) < 230
    either.settle(**declared)
    assert either.query(OF_SHOP, **AT_SHOP) == []


ATTACKS = [
    'drop collation app."Odd, (one" cascade',
    "drop server far cascade",
    "drop statistics app.numbers",
    'drop publication "Odd, pub"',
    "select lo_unlink(4711)",
]


def test_a_demoted_owner_destroys_nothing(cluster):
    handed_over(cluster)
    for attack in ATTACKS:
        with pytest.raises(errors.InsufficientPrivilege):
            cluster.query(attack, user="shop", **AT_SHOP)
    assert cluster.query("select c from app.t", user="shop", **AT_SHOP) == []


def test_who_writes_keeps_its_large_objects(cluster):
    declared = shop_of("shop", access={"gus": "write", "boss": "read"})
    cluster.converge(**declared)
    cluster.query("select lo_create(1)", user="gus", **AT_SHOP)
    cluster.query("select lo_create(2)", user="boss", **AT_SHOP)
    assert cluster.settle(**declared)["databases"] == {"shop": ["large object 2 owner: boss → shop"]}
    cluster.query("select lo_unlink(1)", user="gus", **AT_SHOP)


def test_a_readers_large_object_does_not_stop_a_hosted_admin(hosted):
    declared = shop_of("shop", access={"boss": "read"})
    hosted.converge(**declared)
    hosted.query("select lo_create(2)", user="boss", **AT_SHOP)
    assert hosted.converge(**declared) == {}


def test_a_subscription_moves_where_any_role_may_own_it(cluster):
    cluster.converge(**shop_of("shop"))
    script = """alter role shop superuser;
        create subscription sub connection 'host=nowhere' publication p
            with (connect = false, slot_name = none, enabled = false);
        alter subscription sub owner to shop; alter role shop nosuperuser"""
    for statement in script.split(";"):
        cluster.query(statement, **AT_SHOP)
    try:
        outcome = cluster.attempt(**shop_of("boss"))
        owner = cluster.query("select subowner::regrole::text from pg_subscription", **AT_SHOP)
    finally:
        cluster.query("drop subscription sub", **AT_SHOP)
    assert owner == [("boss" if is_from(16, cluster) else "shop",)]
    assert bool(outcome.failures) == (not is_from(16, cluster))


STUCK = {
    "extension citext": "create extension citext",
    "event trigger watch": """
        create function note() returns event_trigger language plpgsql as 'begin end';
        create event trigger watch on ddl_command_start execute function note();
        alter event trigger watch disable""",
    "foreign-data wrapper ours": "create foreign data wrapper ours",
}


@pytest.mark.parametrize("what", STUCK)
def test_what_nobody_else_can_own_keeps_its_database_alone_from_converging(cluster, what):
    declared = {"databases": {"shop": "shop", "wiki": "shop"}, "users": ["shop", "boss"]}
    cluster.converge(**declared)
    cluster.query("alter role shop superuser")
    cluster.query(STUCK[what], user="shop", **AT_SHOP)
    cluster.query("alter role shop nosuperuser")
    demoted = {**declared, "databases": {"shop": "boss", "wiki": "boss"}}
    foretold = cluster.preview(**demoted)
    outcome = cluster.attempt(**demoted)
    assert set(outcome.failures) == {"database 'shop'"}
    assert f"{what} belongs to 'shop', who may not create there" in outcome.failures["database 'shop'"]
    assert foretold["databases"].keys() == {"wiki"}
    assert cluster.query("select datdba::regrole::text from pg_database where datname = 'wiki'") == [
        ("boss",)
    ]


def test_an_old_owner_that_may_still_create_there_keeps_its_extension(cluster):
    cluster.converge(databases={"shop": "shop"}, users=["shop", "boss"])
    cluster.query("create extension hstore", user="shop", **AT_SHOP)
    cluster.settle(databases={"shop": {"owner": "boss", "access": {"shop": "owner"}}}, users=["shop", "boss"])
    of_shop = "select extowner::regrole::text from pg_extension where extname = 'hstore'"
    assert cluster.query(of_shop, **AT_SHOP) == [("shop",)]


def test_the_remedy_for_an_extension_helps(cluster):
    cluster.converge(**shop_of("shop"))
    cluster.query("create extension citext", user="shop", **AT_SHOP)
    assert cluster.attempt(**shop_of("boss")).failures
    cluster.query("reassign owned by shop to boss", **AT_SHOP)
    cluster.settle(**shop_of("boss"))


def test_an_extension_of_a_role_that_goes_is_for_an_heir_who_may_create_there(either):
    either.converge(**shop_of("shop", access={"gus": "owner"}))
    either.query("create extension citext", user="gus", options="-c role=gus", **AT_SHOP)
    users = {"shop": {}, "boss": {}, "gus": {"state": "absent", "reassign_to": "shop"}}
    either.settle(**{**shop_of("shop"), "users": users})
    owner = "select extowner::regrole::text from pg_extension where extname = 'citext'"
    assert either.query(owner, **AT_SHOP) == [("shop",)]


def test_what_a_role_gives_on_new_objects_and_is_elsewhere_goes_with_it(either):
    either.converge(**shop_of("shop", access={"gus": "owner"}))
    for statement in (
        "create schema other",
        "alter default privileges for role gus in schema other grant select on tables to boss",
        "create extension postgres_fdw; create server far foreign data wrapper postgres_fdw",
        "create user mapping for gus server far",
    ):
        either.query(statement, **AT_SHOP)
    users = {"shop": {}, "boss": {}, "gus": {"state": "absent", "reassign_to": "shop"}}
    either.settle(**{**shop_of("shop"), "users": users})
    assert either.query("select from pg_roles where rolname = 'gus'") == []


def test_an_extension_of_a_stranger_or_the_admin_stands_in_nobodys_way(either):
    declared = shop_of("shop", extensions=["citext"])
    either.converge(**declared)
    script = "create role ghost; create collation c (locale = 'C'); alter collation c owner to ghost"
    either.query(script, **AT_SHOP)
    either.settle(**shop_of("boss", extensions=["citext"]))
    assert reported(either, **declared)["objects"] == {"shop": ["collation public.c belongs to ghost"]}


# What an owner revoked from itself, or somebody from it

GIVEN_UP = """
create table t (id serial);
create view v as select 1;
create procedure p(int) language sql as 'select 1';
revoke all on t, v from shop;
revoke usage on sequence t_id_seq from shop;
revoke all on procedure p from shop;
grant select on t to gus;
"""


def test_an_owner_gets_back_what_it_lost_on_its_own(cluster):
    declared = shop_of("shop", access={"gus": "read"})
    cluster.converge(**declared)
    cluster.query(GIVEN_UP, user="shop", **AT_SHOP)
    maintain = ", MAINTAIN" if is_from(17, cluster) else ""
    every = f"SELECT, INSERT, UPDATE, DELETE, TRUNCATE, REFERENCES, TRIGGER{maintain}"
    assert cluster.settle(**declared) == {
        "databases": {
            "shop": [
                f"grant {every} on tables t, v in schema public to shop",
                "grant USAGE on sequence t_id_seq in schema public to shop",
                "grant EXECUTE on routine p(integer) in schema public to shop",
            ]
        }
    }
    for statement in ("insert into t default values", "select from t", "select from v", "call p(1)"):
        cluster.query(statement, user="shop", **AT_SHOP)


def test_a_new_owner_gets_what_the_old_one_gave_up(either):
    either.converge(**shop_of("shop", access={"gus": "read"}))
    either.query(GIVEN_UP, user="shop", **AT_SHOP)
    either.query("grant insert on t to boss", user="shop", **AT_SHOP)
    lines = either.settle(**shop_of("boss", access={"gus": "read"}))["databases"]["shop"]
    assert "tables t, v in schema public owner: shop → boss" in lines
    for statement in ("insert into t default values", "select from t", "select from v", "call p(1)"):
        either.query(statement, user="boss", **AT_SHOP)


def test_what_a_stranger_gave_up_is_its_own_affair(cluster):
    cluster.converge(**shop_of("shop"))
    script = """create role ghost; create table public.t (); alter table public.t owner to ghost;
        revoke all on public.t from ghost"""
    cluster.query(script, **AT_SHOP)
    assert cluster.converge(**shop_of("shop")) == {}


def test_many_objects_and_their_schema_follow_beside_new_grants(hosted):
    """The grants fill steps of their own, so that the schema changes its owner before the last step."""

    def owned_by(owner, **access):
        schemas = {"app": {"owner": owner, "access": access}}
        return {
            "databases": {"shop": {"owner": "shop", "schemas": schemas}},
            "users": ["shop", "boss", "gus"],
        }

    hosted.settle(**owned_by("shop"))
    hosted.query(MANY.replace("create table ", "create table app."), user="shop", **AT_SHOP)
    hosted.settle(**owned_by("boss", gus="read"))
    assert hosted.query(OF_SHOP, **AT_SHOP) == []
