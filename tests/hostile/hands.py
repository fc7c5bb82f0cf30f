"""What people do by hand on a server: objects of all kinds, rights, owners, memberships, settings.

``random`` chooses, and each statement is printed, so that a case that fails says what led to it.
"""

from __future__ import annotations

from contextlib import closing, suppress
from random import Random
from typing import NamedTuple

from psycopg2 import errors
from psycopg2.sql import SQL, Identifier

CLASSES = (
    *("objects", "simple_objects", "admin_objects", "schemas"),
    *("memberships", "owners", "rights", "defaults"),
)
STRANGERS = ("stranger", "outsider")  # no pillar names them

# {s}: a schema; {n}, {m}: new names; {r}, {q}, {t}: roles; {o}: one that is to own something. Who may make it
# may make it in any schema in which it may create.
IN_A_SCHEMA = {
    "table": ["create table {s}.{n} (id serial primary key, g int generated always as identity, what text)"],
    "partitions": [
        "create table {s}.{n} (id int, at date) partition by range (at)",
        "create table {s}.{m} partition of {s}.{n} for values from ('2020-01-01') to ('2021-01-01')",
    ],
    "view": ["create view {s}.{n} as select 1 as one"],
    "materialized view": ["create materialized view {s}.{n} as select 1 as one"],
    "sequence": ["create sequence {s}.{n}"],
    "function": ["create function {s}.{n}(int, out a int, out b text) language sql as $$ select 1, 'x' $$"],
    "long function": [
        "create function {s}.{n}(timestamptz, timestamptz, timestamptz, timestamptz, double precision)"
        " returns int language sql as 'select 1'",
        "create function {s}.{n}(timestamptz, timestamptz, timestamptz, timestamptz, int)"
        " returns int language sql as 'select 1'",
    ],
    "procedure": [
        "create procedure {s}.{n}(int) language sql as 'select 1'",
        "create procedure {s}.{n}(out int) language sql as 'select 1'",
    ],
    "aggregate": ["create aggregate {s}.{n}(int) (sfunc = int4pl, stype = int)"],
    "domain": ["create domain {s}.{n} as int check (value > 0)"],
    "enum": ["create type {s}.{n} as enum ('a', 'b')"],
    "composite": ["create type {s}.{n} as (a int, b text)"],
    "range": ["create type {s}.{n} as range (subtype = float8)"],
    "collation": ["create collation {s}.{n} from \"C\""],
    "conversion": ["create conversion {s}.{n} for 'LATIN1' to 'UTF8' from iso8859_1_to_utf8"],
    "dictionary": ["create text search dictionary {s}.{n} (template = simple)"],
    "configuration": ["create text search configuration {s}.{n} (copy = simple)"],
    "operator": ["create operator {s}.=== (leftarg = int, rightarg = int, function = int4eq)"],
    "statistics": [
        "create table {s}.{n} (a int, b int)",
        "create statistics {s}.{m} on a, b from {s}.{n}",
    ],
    "column rights": [
        "create table {s}.{n} (a int, b int)",
        "grant select (a), update (b) on {s}.{n} to {r}",
    ],
}  # fmt: skip
BESIDE_SCHEMAS = {
    "large object": ["select lo_create(0)"],
    "publication": ["create table {s}.{n} (a int)", "create publication {m} for table {s}.{n}"],
    "extension": ["create extension if not exists hstore schema {s}"],
    "schema": ["create schema {n}", "create table {n}.t (a int)", "grant select on {n}.t to {r}"],
}
OF_THE_ADMIN = {
    "operator class": [
        "create operator class {s}.{n} for type int using btree as function 1 btint4cmp(int, int)",
        "alter operator class {s}.{n} using btree owner to {o}",
    ],
    "event trigger": [
        "create function {s}.{n}() returns event_trigger language plpgsql as 'begin end'",
        "create event trigger {m} on ddl_command_end execute function {s}.{n}()",
    ],
    "server": [
        "create extension if not exists postgres_fdw",
        "grant usage on foreign data wrapper postgres_fdw to {o}",
        "set role {o}",
        "create server {n} foreign data wrapper postgres_fdw",
        "create foreign table {s}.{m} (a int) server {n}",
        "reset role",
    ],
    "usage of a type": ["create type {s}.{n} as enum ('a')", "grant usage on type {s}.{n} to {r}"],
}
ON_SCHEMAS = {
    "schema": ["alter schema {s} owner to {o}"],
    "database": ["alter database {d} owner to {o}"],
    "another schema": ["create schema if not exists elsewhere authorization {o}"],
    "create": ["grant create, usage on schema {s} to {r} with grant option"],
    "create on the database": ["grant create on database {d} to {r}"],
}
MEMBERSHIPS = {
    "join": ["grant {r} to {q}"],
    "join with admin": ["grant {r} to {q} with admin option"],
    "join by a member": ["grant {r} to {q} with admin option", "set role {q}", "grant {r} to {t}"],
    "leave": ["revoke {r} from {q}"],
}  # fmt: skip
RIGHTS = {
    "table": ["SELECT", "INSERT", "UPDATE", "TRUNCATE", "ALL"],
    "sequence": ["USAGE", "SELECT", "UPDATE", "ALL"],
    "routine": ["EXECUTE"],
    "schema": ["USAGE", "CREATE", "ALL"],
    "type": ["USAGE"],
}
DEFAULTS = {"TABLES": "SELECT", "SEQUENCES": "USAGE", "FUNCTIONS": "EXECUTE", "TYPES": "USAGE"}


