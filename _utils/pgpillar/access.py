"""What each level of access means, object by object, and what it makes of a declared database."""

from __future__ import annotations

from collections.abc import Container, Iterable, Mapping
from typing import NamedTuple

from pgpillar.model import NO_SCHEMA, DefaultGrant, Extension, Grant, Membership, Schema

READ, WRITE, OWNER = LEVELS = ("read", "write", "owner")

# What a grant on every object of a kind holds. An owner's power comes by membership, not by grants.
ON_DATABASE = {READ: ("CONNECT",), WRITE: ("CONNECT",), OWNER: ()}
ON_SCHEMA = {READ: ("USAGE",), WRITE: ("USAGE",), OWNER: ()}
ON_OBJECTS = {
    READ: {"table": ("SELECT",), "sequence": ("SELECT",), "routine": ("EXECUTE",)},
    WRITE: {
        "table": ("SELECT", "INSERT", "UPDATE", "DELETE"),
        "sequence": ("SELECT", "USAGE"),
        "routine": ("EXECUTE",),
    },
    OWNER: {},
}
OF_OWNER = {"database": ("CONNECT", "CREATE", "TEMPORARY"), "schema": ("CREATE", "USAGE")}


class Access(NamedTuple):
    """A role's level on a database, or on one schema of it."""

    role: str
    level: str
    schema: str | None = None


class Layout(NamedTuple):
    """What the grants of one database are made from."""

    owner: str
    schemas: Mapping[str, Schema]
    extensions: Mapping[str, Extension]
    access: tuple[Access, ...]


def owner_of(layout: Layout, schema: str) -> str:
    return layout.schemas[schema].owner or layout.owner


def owners(layout: Layout) -> set[str]:
    return {layout.owner, *(owner_of(layout, schema) for schema in layout.schemas)}


def memberships(layout: Layout) -> set[Membership]:
    """Who joins the owner of what it is to own."""
    joins = {
        Membership(owner_of(layout, a.schema) if a.schema else layout.owner, a.role)
        for a in layout.access
        if a.level == OWNER
    }
    return {join for join in joins if join.role != join.member}


def acts_as(
    layout: Layout, logins: Container[str], above: Mapping[str, set[str]], members: Mapping[str, set[str]]
) -> frozenset[tuple[str, str, str]]:
    """Settings that make who logs in act as the owner that it is a member of: what it creates is the owner's.

    Only for one whose sole access here that is, through groups as well: as the owner, it would lose the rest.
    ``above``: the roles that a role is in, at any depth.
    """
    return frozenset(
        (member, "role", owner)
        for owner in owners(layout)
        for member in members.get(owner, ())
        if member in logins and _is_all(layout, owner, {member, *above[member]}, above.get(owner, set()))
    )


def _is_all(layout: Layout, owner: str, reach: set[str], above_owner: set[str]) -> bool:
    """Whether all that a role with this reach may do here comes of the one owner."""
    given = {access.role for access in layout.access if access.level != OWNER} | owners(layout)
    return not any(role in given or role.startswith("pg_") for role in reach - above_owner - {owner})


def grants(layout: Layout) -> frozenset[Grant]:
    return frozenset(
        [
            *_of_the_owners(layout),
            *_on_the_database(layout),
            *_on_schemas(layout),
            *_on_objects(layout),
            *_to_reach_extensions(layout),
        ]
    )


def default_grants(layout: Layout, members: Mapping[str, set[str]]) -> frozenset[DefaultGrant]:
    """The same rights on tomorrow's objects, whichever role creates them.

    ``members``: who is in a role, at any depth.
    """
    return frozenset(
        DefaultGrant(creator, schema, kind, privilege, access.role)
        for access, schema in _spread(layout)
        for kind, privileges in ON_OBJECTS[access.level].items()
        for privilege in privileges
        for creator in _creators(layout, schema, members)
        if creator != access.role
    )


def creators(layout: Layout, members: Mapping[str, set[str]]) -> dict[str, frozenset[str]]:
    """Schema to the roles that may create there; for what is in no schema, those of the database."""
    of_database = {layout.owner, *members.get(layout.owner, ())}
    in_schemas = {schema: frozenset(_creators(layout, schema, members)) for schema in layout.schemas}
    return {NO_SCHEMA: frozenset(of_database), **in_schemas}


def writers(layout: Layout, members: Mapping[str, set[str]]) -> frozenset[str]:
    """The roles that may write anything, by themselves or through another."""
    given = {access.role for access in layout.access if access.level != READ} | owners(layout)
    return frozenset(given).union(*(members.get(role, ()) for role in given))


def _creators(layout: Layout, schema: str, members: Mapping[str, set[str]]) -> set[str]:
    owner = owner_of(layout, schema)
    return {owner, *members.get(owner, ())}


def _spread(layout: Layout) -> Iterable[tuple[Access, str]]:
    """Each access with each schema that it reaches."""
    for access in layout.access:
        for schema in [access.schema] if access.schema else layout.schemas:
            yield access, schema


def _of_the_owners(layout: Layout) -> Iterable[Grant]:
    yield from (Grant("database", (), privilege, layout.owner) for privilege in OF_OWNER["database"])
    for schema in layout.schemas:
        owner = owner_of(layout, schema)
        yield Grant("database", (), "CONNECT", owner)
        yield from (Grant("schema", (schema,), privilege, owner) for privilege in OF_OWNER["schema"])


def _on_the_database(layout: Layout) -> Iterable[Grant]:
    for access in layout.access:
        yield from (Grant("database", (), privilege, access.role) for privilege in ON_DATABASE[access.level])


def _on_schemas(layout: Layout) -> Iterable[Grant]:
    for access, schema in _spread(layout):
        yield from (
            Grant("schema", (schema,), privilege, access.role) for privilege in ON_SCHEMA[access.level]
        )


def _on_objects(layout: Layout) -> Iterable[Grant]:
    for access, schema in _spread(layout):
        for kind, privileges in ON_OBJECTS[access.level].items():
            yield from (Grant(kind, (schema,), privilege, access.role) for privilege in privileges)


def _to_reach_extensions(layout: Layout) -> Iterable[Grant]:
    """Types and functions of an extension are of use only to those who may look into its schema."""
    everyone = {access.role for access in layout.access} | owners(layout)
    for schema in {extension.schema or "public" for extension in layout.extensions.values()} & set(
        layout.schemas
    ):
        yield from (Grant("schema", (schema,), "USAGE", role) for role in everyone)
