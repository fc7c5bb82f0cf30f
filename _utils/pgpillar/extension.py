"""Where the script of an extension may run: it has the admin's rights, and finds what it calls by name."""

from __future__ import annotations

from dataclasses import replace
from typing import NamedTuple

from psycopg2.sql import SQL, Composable, Identifier

from pgpillar import sql
from pgpillar.connect import ClusterError
from pgpillar.plan import Change

CHANGES = ("create extension", "update extension")
PRIVATE = "pgpillar_extension"  # a schema that exists inside of one transaction, so that nobody else sees it
# Until the end of the transaction nobody else creates a function or an operator
_LOCK = "LOCK TABLE pg_catalog.pg_proc, pg_catalog.pg_operator IN SHARE ROW EXCLUSIVE MODE"


class _Place(NamedTuple):
    """What the server knows of the extension, where it is or goes, and what that schema holds of others."""

    schema: str
    relocatable: bool
    of_superusers: bool  # its script runs as a superuser, who owns what it makes, whoever asks for it
    missing: list[str]  # the extensions that it needs and that are not there
    planted: list[str]  # functions and operators that its script would find


def statements(cursor, change: Change, version: int, superuser: bool) -> list[Composable]:
    """What creates or updates an extension, out of the reach of functions that others have put there."""
    if superuser:
        cursor.execute(_LOCK)
    extension = change.object if change.kind == "create extension" else None
    name = extension.name if extension else change.object
    place = _place(cursor, name, extension and extension.schema, extension and extension.version)
    if not place.planted:
        return sql.statements(change, version)
    if not place.relocatable or place.missing or (place.of_superusers and not superuser):
        raise ClusterError(_refusal(name, place))
    inside = sql.statements(_in_private(change), version)
    there = [] if extension else [_move(name, PRIVATE)]
    private = Identifier(PRIVATE)
    end = [_move(name, place.schema), SQL("DROP SCHEMA {}").format(private)]
    return [SQL("CREATE SCHEMA {}").format(private), *there, *inside, *end]


def _in_private(change: Change) -> Change:
    is_new = change.kind == "create extension"
    return replace(change, object=replace(change.object, schema=PRIVATE)) if is_new else change


def _move(name: str, schema: str) -> Composable:
    return SQL("ALTER EXTENSION {} SET SCHEMA {}").format(Identifier(name), Identifier(schema))


def _place(cursor, name: str, schema: str | None, version: str | None) -> _Place:
    cursor.execute(_AVAILABLE, {"name": name, "version": version})
    found = cursor.fetchone()
    if found is None:
        asked = f"extension {name!r}" if version is None else f"version {version} of extension {name!r}"
        raise ClusterError(f"the server has no {asked} any more; install its package there, or take it out")
    schema_now, fixed, relocatable, of_superusers, needs = found
    schema = schema_now or fixed or schema or "public"
    cursor.execute(_NEEDED, [needs or []])
    needed = dict(cursor.fetchall())
    cursor.execute(_PLANTED, {"schemas": [schema, *needed.values()]})
    missing = [one for one in needs or [] if one not in needed]
    return _Place(schema, relocatable, of_superusers, missing, [row[0] for row in cursor.fetchall()])


_AVAILABLE = """
    select (select nspname from pg_catalog.pg_extension join pg_catalog.pg_namespace n on n.oid = extnamespace
            where extname = v.name), v.schema, v.relocatable, v.superuser, v.requires
    from pg_catalog.pg_available_extension_versions v
    join pg_catalog.pg_available_extensions e on e.name = v.name
    where v.name = %(name)s and v.version = coalesce(%(version)s, e.default_version)"""
_NEEDED = """
    select extname, nspname from pg_catalog.pg_extension
    join pg_catalog.pg_namespace n on n.oid = extnamespace where extname = any (%s::text[])"""
_PLANTED = """
    select format('%%s of %%s', found.name, r.rolname)
    from (
        select pronamespace as schema, proowner as owner, oid::regprocedure::text as name
        from pg_catalog.pg_proc
        union all
        select oprnamespace, oprowner, oid::regoperator::text
        from pg_catalog.pg_operator
    ) found
    join pg_catalog.pg_namespace n on n.oid = found.schema join pg_catalog.pg_roles r on r.oid = found.owner
    where n.nspname = any (%(schemas)s::text[]) and not r.rolsuper and r.rolname <> current_user
    order by 1 limit 3"""


def _refusal(name: str, place: _Place) -> str:
    found = ", ".join(place.planted)
    whose = "a superuser's" if place.of_superusers else "the admin's"
    said = f"the script of extension {name!r} has {whose} rights and would find {found}"
    if place.missing and place.relocatable:
        first = ", ".join(map(repr, place.missing))
        return f"{said}; name {first}, which it needs, in pillar as well, before it"
    return f"{said}; name a schema of its own for the extension in pillar, or create and update it by hand"
