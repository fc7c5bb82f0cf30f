"""What a server holds, read without pgpillar: things, owners, rights, roles, and what is effective."""

from __future__ import annotations

from contextlib import closing, contextmanager
from typing import NamedTuple

PUBLIC = "public"


class Right(NamedTuple):
    grantee: str
    privilege: str
    grantable: bool
    grantor: str


class Thing(NamedTuple):
    """An object or a column.

    ``foreign``: it came with an extension, PostgreSQL made it beside another, or an event trigger runs it.
    """

    kind: str
    oid: int
    column: int
    schema: str | None
    name: str
    owner: str
    foreign: bool
    follows: int | None  # the table whose owner it shares
    rights: frozenset[Right] | None  # None: the kind has none

    @property
    def key(self):
        return self.kind, self.oid, self.column

    @property
    def told(self):
        return f"{self.kind} {self.schema}.{self.name}"


class Membership(NamedTuple):
    role: str
    member: str
    admin: bool
    inherit: bool
    set: bool
    grantor: str


class Snapshot(NamedTuple):
    """One database, and what all of them share."""

    things: dict[tuple, Thing]
    memberships: frozenset[Membership]
    roles: dict[str, dict]
    defaults: frozenset[tuple]  # (creator, schema, kind, grantee, privilege, grantable)
    settings: frozenset[tuple]
    extensions: dict[str, str]  # the schema of each
    acting: frozenset[int]  # by oid: views, materialized ones too, and foreign tables
    database: str
    version: int
    superuser: str
    admin: str = ""  # who administers the server, where that is not the superuser

    def schema_owner(self, name: str) -> str | None:
        found = (one.owner for one in self.things.values() if one.kind == "schema" and one.name == name)
        return next(found, None)

    @property
    def owner(self) -> str:
        return next(
            one.owner for one in self.things.values() if one.kind == "database" and one.name == self.database
        )


class _Kind(NamedTuple):
    catalog: str
    name: str
    owner: str
    acl: str  # with the letter of acldefault in front, or empty
    schema: str = ""  # the column with the schema
    where: str = "true"


_RELATION = "pg_class", "o.relname", "o.relowner"
_KINDS = {
    "database": _Kind("pg_database", "o.datname", "o.datdba", "d datacl"),
    "schema": _Kind("pg_namespace", "o.nspname", "o.nspowner", "n nspacl", "oid"),
    "table": _Kind(*_RELATION, "r relacl", "relnamespace", "relkind in ('r', 'p', 'v', 'm', 'f')"),
    "sequence": _Kind(*_RELATION, "s relacl", "relnamespace", "relkind = 'S'"),
    "routine": _Kind("pg_proc", "o.oid::regprocedure::text", "o.proowner", "f proacl", "pronamespace"),
    "type": _Kind(
        *("pg_type", "o.typname", "o.typowner", "T typacl", "typnamespace"),
        """not exists (select from pg_type e where e.typarray = o.oid)
           and not exists (select from pg_class c where c.oid = o.typrelid and c.relkind <> 'c')
           and typtype <> 'm'""",
    ),
    # Its rights are those of its range
    "multirange": _Kind("pg_type", "o.typname", "o.typowner", "", "typnamespace", "typtype = 'm'"),
    "collation": _Kind("pg_collation", "o.collname", "o.collowner", "", "collnamespace"),
    "conversion": _Kind("pg_conversion", "o.conname", "o.conowner", "", "connamespace"),
    "operator": _Kind("pg_operator", "o.oid::regoperator::text", "o.oprowner", "", "oprnamespace"),
    "operator class": _Kind("pg_opclass", "o.opcname", "o.opcowner", "", "opcnamespace"),
    "operator family": _Kind("pg_opfamily", "o.opfname", "o.opfowner", "", "opfnamespace"),
    "statistics": _Kind("pg_statistic_ext", "o.stxname", "o.stxowner", "", "stxnamespace"),
    "dictionary": _Kind("pg_ts_dict", "o.dictname", "o.dictowner", "", "dictnamespace"),
    "configuration": _Kind("pg_ts_config", "o.cfgname", "o.cfgowner", "", "cfgnamespace"),
    "language": _Kind("pg_language", "o.lanname", "o.lanowner", "l lanacl"),
    "wrapper": _Kind("pg_foreign_data_wrapper", "o.fdwname", "o.fdwowner", "F fdwacl"),
    "foreign server": _Kind("pg_foreign_server", "o.srvname", "o.srvowner", "S srvacl"),
    "large object": _Kind("pg_largeobject_metadata", "o.oid::text", "o.lomowner", "L lomacl"),
    "extension": _Kind("pg_extension", "o.extname", "o.extowner", ""),
    "publication": _Kind("pg_publication", "o.pubname", "o.pubowner", ""),
    "event trigger": _Kind("pg_event_trigger", "o.evtname", "o.evtowner", ""),
}

