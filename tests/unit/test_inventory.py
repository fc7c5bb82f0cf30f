"""What `pg_access.inspect` tells of a cluster."""

import pytest

from pgpillar import text
from pgpillar.model import EVERYWHERE, Cluster, Database, DefaultGrant, Extension, Schema


@pytest.fixture
def told():
    """Return a function that gives what is told of one database."""
    return lambda database: text.inventory(Cluster("main", databases={"shop": database}))["databases"]["shop"]


def test_the_inside_of_a_database_is_told(told):
    inside = {
        "schemas": {"public": Schema("public", "shop")},
        "extensions": {"citext": Extension("citext", "1.6")},
    }
    said = told(Database("shop", "shop", objects=(), **inside))
    assert (said["schemas"], said["extensions"]) == ({"public": "shop"}, {"citext": "1.6"})


def test_what_new_objects_are_given_is_told(told):
    given = {
        DefaultGrant("shop", "public", "table", "SELECT", "analyst"),
        DefaultGrant("shop", EVERYWHERE, "routine", "EXECUTE", "public"),
    }
    assert told(Database("shop", "shop", objects=(), default_grants=frozenset(given)))["default_grants"] == [
        "EXECUTE on new routines of shop to PUBLIC",
        "SELECT on new tables of shop in schema public to analyst",
    ]


def test_of_a_database_that_was_not_looked_into_no_inside_is_told(told):
    assert not {"schemas", "extensions"} & told(Database("shop", "shop")).keys()


def test_of_a_database_that_could_not_be_entered_the_reason_is_told(told):
    said = told(Database("shop", "shop", unseen="too many connections"))
    assert said["not looked into"] == "too many connections"
