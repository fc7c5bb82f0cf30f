"""What keeps a role or a database from becoming as declared, worked out without pgpillar.

The failure has to name it, and everything else has to converge. Then a person removes it by ``remedy``.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator
from typing import NamedTuple

from psycopg2.sql import SQL, Composed, Identifier

from tests.hostile import reference
from tests.hostile.reference import NOBODY_ELSES, Pillar
from tests.hostile.snapshot import Right, Snapshot, Thing


class Obstacle(NamedTuple):
    where: str  # by what name the failure is listed
    words: tuple[str, ...]  # what it has to name
    database: str  # where the remedy is run, by the superuser
    remedy: Composed


def found(pillar: Pillar, before: dict[str, Snapshot]) -> list[Obstacle]:
    every = [one for snapshot in before.values() for one in _in_database(pillar, snapshot)]
    refused = {one.database for one in every}
    for name, snapshot in before.items():
        managed = pillar.schemas(name) if name in pillar.databases and name not in refused else set()
        every += _acting_things(pillar, snapshot, managed)
        if snapshot.admin:
            every += [*_unplaced(pillar, snapshot, managed), *_kept_rights(pillar, snapshot)]
    return every + [*_memberships(pillar, before["postgres"])]


def _in_database(pillar: Pillar, before: Snapshot) -> Iterator[Obstacle]:
    if before.database in pillar.databases:
        yield from _nobody_elses(pillar, before)
        if before.admin:
            yield from _misplaced_extensions(pillar, before)
            yield from _watched_extensions(pillar, before)
            yield from _anothers(pillar, before)
            yield from _closed_schemas(pillar, before)
            yield from _granted_by_others(pillar, before)


def _nobody_elses(pillar: Pillar, before: Snapshot) -> Iterator[Obstacle]:
    """PostgreSQL gives it to no other role."""
    for one in before.things.values():
        if one.kind in NOBODY_ELSES and reference.trespasses(pillar, before, one):
            remedy = SQL("drop extension {} cascade").format(Identifier(one.name))
            yield _of_database(before, remedy, one.kind, one.name, one.owner)


def _misplaced_extensions(pillar: Pillar, before: Snapshot) -> Iterator[Obstacle]:
    """Its objects belong to the superuser, who alone can move it."""
    for name, schema in pillar.extensions(before.database).items():
        if schema and before.extensions.get(name, schema) != schema:
            remedy = SQL(
                "create schema if not exists {schema} authorization {admin};"
                " alter extension {extension} set schema {schema}"
            ).format(**_identifiers(extension=name, schema=schema, admin=before.admin))
            yield _of_database(before, remedy, name, before.extensions[name], schema)


def _identifiers(**names: str) -> dict[str, Identifier]:
    return {key: Identifier(name) for key, name in names.items()}


def _watched_extensions(pillar: Pillar, before: Snapshot) -> Iterator[Obstacle]:
    """Its script runs as a superuser, and would find by name what others made there."""
    trusted = {before.admin, before.superuser}
    for name, wanted in pillar.extensions(before.database).items():
        schema = wanted or "public"
        made = {
            one.owner for one in before.things.values() if (one.kind, one.schema) in _found_by_name(schema)
        }
        if name not in before.extensions and made - trusted:
            remedy = SQL("create extension {} schema {}").format(Identifier(name), Identifier(schema))
            yield _of_database(before, remedy, name, "would find")


def _found_by_name(schema: str) -> list[tuple[str, str]]:
    return [("routine", schema), ("operator", schema)]


def _anothers(pillar: Pillar, before: Snapshot) -> Iterator[Obstacle]:
    """Only a role that the admin acts for gives away what it owns."""
    declared = pillar.named_schemas(before.database)
    for one in before.things.values():
        here = one.name == before.database if one.kind == "database" else one.name in declared
        if one.kind in ("database", "schema") and here and reference.is_beyond(pillar, before, one.owner):
            # Who makes a role is in it without either, and GRANT changes neither by itself
            options = " with inherit true, set true" if before.version >= 160000 else ""
            remedy = SQL("grant {} to {}" + options).format(Identifier(one.owner), Identifier(before.admin))
            yield _of_database(before, remedy, one.kind, one.owner)


def _closed_schemas(pillar: Pillar, before: Snapshot) -> Iterator[Obstacle]:
    """Who is to own something in a schema has to be allowed to create there, by the owner of the schema."""
    for one in before.things.values():
        host = before.schema_owner(one.schema) if one.schema else None
        if one.kind in ("schema", "column") or not host or not reference.is_beyond(pillar, before, host):
            continue
        heir = reference.owner(pillar, before, one)
        here = one.schema in pillar.schemas(before.database)
        if (
            here
            and heir != one.owner
            and not _creators(before, one.schema) & reference.closure(heir, pillar.above)
        ):
            remedy = SQL("alter schema {} owner to {}").format(*map(Identifier, (one.schema, before.admin)))
            yield _of_database(before, remedy, one.schema, host, heir)


def _creators(before: Snapshot, schema: str) -> set[str]:
    rights = next(one.rights for one in before.things.values() if (one.kind, one.name) == ("schema", schema))
    return {right.grantee for right in rights if right.privilege == "CREATE"}


def _granted_by_others(pillar: Pillar, before: Snapshot) -> Iterator[Obstacle]:
    """Only the grantor can revoke a grant, and a superuser."""
    for one in before.things.values():
        here = one.kind != "database" or one.name == before.database
        if (
            not here
            or not pillar.governs(before.database, one)
            or reference.is_beyond(pillar, before, one.owner)
        ):
            continue
        for right in one.rights or ():
            harmless = one.kind == "routine" and right.grantee == "public"
            ours = right.grantee in {"public", *pillar.roles} and not harmless
            if ours and right.grantor != one.owner and reference.is_beyond(pillar, before, right.grantor):
                remedy = SQL("set role {}; revoke {} on {} {} from {}; reset role")
                yield _of_database(
                    before, remedy.format(*_revocation(one, right)), right.grantor, right.grantee
                )


def _revocation(one: Thing, right: Right) -> list[Composed]:
    name = Identifier(one.name) if one.kind in ("database", "schema") else Identifier(one.schema, one.name)
    words = SQL(right.privilege), SQL(one.kind), SQL(one.name) if one.kind == "routine" else name
    grantee = SQL("public") if right.grantee == "public" else Identifier(right.grantee)
    return [Identifier(right.grantor), *words, grantee]


def _acting_things(pillar: Pillar, before: Snapshot, managed: set[str]) -> Iterator[Obstacle]:
    """Views and foreign tables read with the rights of their owner: no heir gets one outside of the plan."""
    for one in before.things.values():
        heir = pillar.heirs.get(one.owner)
        if heir and one.kind == "table" and one.oid in before.acting and one.schema not in managed:
            remedy = SQL("alter table {} owner to {}").format(
                Identifier(one.schema, one.name), Identifier(heir)
            )
            yield Obstacle(f"role {one.owner!r}", (before.database, one.name, heir), before.database, remedy)


PLACED = {
    *("routine", "operator", "operator class", "operator family", "collation", "conversion"),
    *("statistics", "configuration", "dictionary"),
}


def _unplaced(pillar: Pillar, before: Snapshot, managed: set[str]) -> Iterator[Obstacle]:
    """Who gets the things of a role that leaves has to be allowed to create in their schemas."""
    for one in before.things.values():
        heir, host = pillar.heirs.get(one.owner), before.schema_owner(one.schema) if one.schema else None
        if one.kind not in PLACED or not heir or one.schema in managed or host is None:
            continue
        host = pillar.heirs.get(host, host)
        if not {host, *_creators(before, one.schema)} & reference.closure(heir, pillar.above):
            remedy = SQL("grant create on schema {} to {}").format(*map(Identifier, (one.schema, heir)))
            yield Obstacle(f"role {one.owner!r}", (before.database, heir), before.database, remedy)


def _kept_rights(pillar: Pillar, before: Snapshot) -> Iterator[Obstacle]:
    """What a role that leaves may do with a thing of somebody that the admin cannot act for."""
    for one in before.things.values():
        here = one.kind != "database" or one.name == before.database
        if here and reference.is_beyond(pillar, before, one.owner):
            for role in {right.grantee for right in one.rights or ()} & pillar.heirs.keys():
                remedy = SQL("reassign owned by {role} to {heir}; drop owned by {role}")
                parts = _identifiers(role=role, heir=pillar.heirs[role])
                yield Obstacle(f"role {role!r}", (before.database,), before.database, remedy.format(**parts))


def _of_database(before: Snapshot, remedy: Composed, *words: str) -> Obstacle:
    return Obstacle(f"database {before.database!r}", words, before.database, remedy)


def _memberships(pillar: Pillar, before: Snapshot) -> Iterator[Obstacle]:
    """From PostgreSQL 16 on, only who has the rights of the grantor can revoke a membership."""
    for (role, member), givers in stuck_memberships(pillar, before).items():
        for giver in givers:
            remedy = SQL("revoke {} from {} granted by {} cascade").format(
                *map(Identifier, (role, member, giver))
            )
            yield Obstacle(f"role {member!r}", (role, giver), before.database, remedy)


def stuck_memberships(pillar: Pillar, before: Snapshot) -> dict[tuple[str, str], set[str]]:
    """By role and member, who granted what the admin cannot revoke."""
    if not before.admin or before.version < 160000:
        return {}
    givers, leaving = defaultdict(set), set()
    for join in before.memberships:
        givers[join.role, join.member].add(join.grantor)
        declared = join.role in pillar.above[join.member]
        if join.member in pillar.roles and (join.admin or not declared):
            leaving.add((join.role, join.member))
    mighty, stuck = reference.acting(pillar, before) | {*pillar.heirs}, {}
    while True:
        beyond = {
            (role, member): {
                giver
                for giver in givers[role, member]
                if giver not in mighty and (role, giver) not in leaving
            }
            for role, member in leaving
        }
        more = {pair: some for pair, some in beyond.items() if some}
        if not more:
            return stuck
        stuck |= more
        leaving -= set(more)