_RIGHTS = """(
    select coalesce(json_agg(json_build_array(
        case a.grantee when 0 then 'public' else pg_get_userbyid(a.grantee) end, a.privilege_type,
        a.is_grantable, pg_get_userbyid(a.grantor))), '[]')
    from aclexplode({acl}) a)"""

# What belongs to an extension but not to who runs scripts of extensions was added to it by its owner
_FOREIGN = """exists (
    select from pg_depend d where d.classid = '{catalog}'::regclass and d.objid = o.oid
    and (d.deptype = 'e' and exists (
            select from pg_roles r where r.oid = {owner} and (r.rolsuper or r.rolname = 'doadmin'))
        or (d.deptype = 'i' and '{kind}' = 'routine')))
    or '{kind}' = 'routine' and exists (select from pg_event_trigger where evtfoid = o.oid)"""

_FOLLOWS = """(
    select min(d.refobjid) from pg_depend d where d.classid = 'pg_class'::regclass and d.objid = o.oid
    and d.deptype in ('a', 'i') and d.refclassid = 'pg_class'::regclass)::bigint"""

_COLUMNS = (
    f"""
    select 'column', c.oid::bigint, o.attnum::int, n.nspname::text, c.relname || '.' || o.attname,
           pg_get_userbyid(c.relowner)::text, {_FOREIGN.replace("o.oid", "c.oid")},
           null::bigint, {_RIGHTS.format(acl="o.attacl")}
    from pg_attribute o join pg_class c on c.oid = o.attrelid join pg_namespace n on n.oid = c.relnamespace
    where c.relkind in ('r', 'p', 'v', 'm', 'f') and o.attnum > 0 and not o.attisdropped
    and n.nspname {{here}}
""".replace("{catalog}", "pg_class")
    .replace("{kind}", "column")
    .replace("{owner}", "c.relowner")
)

_HERE = "!~ '^pg_' and n.nspname <> 'information_schema'"


def _things(kind: str, of: _Kind) -> str:
    letter, _, acl = of.acl.partition(" ")
    rights = f"coalesce(o.{acl}, acldefault('{letter}', {of.owner}))"
    join = f"join pg_namespace n on n.oid = o.{of.schema}" if of.schema else ""
    return f"""
        select '{kind}', o.oid::bigint, 0, {"n.nspname::text" if of.schema else "null::text"},
               ({of.name})::text, pg_get_userbyid({of.owner})::text,
               {_FOREIGN.format(catalog=of.catalog, kind=kind, owner=of.owner)},
               {_FOLLOWS if kind == "sequence" else "null::bigint"},
               {_RIGHTS.format(acl=rights) if acl else "null::json"}
        from {of.catalog} o {join} where {of.where} {"and n.nspname " + _HERE if of.schema else ""}"""


THINGS = " union all ".join(
    [*(_things(kind, of) for kind, of in _KINDS.items()), _COLUMNS.replace("{here}", _HERE)]
)

MEMBERSHIPS = """
    select pg_get_userbyid(roleid), m.rolname, admin_option, {inherit}, {set}, pg_get_userbyid(grantor)
    from pg_auth_members join pg_roles m on m.oid = member"""

ROLES = """
    select rolname, to_json(r) from (
        select rolname, rolsuper, rolinherit, rolcreaterole, rolcreatedb, rolcanlogin, rolreplication,
               rolbypassrls, rolconnlimit, rolvaliduntil from pg_roles) r"""

EXTENSIONS = (
    "select extname::text, n.nspname::text from pg_extension join pg_namespace n on n.oid = extnamespace"
)

ACTING = "select oid::bigint from pg_class where relkind in ('v', 'm', 'f')"

DEFAULTS = """
    select pg_get_userbyid(d.defaclrole), n.nspname, d.defaclobjtype::text,
           case a.grantee when 0 then 'public' else pg_get_userbyid(a.grantee) end, a.privilege_type,
           a.is_grantable
    from pg_default_acl d left join pg_namespace n on n.oid = d.defaclnamespace, aclexplode(d.defaclacl) a"""

SETTINGS = """
    select d.datname, coalesce(r.rolname, ''), unnest(s.setconfig) from pg_db_role_setting s
    left join pg_database d on d.oid = s.setdatabase left join pg_roles r on r.oid = s.setrole"""


