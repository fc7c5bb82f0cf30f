"""Schemas: made with their owner, moved to another with what is in them, and never dropped."""

import psycopg2
import pytest

USERS = ["shop", "press", "heir"]
AT_SHOP = {"dbname": "shop"}


def shop(**schemas):
    return {"databases": {"shop": {"owner": "shop", "schemas": schemas}}, "users": USERS}


def owner_of(cluster, table):
    return cluster.query("select tableowner from pg_tables where tablename = %s", [table], **AT_SHOP)[0][0]


def schema_owners(cluster):
    rows = cluster.query("select nspname, nspowner::regrole::text from pg_namespace", **AT_SHOP)
    return dict(rows)


def test_a_schema_belongs_to_whom_pillar_says_and_else_to_the_owner_of_the_database(cluster):
    cluster.settle(**shop(news="press", stock={}, depot=None))
    assert schema_owners(cluster).items() >= {"news": "press", "stock": "shop", "depot": "shop"}.items()


def test_its_owner_works_in_it_and_nowhere_else(cluster):
    cluster.settle(**shop(news="press"))
    cluster.query("create table news.items ()", user="press", **AT_SHOP)
    for statement in ("create table items ()", "create schema other", "create temp table items ()"):
        with pytest.raises((psycopg2.errors.InsufficientPrivilege, psycopg2.errors.InvalidSchemaName)):
            cluster.query(statement, user="press", **AT_SHOP)


def test_what_is_in_it_follows_to_a_new_owner(cluster):
    cluster.converge(**shop(news="press"))
    cluster.query(
        "create table news.items (id serial); create type news.tone as enum ()", user="press", **AT_SHOP
    )
    cluster.query("create table elsewhere ()", user="shop", **AT_SHOP)
    changed = cluster.settle(**shop(news="heir"))
    assert "schema news owner: press → heir" in changed["databases"]["shop"]
    assert (owner_of(cluster, "items"), owner_of(cluster, "elsewhere")) == ("heir", "shop")
    cluster.query("insert into news.items default values", user="heir", **AT_SHOP)
    with pytest.raises(psycopg2.OperationalError, match="permission denied for database"):
        cluster.query("select 1", user="press", **AT_SHOP)


def test_a_schema_without_an_owner_of_its_own_follows_the_database(cluster):
    cluster.converge(**shop(stock={}, news="press"))
    cluster.query("create table stock.tea (); create table coffee ()", user="shop", **AT_SHOP)
    cluster.query("create table news.items ()", user="press", **AT_SHOP)
    declared = shop(stock={}, news="press")
    declared["databases"]["shop"]["owner"] = "heir"
    cluster.settle(**declared)
    owners = [owner_of(cluster, table) for table in ("tea", "coffee", "items")]
    assert owners == ["heir", "heir", "press"]


def test_an_owner_that_somebody_changed_is_changed_back(cluster):
    cluster.converge(**shop(news="press"))
    cluster.query("alter schema news owner to heir", **AT_SHOP)
    assert "schema news owner: heir → press" in cluster.settle(**shop(news="press"))["databases"]["shop"]


def test_a_schema_that_somebody_dropped_is_made_again(cluster):
    cluster.converge(**shop(news="press"))
    cluster.query("drop schema news", **AT_SHOP)
    assert "create schema news, owner press" in cluster.settle(**shop(news="press"))["databases"]["shop"]


def test_a_schema_that_pillar_names_no_longer_stays_with_its_data(cluster):
    cluster.converge(**shop(news="press"))
    cluster.query("create table news.items ()", user="press", **AT_SHOP)
    cluster.settle(**shop())
    assert owner_of(cluster, "items") == "press"


def test_a_schema_that_others_made_is_left_alone(cluster):
    cluster.converge(**shop())
    cluster.query("create role stranger; create schema theirs authorization stranger", **AT_SHOP)
    cluster.query("create table theirs.t (); grant all on theirs.t to public", **AT_SHOP)
    assert cluster.settle(**shop()) == {}
    assert schema_owners(cluster)["theirs"] == "stranger"


def test_public_need_not_be_there(cluster):
    cluster.converge(**shop(news="press"))
    cluster.query("drop schema public", **AT_SHOP)
    assert cluster.settle(**shop(news="press")) == {}
    assert "public" not in schema_owners(cluster)


def test_public_may_be_given_an_owner(every_cluster):
    every_cluster.settle(**shop(public="press"))
    assert schema_owners(every_cluster)["public"] == "press"
    every_cluster.query("create table public.items ()", user="press", **AT_SHOP)


def test_a_schema_in_one_database_is_none_in_another(cluster):
    cluster.settle(
        databases={"one": {"owner": "shop", "schemas": {"news": "press"}}, "two": {"owner": "shop"}},
        users=USERS,
    )
    assert cluster.query("select to_regnamespace('news')", dbname="two") == [(None,)]
