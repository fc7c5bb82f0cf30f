"""Clusters for the tests of plans: what a pillar declares, and what a server is found to hold."""

from collections import defaultdict
from dataclasses import replace

from pgpillar import pillar
from pgpillar.model import (
    Cluster,
    DefaultGrant,
    Extension,
    Grant,
    Membership,
    Object,
    Role,
    Schema,
    Server,
)

CLUSTERS = {"main": {"host": "postgresql.example.internal"}}


def declared(tree: dict) -> Cluster:
    """What a pillar declares. Users given without a password get one."""
    users = {
        name: {"password": f"of {name}", **(entry or {})} for name, entry in tree.get("users", {}).items()
    }
    return pillar.read({"clusters": CLUSTERS, **tree, "users": users})["main"].cluster


def found(tree: dict) -> Cluster:
    """What a server holds: what a pillar declared before, and what differs from that in ``found``."""
    tree = dict(tree)
    differs = tree.pop("found", {})
    cluster = declared(tree)
    roles = {name: _role(name, cluster, entry) for name, entry in differs.get("roles", {}).items()}
    found = differs.get("databases", {name: {} for name in cluster.databases} if "server" in differs else {})
    databases = {name: _database(cluster.databases[name], entry) for name, entry in found.items()}
    return replace(
        cluster,
        roles={**cluster.roles, **roles},
        databases={**cluster.databases, **databases},
        memberships=frozenset(_memberships(cluster, differs.get("memberships", ()))),
        server=_server(differs["server"]) if "server" in differs else None,
    )


def _server(entry: dict) -> Server:
    grantors = {(role, member): tuple(by) for role, member, by in entry.get("grantors", ())}
    dependents = {role: tuple(map(tuple, places)) for role, places in entry.get("dependents", {}).items()}
    kept_by = {role: tuple(map(tuple, things)) for role, things in entry.get("kept_by", {}).items()}
    extensions = {name: tuple(versions) for name, versions in entry.get("extensions", {}).items()}
    given = {"admin": "postgres", "superuser": True, "version": 180000, **entry}
    more = {
        "grantors": grantors,
        "dependents": dependents,
        "kept_by": kept_by,
        "extensions": extensions,
        "occupied": frozenset(entry.get("occupied", ())),
    }
    return Server(**{**given, **more})


def _memberships(cluster: Cluster, rows: list):
    seen = {(role, member): Membership(role, member, *more) for role, member, *more in rows}
    return {**{(join.role, join.member): join for join in cluster.memberships}, **seen}.values()


def _role(name: str, cluster: Cluster, entry: dict) -> Role:
    kinds = {"settings": lambda pairs: frozenset(map(tuple, pairs)), "attributes": frozenset}
    given = {key: kinds.get(key, lambda it: it)(value) for key, value in entry.items()}
    return replace(cluster.roles.get(name, Role(name)), **given)


def _database(database, entry: dict):
    entry = dict(entry)
    objects = [Object(kind, tuple(path), *more) for kind, path, *more in entry.pop("objects", ())]
    extra = {_grant(*grant) for grant in entry.pop("grants", ())}
    lost = {_grant(*grant) for grant in entry.pop("lost", ())}
    kinds = {
        "settings": _tuples,
        "role_settings": _tuples,
        "default_grants": lambda rows: frozenset(DefaultGrant(*row) for row in rows),
        "given_up": lambda rows: frozenset(_grant(*row) for row in rows),
        "schemas": lambda owners: {name: Schema(name, owner) for name, owner in owners.items()},
        "extensions": lambda rows: {name: Extension(name, *row) for name, row in rows.items()},
    }
    given = {key: kinds.get(key, lambda it: it)(value) for key, value in entry.items()}
    given.setdefault("schemas", {name: _owned(schema) for name, schema in database.schemas.items()})
    had = _on_each(database.grants, objects) - lost | extra
    schemas = given.get("schemas", database.schemas)
    here = frozenset(grant for grant in had if not grant.path or grant.path[0] in schemas)
    return replace(database, **given, objects=tuple(objects), grants=here)


def _owned(schema: Schema) -> Schema:
    """A server knows the owner of public, which pillar need not name."""
    return replace(schema, owner=schema.owner or "pg_database_owner")


def _tuples(rows: list) -> frozenset:
    return frozenset(map(tuple, rows))


def _grant(kind, path, *more) -> Grant:
    return Grant(kind, tuple(path), *more)


def _on_each(grants, objects) -> set[Grant]:
    """A server holds a grant for each object, and an owner's rights are not among them."""
    there = defaultdict(list)
    for one in objects:
        there[one.kind, one.path[:1]].append(one)
    return {
        grant._replace(path=one.path if one else grant.path)
        for grant in grants
        for one in ([None] if grant.kind in ("database", "schema") else there[grant.kind, grant.path])
        if one is None or one.owner != grant.grantee
    }
