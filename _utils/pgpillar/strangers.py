"""What a cluster holds and pillar does not name. It is reported, and never touched."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping

from pgpillar import text
from pgpillar.model import ABSENT, NO_SCHEMA, PRESENT, PUBLIC, Cluster, Database, Object, Server

BUILT_IN = frozenset({"plpgsql"})


def unmanaged(current: Cluster, wanted: Cluster, own_database: str) -> dict:
    """By kind; a kind of which there is nothing is left out.

    ``own_database`` is where the admin connects first.
    """
    own = {current.server.admin, current.server.founder}
    strangers = {name for name in current.roles if name not in wanted.roles and name not in own}
    found = {
        "roles": sorted(strangers),
        "databases": sorted(set(current.databases) - set(wanted.databases) - {own_database}),
        "memberships": sorted(
            f"{join.member} is in {join.role}"
            for join in current.memberships
            if join.member in strangers and join.role in wanted.roles
        ),
        "rights": sorted(map(text.held, current.grants)),
        **_inside(current, wanted, strangers),
        "not looked into": {
            name: one.unseen for name, one in sorted(current.databases.items()) if one.unseen
        },
    }
    return {kind: names for kind, names in found.items() if names}


def _inside(current: Cluster, wanted: Cluster, strangers: set[str]) -> dict:
    pairs = [
        (current.databases[name], database)
        for name, database in sorted(wanted.databases.items())
        if name in current.databases and database.state == PRESENT
    ]
    return {
        "schemas": _unnamed(pairs, "schemas"),
        "extensions": _unnamed(pairs, "extensions", BUILT_IN),
        "objects": {
            now.name: lines
            for now, database in pairs
            if (lines := _foreign_objects(now, database, wanted.roles, current.server))
        },
        "grants": {
            now.name: lines
            for now, database in pairs
            if (lines := sorted({*_grants(now, database, strangers), *_on_new_objects(now, current, wanted)}))
        }
        | _elsewhere(current, wanted),
    }


def _unnamed(
    pairs: Iterable[tuple[Database, Database]], kind: str, but: Iterable[str] = ()
) -> dict[str, list[str]]:
    """What databases have of a kind and pillar does not name in them."""
    missing = {
        now.name: _missing(getattr(now, kind), {*getattr(wanted, kind), *but}) for now, wanted in pairs
    }
    return {name: names for name, names in missing.items() if names}


def forgotten(before: Cluster, after: Cluster) -> dict:
    """What one pillar names and the next does not, by kind. It stays as it is on the server."""
    old, new = _staying(before.databases), after.databases
    pairs = [
        (now, new[name]) for name, now in sorted(old.items()) if name in new and new[name].state == PRESENT
    ]
    found = {
        "roles": _missing(_staying(before.roles), after.roles),
        "databases": _missing(old, new),
        "schemas": _unnamed(pairs, "schemas"),
        "extensions": _unnamed(pairs, "extensions"),
    }
    return {kind: names for kind, names in found.items() if names}


def _staying(things: Mapping) -> dict:
    return {name: one for name, one in things.items() if one.state != ABSENT}


def _missing(there: Iterable[str], named: Iterable[str]) -> list[str]:
    return sorted(set(there) - set(named))


def _on_new_objects(now: Database, current: Cluster, wanted: Cluster) -> Iterator[str]:
    """What declared roles and PUBLIC will hold on what roles make that the admin cannot act for."""
    for grant in now.default_grants:
        theirs = not (current.server.admin_acts_for(grant.creator) or grant.creator in wanted.roles)
        if theirs and grant.grantee in wanted.managed:
            yield text.given_on_new(grant)


def _grants(now: Database, wanted: Database, strangers: set[str]) -> list[str]:
    """Grants to roles that pillar does not name, and any on what it does not name or cannot declare."""
    elsewhere = {
        grant
        for grant in now.grants
        if grant.path and grant.path[0] not in wanted.schemas and grant.grantee != PUBLIC
    }
    theirs = {grant for grant in now.grants if grant.grantee in strangers}
    return sorted({text.held(grant, now) for grant in elsewhere | theirs | now.beyond})


def _foreign_objects(now: Database, wanted: Database, roles: Iterable[str], server: Server) -> list[str]:
    """What belongs to nobody of pillar's in the schemas that it names, and those schemas themselves.

    Extensions belong to the admin that made them.
    """
    usual = {("schema", server.public_owner), ("extension", server.admin)}
    schemas = [Object("schema", (name,), schema.owner) for name, schema in now.schemas.items()]
    return sorted(
        f"{text.thing(one.kind, one.path)} belongs to {one.owner}"
        for one in (*schemas, *(now.objects or ()))
        if one.path[0] in {*wanted.schemas, NO_SCHEMA}
        and not one.bound
        and one.owner not in roles
        and (one.kind, one.owner) not in usual
    )


def _elsewhere(current: Cluster, wanted: Cluster) -> dict[str, list[str]]:
    """What pillar's roles may do with databases that it does not name, and do not own."""
    found = {
        now.name: sorted(
            text.held(g, now) for g in now.grants if g.grantee in wanted.roles and g.grantee != now.owner
        )
        for now in current.databases.values()
        if now.name not in wanted.databases
    }
    return {name: lines for name, lines in sorted(found.items()) if lines}