def take(cursor) -> Snapshot:
    """What the connection's database holds now."""
    recent = cursor.connection.server_version >= 160000
    options = {
        "inherit": "inherit_option" if recent else "m.rolinherit",
        "set": "set_option" if recent else "true",
    }
    things = (Thing(*row[:8], None if row[8] is None else _rights(row[8])) for row in _ask(cursor, THINGS))
    return Snapshot(
        things={one.key: one for one in things},
        memberships=frozenset(Membership(*row) for row in _ask(cursor, MEMBERSHIPS.format(**options))),
        roles=dict(_ask(cursor, ROLES)),
        defaults=frozenset(_ask(cursor, DEFAULTS)),
        settings=frozenset(_ask(cursor, SETTINGS)),
        extensions=dict(_ask(cursor, EXTENSIONS)),
        acting=frozenset(oid for (oid,) in _ask(cursor, ACTING)),
        database=cursor.connection.info.dbname,
        version=cursor.connection.server_version,
        superuser=cursor.connection.info.user,
    )


def _rights(rows) -> frozenset[Right]:
    return frozenset(Right(*row) for row in rows)


def of_database(server, name: str) -> Snapshot:
    with session(server, name) as cursor:
        return take(cursor)


@contextmanager
def session(server, name: str):
    """A cursor of the superuser's, for questions alone: what is done by it is not kept."""
    # To compile these queries would take longer than they do
    with closing(server.connect(dbname=name, options="-c jit=off")) as connection:
        yield connection.cursor()


def _ask(cursor, query):
    cursor.execute(query)
    return cursor.fetchall()


# What is effective, by PostgreSQL's own word

PRIVILEGES = {
    "database": ("CONNECT", "CREATE", "TEMPORARY"),
    "schema": ("USAGE", "CREATE"),
    "table": ("SELECT", "INSERT", "UPDATE", "DELETE", "TRUNCATE", "REFERENCES", "TRIGGER", "MAINTAIN"),
    "column": ("SELECT", "INSERT", "UPDATE", "REFERENCES"),
    "sequence": ("USAGE", "SELECT", "UPDATE"),
    "routine": ("EXECUTE",),
    "type": ("USAGE",),
    "language": ("USAGE",),
    "wrapper": ("USAGE",),
    "foreign server": ("USAGE",),
    "large object": ("SELECT", "UPDATE"),
}
_ASKED_BY = {
    "routine": "has_function_privilege",
    "wrapper": "has_foreign_data_wrapper_privilege",
    "foreign server": "has_server_privilege",
    "large object": "has_largeobject_privilege",
}


def privileges(kind: str, version: int) -> tuple[str, ...]:
    """The privileges of a kind that this version can be asked for."""
    if kind == "large object" and version < 180000:
        return ()
    return tuple(p for p in PRIVILEGES.get(kind, ()) if p != "MAINTAIN" or version >= 170000)


def effective(cursor, snapshot: Snapshot, roles) -> set[tuple]:
    """(kind, oid, column, role, privilege, with grant option), of all that ``has_*_privilege()`` affirms."""
    found = set()
    for kind in PRIVILEGES:
        words = privileges(kind, cursor.connection.server_version)
        keys = [key for key in snapshot.things if key[0] == kind]
        if words and keys:
            function = _ASKED_BY.get(kind, f"has_{kind}_privilege")
            column = ", t.sub::smallint" if kind == "column" else ""
            cursor.execute(
                f"""select %(kind)s, t.oid, t.sub, r, p, g <> ''
                    from unnest(%(roles)s) r, unnest(%(words)s) p,
                    unnest(array['', ' WITH GRANT OPTION']) g, unnest(%(oids)s, %(subs)s) t (oid, sub)
                    where {function}(r::name, t.oid::oid{column}, p || g)""",
                {
                    "kind": kind,
                    "roles": sorted(roles),
                    "words": list(words),
                    "oids": [oid for _, oid, _ in keys],
                    "subs": [sub for _, _, sub in keys],
                },
            )
            found |= set(cursor.fetchall())
    return found


REACH = """
    select r, x.rolname, p from unnest(%(roles)s) r, pg_roles x, unnest(array['USAGE', 'MEMBER']) p
    where r <> x.rolname and pg_has_role(r::name, x.oid, p)"""


def reach(cursor, roles) -> set[tuple]:
    """(role, other, USAGE or MEMBER), of all that ``pg_has_role()`` affirms."""
    cursor.execute(REACH, {"roles": sorted(roles)})
    return set(cursor.fetchall())
