"""What the other tests here believe: that the question finds what is wrong."""

import pytest

from tests.schemas import rights

LEVELS = {"app": "owner", "reader": "read", "writer": "write", "nobody": "none"}
DECLARED = {
    "databases": {"site": {"owner": "app", "access": {"reader": "read", "writer": "write"}}},
    "users": list(LEVELS),
}
MADE = """
create table box (id int generated always as identity, what text);
create view boxes as select * from box;
create sequence number;
create function answer() returns int language sql as 'select 42';
create collation words (locale = 'C');
create type span as range (subtype = int4)
"""


@pytest.fixture
def site(cluster):
    cluster.settle(**DECLARED)
    cluster.query(MADE, dbname="site", user="app")
    return cluster


def wrong(site):
    return rights.wrong(site, "site", LEVELS, "its own test")


def test_nothing_is_wrong_with_what_is_as_declared(site):
    assert wrong(site) == []
    assert rights.of_others(site, "site", "app") == []


@pytest.mark.parametrize(
    ("statement", "found"),
    [
        ("grant update (what) on box to reader", ["reader", "has", "UPDATE", "table", "box"]),
        ("grant truncate on box to writer", ["writer", "has", "TRUNCATE", "table", "box"]),
        ("revoke select on boxes from reader", ["reader", "lacks", "SELECT", "table", "boxes"]),
        ("grant usage on sequence number to reader", ["reader", "has", "USAGE", "sequence", "number"]),
        ("revoke delete on box from app", ["app", "lacks", "DELETE", "table", "box"]),
        ("grant create on schema public to public", ["nobody", "has", "CREATE", "schema", "public"]),
        ("grant connect on database site to nobody", ["nobody", "has", "CONNECT", "database", "site"]),
        (
            "grant select on box to reader with grant option",
            ["reader", "has", "SELECT WITH GRANT OPTION", "table", "box"],
        ),
        (
            "revoke execute on function answer from public; revoke execute on function answer from reader",
            ["reader", "lacks", "EXECUTE", "routine", "answer()"],
        ),
    ],
)
def test_what_is_wrong_is_found(site, statement, found):
    site.query(statement, dbname="site")
    assert found in wrong(site)


def test_what_is_of_others_is_found(site):
    site.query("alter collation words owner to writer", dbname="site")
    assert rights.of_others(site, "site", "app") == [("collation", "words", "writer")]