class Place(NamedTuple):
    """Where hands are at work, and who there is."""

    server: object
    admin: str
    database: str
    schemas: tuple[str, ...]
    roles: tuple[str, ...]


class Hands:
    """One session of the superuser's, that becomes whoever does a thing; what is refused does not happen."""

    def __init__(self, random: Random, classes: frozenset[str]):
        self.random, self.classes, self.made = random, classes, 0

    def work(self, place: Place, acts: int) -> None:
        with closing(place.server.connect(dbname=place.database)) as session, session.cursor() as cursor:
            session.autocommit = True
            for _ in range(acts):
                kind = self.random.choice(sorted(self.classes))
                actor, statements = getattr(self, f"_{kind}")(place, cursor)
                self._do(cursor, actor, statements)

    def _do(self, cursor, actor: str, statements) -> None:
        cursor.execute(SQL("set session authorization {}").format(Identifier(actor)))
        for statement in statements:
            text = statement if isinstance(statement, str) else statement.as_string(cursor)
            with suppress(errors.Error):
                cursor.execute(text)
                print(f"-- {cursor.connection.info.dbname} as {actor}\n{text};")
        cursor.execute("reset session authorization; reset role")

    def _filled(self, place: Place, statements, **names):
        self.made += 1
        filling = {
            "s": self.random.choice(place.schemas),
            "n": f"n{self.made}",
            "m": f"m{self.made}",
            "d": place.database,
            **{name: self.random.choice(place.roles) for name in "rqto"},
            **names,
        }
        filling = {name: Identifier(value) for name, value in filling.items()}
        return [SQL(statement).format(**filling) for statement in statements]

    def _one_of(self, table: dict):
        return table[self.random.choice(sorted(table))]

    # What there is to do. Each gives who does it, and what.

    def _objects(self, place, cursor):
        """By somebody who may, or, where it may not, was given the right by hand."""
        actor = self.random.choice([*place.roles, place.admin])
        schema = self.random.choice(place.schemas)
        if actor != place.admin and self.random.random() < 0.5:
            grant = self._filled(place, ["grant create, usage on schema {s} to {r}"], s=schema, r=actor)
            self._do(cursor, place.admin, grant)
        return actor, self._filled(place, self._one_of({**IN_A_SCHEMA, **BESIDE_SCHEMAS}), s=schema)

    def _simple_objects(self, place, cursor):
        actor = self.random.choice([*place.roles, place.admin])
        return actor, self._filled(place, self._one_of(IN_A_SCHEMA))

    def _admin_objects(self, place, cursor):
        return place.admin, self._filled(place, self._one_of(OF_THE_ADMIN))

    def _schemas(self, place, cursor):
        return place.admin, self._filled(place, self._one_of(ON_SCHEMAS))

    def _memberships(self, place, cursor):
        return place.admin, self._filled(place, self._one_of(MEMBERSHIPS))

    def _owners(self, place, cursor):
        return place.admin, self._on_things(place, cursor, "alter {kind} {name} owner to {o}")

    def _rights(self, place, cursor):
        actor = self.random.choice([*place.roles, *[place.admin] * len(place.roles)])
        verb = self.random.choice(
            ["grant {p} on {kind} {name} to {r}"] * 2
            + ["grant {p} on {kind} {name} to {r} with grant option"] * 2
            + ["revoke {p} on {kind} {name} from {r}", "grant {p} on {kind} {name} to public"]
        )
        return actor, self._on_things(place, cursor, verb)

    def _defaults(self, place, cursor):
        kind = self.random.choice(sorted(DEFAULTS))
        where = self.random.choice(["", " in schema {s}"])
        verb = self.random.choice(
            ["grant {p} on {k} to {q}", "grant {p} on {k} to public", "revoke {p} on {k} from {q}"]
        )
        verb = verb.replace("{p}", DEFAULTS[kind]).replace("{k}", kind)
        creator, other = self.random.sample(place.roles, 2)
        statement = f"alter default privileges for role {{r}}{where} {verb}"
        return place.admin, self._filled(place, [statement], r=creator, q=other)

    def _on_things(self, place: Place, cursor, statement: str):
        """One of the things that are there, by the server's own spelling."""
        cursor.execute(_THERE, [list(place.schemas)])
        # docs/design.rst, Limits: what another owns in an extension that moves is not foretold
        fixed = "owner to" in statement
        there = [(kind, name) for kind, name, came in cursor if not (came and fixed)]
        if not there:
            return []
        kind, name = self.random.choice(there)
        if "{p}" in statement:  # GRANT knows fewer kinds than ALTER
            kind = _GRANTED_AS.get(kind, kind)
        right = self.random.choice(RIGHTS.get(kind, ["ALL"]))
        parts = {"p": right, "kind": kind, "name": name.replace("{", "{{").replace("}", "}}")}
        for part, word in parts.items():
            statement = statement.replace(f"{{{part}}}", word)
        return self._filled(place, [statement])


_GRANTED_AS = dict.fromkeys(["view", "materialized view", "foreign table"], "table") | dict.fromkeys(
    ["function", "procedure", "aggregate"], "routine"
)

_THERE = """
    select i.type, i.identity, exists (
        select from pg_depend d where (d.classid, d.objid, d.deptype) = (t.c, t.oid, 'e')) from (
        select 'pg_class'::regclass as c, oid from pg_class where relnamespace = any (%(s)s)
            and relkind in ('r', 'p', 'v', 'm', 'f', 'S')
        union all select 'pg_proc'::regclass, oid from pg_proc where pronamespace = any (%(s)s)
            and prorettype <> 'event_trigger'::regtype
        union all select 'pg_type'::regclass, oid from pg_type where typnamespace = any (%(s)s)
            and typtype in ('d', 'e', 'r')
        union all select 'pg_namespace'::regclass, unnest(%(s)s)
    ) t, pg_identify_object(t.c, t.oid, 0) i order by 1, 2""".replace(
    "%(s)s", "array(select n.oid from pg_namespace n where n.nspname = any (s.names))"
).replace(" from (\n", " from (select %s::text[] as names) s, lateral (\n", 1)
