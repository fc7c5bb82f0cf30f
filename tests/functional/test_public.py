"""PUBLIC is shut out of whatever is declared, also where no ACL says that it has anything."""

import psycopg2
import pytest

SHOP = {
    "databases": {"shop": {"owner": "shop", "schemas": {"news": "press"}}},
    "users": ["shop", "press", "nobody"],
}
AT_SHOP = {"dbname": "shop"}


def rights_of_public(cluster):
    """All that PUBLIC has in the shop, by kind, implicit grants included."""
    return set(
        cluster.query(
            """
            select 'database ' || privilege_type from pg_database d,
                aclexplode(coalesce(datacl, acldefault('d', datdba))) where grantee = 0 and datname = 'shop'
            union select nspname || ' ' || privilege_type from pg_namespace,
                aclexplode(coalesce(nspacl, acldefault('n', nspowner)))
                where grantee = 0 and nspname in ('public', 'news')
            union select relname || ' ' || privilege_type from pg_class, aclexplode(relacl)
                where grantee = 0 and relnamespace in ('public'::regnamespace, 'news'::regnamespace)""",
            **AT_SHOP,
        )
    )


def test_a_new_database_is_closed(every_cluster):
    every_cluster.settle(**SHOP)
    assert rights_of_public(every_cluster) == set()
    with pytest.raises(psycopg2.OperationalError, match="permission denied for database"):
        every_cluster.query("select 1", user="nobody", **AT_SHOP)


def test_it_is_closed_in_the_breath_that_makes_it(cluster):
    """Whatever fails later, nobody has been let in."""
    cluster.scripts["salt://no.sql"] = "select no_such()"
    database = {"owner": "shop", "bootstrap": "salt://no.sql"}
    assert cluster.attempt(databases={"shop": database}, users=["shop"]).failures
    acl = cluster.query("select datacl::text from pg_database where datname = 'shop'")[0][0]
    assert "{=" not in acl
    assert ",=" not in acl


def test_a_database_without_any_acl_is_closed(every_cluster):
    every_cluster.query("create role shop")
    every_cluster.query("create database shop owner shop")
    assert every_cluster.query("select datacl from pg_database where datname = 'shop'") == [(None,)]
    lines = every_cluster.settle(**SHOP)["databases"]["shop"]
    assert "revoke CONNECT, TEMPORARY on the database from PUBLIC" in lines
    assert rights_of_public(every_cluster) == set()


def test_the_schema_public_of_an_upgraded_database_is_closed(every_cluster):
    """Before 15 everybody could create there, and an upgrade keeps that."""
    every_cluster.query("create role shop")
    every_cluster.query("create database shop owner shop")
    every_cluster.query("alter schema public owner to postgres", **AT_SHOP)
    every_cluster.query("grant usage, create on schema public to public", **AT_SHOP)
    lines = every_cluster.settle(**SHOP)["databases"]["shop"]
    assert "revoke CREATE, USAGE on schema public from PUBLIC" in lines
    assert rights_of_public(every_cluster) == set()
    every_cluster.query("create table mine ()", user="shop", **AT_SHOP)


DRIFTS = {
    "grant connect on database shop to public": "revoke CONNECT on the database from PUBLIC",
    "grant temp on database shop to public": "revoke TEMPORARY on the database from PUBLIC",
    "grant create on database shop to public": "revoke CREATE on the database from PUBLIC",
    "grant usage on schema public to public": "revoke USAGE on schema public from PUBLIC",
    "grant create on schema public to public": "revoke CREATE on schema public from PUBLIC",
    "grant all on schema news to public": "revoke CREATE, USAGE on schema news from PUBLIC",
    "grant select on news.t to public": "revoke SELECT on table t in schema news from PUBLIC",
    "grant update (id) on t to public": "revoke UPDATE on column t.id in schema public from PUBLIC",
    "grant usage on sequence s to public": "revoke USAGE on sequence s in schema public from PUBLIC",
    "alter default privileges for role shop grant select on tables to public": (
        "revoke SELECT on new tables of shop from PUBLIC"
    ),
    "alter default privileges for role press in schema news grant usage on sequences to public": (
        "revoke USAGE on new sequences of press in schema news from PUBLIC"
    ),
    "alter default privileges for role shop grant usage on schemas to public": (
        "revoke USAGE on new schemas of shop from PUBLIC"
    ),
}


@pytest.fixture(scope="module")
def shop(lasting):
    lasting.converge(**SHOP)
    lasting.query("create table t (id int); create sequence s; create table news.t ()", **AT_SHOP)
    return lasting


@pytest.mark.parametrize("drift", DRIFTS)
def test_what_somebody_opened_is_closed_again(shop, drift):
    shop.query(drift, **AT_SHOP)
    assert shop.settle(**SHOP) == {"databases": {"shop": [DRIFTS[drift]]}}
    assert rights_of_public(shop) == set()


def test_functions_stay_callable_for_whoever_reaches_them(shop):
    """PUBLIC may execute by PostgreSQL's default; behind a closed schema that lets nobody in."""
    shop.query("create function f() returns int language sql as 'select 1'", **AT_SHOP)
    assert shop.converge(**SHOP) == {}
    shop.query("grant connect on database shop to nobody", **AT_SHOP)
    with pytest.raises(psycopg2.errors.InsufficientPrivilege):
        shop.query("select public.f()", user="nobody", **AT_SHOP)
    shop.settle(**SHOP)


def test_what_is_not_declared_stays_open(shop):
    """The database that everybody connects to first, and the schemas that pillar does not name."""
    shop.query("create schema theirs; grant usage on schema theirs to public", **AT_SHOP)
    assert shop.converge(**SHOP) == {}
    assert shop.query("select 1", user="nobody") == [(1,)]
