"""The main way: what pillar declares becomes true, and the second run changes nothing."""

import psycopg2
import pytest

SHOP = {
    "databases": {"wiki": "wiki", "shop": {"owner": "shop", "access": {"shop_app": "write", "analyst": "read"}}},
    "users": ["wiki", "shop", "shop_app", "analyst"],
}


def test_a_second_run_changes_nothing(every_cluster):
    changed = every_cluster.settle(**SHOP)
    assert set(changed["databases"]) == {"wiki", "shop"}
    assert set(changed["roles"]) == set(SHOP["users"])


def test_a_hosted_admin_converges_too(every_hosted):
    if every_hosted.server.bindir and int(every_hosted.query("show server_version_num")[0][0]) < 150000:
        outcome = every_hosted.attempt(**SHOP)
        assert "public" in outcome.failures["database 'shop'"]
        return
    every_hosted.settle(**SHOP)


def test_each_level_can_do_its_part_and_no_more(cluster):
    cluster.converge(**SHOP)
    at_shop = {"dbname": "shop"}
    cluster.query("create table orders (id serial, what text)", user="shop", **at_shop)
    cluster.query("insert into orders (what) values ('tea')", user="shop_app", **at_shop)
    assert cluster.query("select what from orders", user="analyst", **at_shop) == [("tea",)]
    for user, statement in (
        ("analyst", "insert into orders (what) values ('no')"),
        ("shop_app", "create table mine ()"),
        ("shop_app", "truncate orders"),
        ("analyst", "create temp table mine ()"),
    ):
        with pytest.raises(psycopg2.errors.InsufficientPrivilege):
            cluster.query(statement, user=user, **at_shop)


def test_nobody_else_gets_in(cluster):
    cluster.converge(**SHOP)
    with pytest.raises(psycopg2.OperationalError, match="permission denied for database"):
        cluster.query("select 1", user="wiki", dbname="shop")
