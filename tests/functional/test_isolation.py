"""The three levels of isolation, as docs/examples/ has them: what each service can do, and what it cannot."""

import secrets
from pathlib import Path

import psycopg2
import pytest
import yaml
from psycopg2.errors import InsufficientPrivilege

from pgpillar import connect, execute, pillar

EXAMPLES = Path(__file__).resolve().parents[2] / "docs" / "examples"
NEIGHBOURS = [("shop", "wiki"), ("wiki", "shop")]


def converged(level, **clusters):
    """Apply an example to real clusters, twice. It lacks only what is secret, and where the clusters are."""
    tree = yaml.safe_load((EXAMPLES / f"isolation-{level}.sls").read_text())["postgresql"]
    assert set(tree["clusters"]) == set(clusters)
    passwords = {name: secrets.token_urlsafe(12) for name in tree["users"]}
    tree["users"] = {name: {**entry, "password": passwords[name]} for name, entry in tree["users"].items()}
    for name, cluster in clusters.items():
        tree["clusters"][name] = {**cluster.endpoint, "admin": cluster.admin}
        cluster.passwords = passwords
    for declared in pillar.read(tree).values():
        assert run(declared).changes
        assert run(declared).changes == []


def run(declared):
    with connect.gateway(declared.endpoint) as gateway:
        outcome = execute.converge(gateway, declared.cluster, fetch=None)
    assert outcome.failures == {}
    return outcome


def works(cluster, service, table="orders", **where):
    """A service makes a table, and its application writes and reads it."""
    cluster.query(f"create table {table} (what text)", user=service, **where)
    cluster.query(f"insert into {table} values ('tea')", user=f"{service}_app", **where)
    assert cluster.query(f"select what from {table}", user=f"{service}_app", **where) == [("tea",)]


def test_a_cluster_for_a_service(cluster, neighbour):
    converged("cluster", shop=cluster, wiki=neighbour)
    for own, service in ((cluster, "shop"), (neighbour, "wiki")):
        works(own, service, dbname=service)
        assert own.query("select rolname from pg_roles where rolname ~ '^(shop|wiki)' order by 1") == [
            (service,),
            (f"{service}_app",),
        ]
    with pytest.raises(psycopg2.OperationalError, match="password authentication failed"):
        neighbour.query("select 1", user="shop_app", dbname="wiki")


def test_a_database_of_one_name_on_each_cluster(cluster, neighbour):
    converged("name", eu=cluster, us=neighbour)
    for own, user, other in ((cluster, "shop_eu_app", neighbour), (neighbour, "shop_us_app", cluster)):
        own.query("create table orders (what text)", user="shop", dbname="shop")
        own.query("insert into orders values ('tea')", user=user, dbname="shop")
        with pytest.raises(psycopg2.OperationalError, match="password authentication failed"):
            other.query("select 1", user=user, dbname="shop")


def test_a_database_for_a_service(cluster):
    converged("database", main=cluster)
    for service, other in NEIGHBOURS:
        works(cluster, service, dbname=service)
        for user in (service, f"{service}_app"):
            with pytest.raises(psycopg2.OperationalError, match="permission denied for database"):
                cluster.query("select 1", user=user, dbname=other)


def test_a_schema_for_a_service(cluster):
    converged("schema", main=cluster)
    here = {"dbname": "platform"}
    for service, _ in NEIGHBOURS:
        works(cluster, service, **here)
    for service, other in NEIGHBOURS:
        for user, statement in (
            (service, f"select from {other}.orders"),
            (service, f"create table {other}.mine ()"),
            (service, "create table public.mine ()"),
            (service, "create schema mine"),
            (f"{service}_app", f"select from {other}.orders"),
            (f"{service}_app", f"create table {service}.mine ()"),
            (f"{service}_app", "truncate orders"),
        ):
            with pytest.raises(InsufficientPrivilege):
                cluster.query(statement, user=user, **here)


def test_who_may_read_several_schemas_joins_their_tables(cluster):
    converged("schema", main=cluster)
    here = {"dbname": "platform"}
    for service, _ in NEIGHBOURS:
        works(cluster, service, **here)
    joined = "select what from shop.orders join wiki.orders using (what)"
    assert cluster.query(joined, user="analyst", **here) == [("tea",)]
    for schema in ("shop", "wiki"):
        with pytest.raises(InsufficientPrivilege):
            cluster.query(f"insert into {schema}.orders values ('')", user="analyst", **here)


@pytest.mark.parametrize("level", ["cluster", "database", "schema"])
def test_an_example_holds_no_secret(level):
    assert "password:" not in (EXAMPLES / f"isolation-{level}.sls").read_text()
