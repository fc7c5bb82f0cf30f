"""The same pillar on every major version, and what some of them have alone."""

import pytest

from devtools.postgres import majors

SHOP = {
    "databases": {
        "shop": {
            "owner": "shop",
            "access": {"app": "write", "ann": "read", "olga": "owner"},
            "schemas": {"news": "press"},
            "extensions": ["citext"],
            "settings": {"work_mem": "2MB"},
        }
    },
    "users": {"shop": {}, "press": {}, "app": {}, "ann": {"groups": ["readers"]}, "olga": {}},
    "groups": {"readers": {}},
}
AT_SHOP = {"dbname": "shop"}


def since(first, before=99):
    return pytest.mark.parametrize(
        "every_server", [m for m in majors() if first <= m < before], indirect=True
    )


def converged(cluster):
    cluster.converge(**SHOP)
    script = """
        create table orders (id serial, what text);
        create function twice(n int) returns int language sql as 'select n * 2';
        create procedure tidy(n int) language sql as 'select n'"""
    cluster.query(script, user="shop", **AT_SHOP)
    assert cluster.converge(**SHOP) == {}
    return cluster


DRIFTS = {
    "grant create on database shop to ann": "revoke CREATE on the database from ann",
    "revoke connect on database shop from app": "grant CONNECT on the database to app",
    "grant create on schema public to app": "revoke CREATE on schema public from app",
    "revoke usage on schema news from ann": "grant USAGE on schema news to ann",
    "grant truncate on orders to app": "revoke TRUNCATE on table orders in schema public from app",
    "revoke insert on orders from app": "grant INSERT on table orders in schema public to app",
    "grant select (id) on orders to press": "revoke SELECT on column orders.id in schema public from press",
    "grant update on sequence orders_id_seq to app": (
        "revoke UPDATE on sequence orders_id_seq in schema public from app"
    ),
    "grant execute on function twice to press": (
        "revoke EXECUTE on routine twice(integer) in schema public from press"
    ),
    "revoke execute on procedure tidy from ann": (
        "grant EXECUTE on routine tidy(integer) in schema public to ann"
    ),
    "grant select on orders to ann with grant option": (
        "revoke the right to pass on SELECT, and what was passed on,"
        " on table orders in schema public from ann"
    ),
    "grant temp on database shop to public": "revoke TEMPORARY on the database from PUBLIC",
    "grant create, usage on schema public to public": "revoke CREATE, USAGE on schema public from PUBLIC",
    "alter default privileges for role shop grant select on tables to press": (
        "revoke SELECT on new tables of shop from press"
    ),
    "alter default privileges for role shop grant usage on schemas to ann": (
        "revoke USAGE on new schemas of shop from ann"
    ),
    "alter default privileges for role olga in schema public revoke all on sequences from app": (
        "grant USAGE, SELECT on new sequences of olga in schema public to app"
    ),
    "alter role ann in database shop set work_mem = '1MB'": "ann acts here without work_mem",
    "alter schema news owner to shop": "schema news owner: shop → press",
    "drop extension citext": "create extension citext",
}


def test_every_kind_of_drift_is_taken_back(every_cluster):
    converged(every_cluster)
    for drift, line in DRIFTS.items():
        every_cluster.query(drift, **AT_SHOP)
        assert line in every_cluster.settle(**SHOP)["databases"]["shop"], drift


@since(17)
def test_nobody_is_left_with_maintain(every_cluster):
    converged(every_cluster)
    every_cluster.query("grant maintain on orders to app, public", **AT_SHOP)
    every_cluster.query("alter default privileges for role shop grant maintain on tables to ann", **AT_SHOP)
    assert every_cluster.settle(**SHOP)["databases"]["shop"] == [
        "revoke MAINTAIN on table orders in schema public from app, PUBLIC",
        "revoke MAINTAIN on new tables of shop from ann",
    ]


@since(17)
def test_the_power_to_maintain_everything_goes(every_cluster):
    converged(every_cluster)
    every_cluster.query("grant pg_maintain to app")
    assert every_cluster.settle(**SHOP)["roles"] == {"app": ["leave pg_maintain"]}


@since(18)
def test_tomorrows_large_objects_are_for_nobody(every_cluster):
    converged(every_cluster)
    every_cluster.query(
        "alter default privileges for role shop grant select on large objects to ann", **AT_SHOP
    )
    assert every_cluster.settle(**SHOP)["databases"]["shop"] == [
        "revoke SELECT on new large objects of shop from ann"
    ]


OPTIONS = ["inherit false", "set false", "inherit false, set false"]


@since(16)
@pytest.mark.parametrize("options", OPTIONS)
def test_a_membership_has_the_options_that_make_it_one(every_cluster, options):
    converged(every_cluster)
    every_cluster.query(f"grant readers to ann with {options}")
    assert every_cluster.settle(**SHOP)["roles"] == {"ann": ["leave readers", "join readers"]}
    found = (
        "select inherit_option, set_option, admin_option from pg_auth_members where member = 'ann'::regrole"
    )
    assert every_cluster.query(found) == [(True, True, False)]


@since(16)
def test_a_membership_that_two_have_granted_goes_whole(every_cluster):
    converged(every_cluster)
    every_cluster.query("create role ghost; grant readers to ghost with admin option; grant readers to app")
    every_cluster.query("set role ghost; grant readers to app")
    assert every_cluster.settle(**SHOP)["roles"] == {"app": ["leave readers"]}
    assert every_cluster.query("select from pg_auth_members where member = 'app'::regrole") == []


@since(14)
def test_power_over_all_data_goes(every_cluster):
    converged(every_cluster)
    every_cluster.query("grant pg_read_all_data, pg_write_all_data to ann")
    assert every_cluster.settle(**SHOP)["roles"] == {
        "ann": ["leave pg_read_all_data", "leave pg_write_all_data"]
    }


@since(15)
def test_the_owner_of_the_database_owns_public_through_its_own_role(every_cluster):
    converged(every_cluster)
    assert public_owner(every_cluster) == "pg_database_owner"


@since(13, 15)
def test_before_15_public_stays_the_superusers_and_the_owner_works_in_it(every_cluster):
    converged(every_cluster)
    assert public_owner(every_cluster) == "postgres"
    every_cluster.query("create table more ()", user="shop", **AT_SHOP)


def public_owner(cluster):
    owner = "select nspowner::regrole::text from pg_namespace where nspname = 'public'"
    return cluster.query(owner, **AT_SHOP)[0][0]


@since(14, 15)
def test_an_upgraded_public_may_belong_to_the_owner_of_the_database(every_cluster):
    converged(every_cluster)
    every_cluster.query("alter schema public owner to pg_database_owner", **AT_SHOP)
    every_cluster.converge(**SHOP)
    assert every_cluster.converge(**SHOP) == {}
    every_cluster.query("create table more ()", user="shop", **AT_SHOP)
    every_cluster.query("select from more", user="ann", **AT_SHOP)
