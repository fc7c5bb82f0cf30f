"""What `pg_access.unmanaged` reports: all that pillar does not name, and nothing else."""

import worlds

from pgpillar.model import Database, Grant
from pgpillar.strangers import unmanaged

DECLARED = {
    "databases": {"shop": {"owner": "shop", "schemas": {"app": {}}, "extensions": ["citext"]}},
    "users": {"shop": {}},
}
SERVER = {"server": {"admin": "root", "founder": "postgres"}}


def reported(**found):
    current = worlds.found({**DECLARED, "found": {**SERVER, **found}})
    return unmanaged(current, worlds.declared(DECLARED), "defaultdb")


def test_of_what_is_as_declared_nothing_is_reported():
    assert reported() == {}


def test_neither_the_admin_nor_the_founder_nor_the_admins_database_is_a_stranger():
    home = worlds.declared({"databases": {"defaultdb": "root"}, "users": {"root": {}}})
    current = worlds.found({**DECLARED, "found": {**SERVER, "roles": {"root": {}, "postgres": {}}}})
    current.databases.update(home.databases)
    assert unmanaged(current, worlds.declared(DECLARED), "defaultdb") == {}
    assert unmanaged(current, worlds.declared(DECLARED), "postgres") == {"databases": ["defaultdb"]}


def test_strangers_and_the_groups_that_they_are_in_are_reported():
    found = reported(
        roles={"old": {}, "ex": {}}, memberships=[["shop", "old"], ["ex", "old"], ["ex", "shop"]]
    )
    assert found == {"roles": ["ex", "old"], "memberships": ["old is in shop"]}


def test_schemas_extensions_and_rights_that_pillar_does_not_name_are_reported():
    inside = {
        "schemas": {"public": "shop", "app": "shop", "other": "shop"},
        "extensions": {"citext": ["1", "public"], "plpgsql": ["1", "pg_catalog"], "hstore": ["1", "public"]},
        "grants": [
            ["table", ["app", "t"], "SELECT", "old"],
            ["table", ["other", "t"], "SELECT", "shop"],
            ["schema", ["other"], "USAGE", "public"],
            ["database", [], "CONNECT", "old"],
        ],
    }
    assert reported(roles={"old": {}}, databases={"shop": inside}) == {
        "roles": ["old"],
        "schemas": {"shop": ["other"]},
        "extensions": {"shop": ["hstore"]},
        "grants": {
            "shop": [
                "CONNECT on database shop to old",
                "SELECT on table app.t to old",
                "SELECT on table other.t to shop",
            ]
        },
    }


def test_what_strangers_own_is_reported_and_what_the_admin_made_is_not():
    objects = [
        ["table", ["app", "t"], "old"],
        ["collation", ["app", "app.c"], "old"],
        ["publication", ["", "pub"], "old"],
        ["extension", ["", "hstore"], "old"],
        ["extension", ["", "citext"], "root"],
        ["publication", ["", "ours"], "shop"],
        ["collation", ["other", "other.c"], "old"],
    ]
    found = reported(databases={"shop": {"schemas": {"public": "old", "app": "shop"}, "objects": objects}})
    assert found["objects"] == {
        "shop": [
            "collation app.c belongs to old",
            "extension hstore belongs to old",
            "publication pub belongs to old",
            "schema public belongs to old",
            "table app.t belongs to old",
        ]
    }


def test_a_database_that_could_not_be_entered_is_named_with_the_reason():
    current = worlds.found({**DECLARED, "found": SERVER})
    current.databases.update(shop=Database("shop", "shop", unseen="too many connections"))
    said = {"not looked into": {"shop": "too many connections"}}
    assert unmanaged(current, worlds.declared(DECLARED), "defaultdb") == said


def test_the_inside_of_a_database_that_is_to_stay_closed_is_not_reported():
    closed = {**DECLARED, "databases": {"shop": {"state": "quarantined"}}}
    current = worlds.found({**DECLARED, "found": SERVER})
    assert unmanaged(current, worlds.declared(closed), "defaultdb") == {}


def test_what_our_roles_may_do_with_other_databases_is_reported():
    current = worlds.found({**DECLARED, "found": SERVER})
    legacy = Database(
        "legacy",
        "old",
        grants=frozenset(Grant("database", (), "CONNECT", who) for who in ("shop", "old", "public")),
    )
    mine = Database("mine", "shop", grants=frozenset({Grant("database", (), "CONNECT", "shop")}))
    current.databases.update(legacy=legacy, mine=mine)
    assert unmanaged(current, worlds.declared(DECLARED), "defaultdb") == {
        "databases": ["legacy", "mine"],
        "grants": {"legacy": ["CONNECT on database legacy to shop"]},
    }
