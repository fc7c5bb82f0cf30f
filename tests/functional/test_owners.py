"""Who owns what in a database once pillar has said who is its owner, whatever the owner before left there."""

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
