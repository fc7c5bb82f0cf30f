"""Connection to model, by one set-based query for the cluster and one for each database."""

from __future__ import annotations

import json
import re
from collections import defaultdict
from collections.abc import Iterable, Mapping
from dataclasses import replace
from datetime import UTC, datetime
from typing import NamedTuple

from pgpillar import guc, undeclared
from pgpillar.kinds import ALWAYS, KINDS, LARGE_OBJECTS, Kind
from pgpillar.model import (
    BOOTSTRAP_LOGIN,
    MARK,
    PRESENT,
    QUARANTINED,
    UNFINISHED_LIMIT,
    Cluster,
    Database,
    DefaultGrant,
    EventTrigger,
    Extension,
    Grant,
    Membership,
    Object,
    Role,
    Schema,
    Server,
)

# Shared catalogs hold names and settings in the encoding of whichever database they were written from
_UNREADABLE = re.compile("[\udc80-\udcff]")  # what "surrogateescape" makes of a byte that is no UTF-8


class Scope(NamedTuple):
    """What is read. None stands for everything."""

    roles: tuple[str, ...] | None = None
    databases: tuple[str, ...] | None = None
    schemas: Mapping[str, tuple[str, ...]] | None = None
    passwords: bool = True
    extensions: bool = True
    settings: tuple[str, ...] = ()  # which the server may not know
    closed: tuple[str, ...] = ()  # the databases that nobody is to be in


def scope_of(wanted: Cluster) -> Scope:
    """What is to be read to compare a server with what is wanted of it."""
    return Scope(
        roles=tuple(wanted.roles),
        databases=tuple(wanted.databases),
        schemas={name: tuple(database.schemas) for name, database in wanted.databases.items()},
        extensions=any(database.extensions for database in wanted.databases.values()),
        settings=tuple(_plain_settings(wanted)),
        closed=tuple(name for name, one in wanted.databases.items() if one.state != PRESENT),
    )


def _plain_settings(wanted: Cluster) -> set[str]:
    """The settings that a server knows or not; anybody may make one with a dot in its name."""
    things = (*wanted.roles.values(), *wanted.databases.values())
    return {name for one in things for name, _ in one.settings if "." not in name}


# The owner's own grants are the plain case; another grantor is named
_GRANTOR = "case when a.grantor = {owner} then '' else pg_get_userbyid(a.grantor) end"

# The roles that the admin can act as, but not through pillar's roles: the run changes their memberships
_REACHED = """with recursive reached as (
            select oid from pg_catalog.pg_roles where rolname = current_user
            union
            select a.roleid from pg_catalog.pg_auth_members a
            join reached on reached.oid = a.member join pg_catalog.pg_roles m on m.oid = a.member
            where {acts} and coalesce(m.rolname <> all (%(roles)s::text[]), true)
        )"""

_ROLES = {
    "server": """
        select current_setting('server_version_num')::int as version, current_user as admin,
               current_setting('is_superuser')::bool as superuser,
               has_table_privilege('pg_authid', 'select') as sees_passwords,
               pg_get_userbyid(10) as founder,
               exists (
                   select from pg_roles where rolname = '{login_of_scripts}') as has_login_of_scripts,
               array(select rolname from pg_roles where rolsuper) as superusers,
               coalesce(
                   (select pg_get_userbyid(datdba) from pg_database where datname = 'template1'), ''
               ) as builder""",
    "roles": """
        select rolname as name, rolcanlogin as login, rolinherit as inherit, rolsuper as superuser,
               rolcreatedb as createdb, rolcreaterole as createrole, rolreplication as replication,
               rolbypassrls as bypassrls, rolconnlimit as connection_limit,
               case when rolvaliduntil = '-infinity' then -1e18
                    when isfinite(rolvaliduntil) then extract(epoch from rolvaliduntil) end as valid_until
        from pg_roles
        where case when %(roles)s::text[] is null then rolname !~ '^pg_'
                   else rolname = any (%(roles)s) end""",
    # Those of the login of scripts end with it, before anything else is changed
    "memberships": """
        select r.rolname as role, m.rolname as member, bool_or(a.admin_option) as admin, {options},
               array_agg(distinct pg_get_userbyid(a.grantor)) as grantors
        from pg_auth_members a join pg_roles r on r.oid = a.roleid join pg_roles m on m.oid = a.member
        where m.rolname <> '{login_of_scripts}' and {stays}
        group by 1, 2
        having %(roles)s::text[] is null or m.rolname = any (%(roles)s) or m.rolname = current_user
            or bool_or(pg_get_userbyid(a.grantor) = any (%(roles)s))""",
    "acts_for": """
        {reached}
        select r.rolname as role from pg_catalog.pg_roles r join reached using (oid)""",
    "role_settings": """
        select '' as database, r.rolname as role, {stored} as settings
        from pg_db_role_setting s join pg_roles r on r.oid = s.setrole
        where s.setdatabase = 0 and (%(roles)s::text[] is null or r.rolname = any (%(roles)s))""",
    # An inactive slot goes with its database
    "in_use_by": """
        select d.datname as database, 'subscription' as kind, s.subname::text as name
        from pg_catalog.pg_subscription s join pg_catalog.pg_database d on d.oid = s.subdbid
        union all
        select database, 'replication slot', slot_name from pg_catalog.pg_replication_slots
        where active and database is not null
        union all
        select database, 'prepared transaction', gid from pg_catalog.pg_prepared_xacts""",
    # What has no user, such as autovacuum, ends by itself
    "occupied": """
        select distinct d.datname as database
        from pg_catalog.pg_stat_activity a join pg_catalog.pg_database d on d.oid = a.datid
        where not d.datallowconn and d.datname = any (%(closed)s) and a.usesysid is not null""",
    "extensions": """
        select v.name, e.default_version, array_agg(v.version order by v.version) as versions,
               bool_or(v.superuser) as of_superusers
        from pg_available_extension_versions v join pg_available_extensions e on e.name = v.name
        group by 1, 2""",
    "unknown_settings": """
        select name, (select array_agg(s.name) from pg_settings s) as known
        from unnest(%(settings)s::text[]) name where {is_unknown}""",
}

# What a role that leaves has. It may be hundreds of thousands of things: they are looked at by their kinds,
# and one by one only where the admin may be unable to revoke a right.
_LEAVER = {
    "dependents": """
        select coalesce(d.datname, current_database()) as database,
               bool_or(s.deptype = 'o' and s.classid not in (
                   'pg_catalog.pg_default_acl'::regclass, 'pg_catalog.pg_user_mapping'::regclass)) as owns
        from ({its}) s left join pg_catalog.pg_database d on d.oid = s.place group by 1""",
    # What DROP OWNED cannot reach. pg_shdepend has no row for the owner of a thing that belongs to a role of
    # initdb's, such as the schema public, which from PostgreSQL 15 on belongs to pg_database_owner.
    "kept_by": """
        {reached}
        select distinct k.kind, coalesce(d.datname, current_database()) as place, '' as whose
        from ({its}) s left join pg_catalog.pg_database d on d.oid = s.place
        cross join lateral (values
            ('closed', s.dbid <> 0 and not (d.datallowconn and has_database_privilege(d.oid, 'connect'))),
            ('of superusers', s.deptype = 'o' and s.classid in ({superusers_own}))
        ) k (kind, holds)
        where k.holds
        union
        (select 'not ours', coalesce(d.datname, current_database()), coalesce(owner.name, pg_get_userbyid(10))
        from pg_catalog.pg_shdepend s
        left join pg_catalog.pg_database d on d.oid = {place}
        left join lateral (
            select pg_get_userbyid(o.refobjid) as name,
                   o.refobjid in (select oid from reached)
                       or pg_get_userbyid(o.refobjid) = any (%(roles)s) as is_ours
            from pg_catalog.pg_shdepend o
            where (o.dbid, o.classid, o.objid, o.deptype) = (s.dbid, s.classid, s.objid, 'o')
        ) owner on true
        where {of_the_role} and s.deptype = 'a' and not current_setting('is_superuser')::bool
              and s.classid not in (
                  'pg_catalog.pg_default_acl'::regclass, 'pg_catalog.pg_auth_members'::regclass)
              and coalesce(not owner.is_ours, not ({is_public}))
        limit 1000)
        union all
        select 'superuser', '', '' from pg_catalog.pg_roles
        where rolname = %(role)s and rolsuper and not current_setting('is_superuser')::bool""",
}
_PLACE = "case s.classid when 'pg_catalog.pg_database'::regclass then s.objid else s.dbid end"
_OF_THE_ROLE = """s.refclassid = 'pg_catalog.pg_authid'::regclass
              and s.refobjid = (select oid from pg_catalog.pg_roles where rolname = %(role)s)"""
_ITS = f"""
            select s.dbid, s.classid, s.deptype, {_PLACE} as place
            from pg_catalog.pg_shdepend s where {_OF_THE_ROLE} group by 1, 2, 3, 4"""

_DATABASES = {
    "settings": """
        select d.datname as database, coalesce(r.rolname, '') as role, {stored} as settings
        from pg_db_role_setting s join pg_database d on d.oid = s.setdatabase
        left join pg_roles r on r.oid = s.setrole
        where (%(databases)s::text[] is null or d.datname = any (%(databases)s))
              and (%(roles)s::text[] is null or s.setrole = 0 or r.rolname = any (%(roles)s))""",
    "databases": """
        select datname as name, pg_get_userbyid(datdba) as owner, {marked} as marked,
               datconnlimit = {unfinished} and (
                   pg_get_userbyid(datdba) = current_user or {marked}) as unfinished,
               datallowconn as open, datconnlimit as connection_limit,
               pg_encoding_to_char(encoding) as encoding, datcollate as locale
        from pg_database d
        where case when %(databases)s::text[] is null then datname !~ '^template[01]$'
              else datname = any (%(databases)s) end""",
    "grants": """
        select d.datname as database, a.privilege_type as privilege, {grantee} as grantee,
               a.is_grantable as grantable, {grantor} as grantor
        from pg_database d, aclexplode(coalesce(d.datacl, acldefault('d', d.datdba))) a
        where %(databases)s::text[] is null or d.datname = any (%(databases)s)""",
}

# A role can give itself a verifier of many megabytes
_PASSWORDS = "select rolname, left(rolpassword, 1000) from pg_authid where rolname = any (%(roles)s)"

_IN_SCOPE = """
    n.nspname !~ '^pg_' and n.nspname <> 'information_schema'
    and (%(schemas)s::text[] is null or n.nspname = any (%(schemas)s))"""

# A backend that has just started pays for each table and function that a query names: here each stands once
_INSIDE = {
    "extensions": """
        select e.extname as name, e.extversion as version, n.nspname as schema
        from pg_catalog.pg_extension e join pg_catalog.pg_namespace n on n.oid = e.extnamespace""",
    # A row for each grant, and one for a thing without any. What came with an extension is its own business
    # (what others added to it is not),
    # and so are the constructors that came with a range type: they belong to the superuser of initdb.
    # Oids below 16384 are of initdb: by them the indexes skip what every database holds.
    # An owner holds what acldefault gives it, at the end of the list, unless it was revoked.
    # The types of its input arguments tell a routine from all others, whatever it gives out.
    # The function of an event trigger runs as the admin, so nobody else is given it.
    "things": """
        select t.kind, array[n.nspname::text] || t.name as path, pg_get_userbyid(t.owner) as owner,
               t.kind = 'sequence' and exists (
                   select from pg_catalog.pg_depend d where d.classid = t.catalog and d.objid = t.oid
                   and d.deptype in ('a', 'i') and d.refclassid = 'pg_catalog.pg_class'::regclass) as bound,
               a.privilege_type as privilege, {grantee} as grantee, a.is_grantable as grantable,
               {thing_grantor} as grantor,
               case when not t.acl @> t.born then array(
                   select privilege_type from aclexplode(array[t.born]) except
                   select privilege_type from aclexplode(t.acl) where grantee = t.owner) end as given_up
        from (
            select 'schema' as kind, 'pg_catalog.pg_namespace'::regclass as catalog, oid, oid as schema,
                   array[]::text[] as name, nspowner as owner,
                   coalesce(nspacl, acldefault('n', nspowner)) as acl, null::aclitem as born
            from pg_catalog.pg_namespace
            union all
            select case relkind when 'S' then 'sequence' else 'table' end, 'pg_catalog.pg_class'::regclass,
                   oid, relnamespace, array[relname], relowner, relacl,
                   (acldefault(case relkind when 'S' then 's'::"char" else 'r' end, relowner))[1]
            from pg_catalog.pg_class where oid >= 16384 and relkind in ('r', 'p', 'v', 'm', 'f', 'S')
            union all
            select 'column', 'pg_catalog.pg_class'::regclass, c.oid, c.relnamespace,
                   array[c.relname, t.attname], c.relowner, t.attacl, null
            from pg_catalog.pg_attribute t join pg_catalog.pg_class c on c.oid = t.attrelid
            where t.attrelid >= 16384 and t.attacl is not null and not t.attisdropped
            union all
            select 'routine', 'pg_catalog.pg_proc'::regclass, oid, pronamespace,
                   array[proname::text, oidvectortypes(proargtypes)], proowner,
                   coalesce(proacl, acldefault('f', proowner)), (acldefault('f', proowner))[2]
            from pg_catalog.pg_proc f where oid >= 16384
                 and not exists (select from pg_catalog.pg_event_trigger where evtfoid = f.oid)
            union all
            select 'type', 'pg_catalog.pg_type'::regclass, oid, typnamespace, array[typname], typowner,
                   null, null
            from pg_catalog.pg_type where oid >= 16384 and (
                typtype in ({owned_types}) or typtype = 'b' and typelem = 0
                or exists (select from pg_catalog.pg_class c where c.oid = typrelid and c.relkind = 'c'))
        ) t join pg_catalog.pg_namespace n on n.oid = t.schema
        left join aclexplode(t.acl) a on a.grantee <> t.owner or t.kind = 'schema'
        where {in_scope} and (t.kind = 'schema' or not exists (
            select from pg_catalog.pg_depend d where d.classid = t.catalog and d.objid = t.oid
            and (d.deptype = 'e' and {of_thing_script} or d.deptype = 'i' and t.kind = 'routine')))""",
    # Who may write may have large objects of its own, and there may be millions of them. A subscription is of
    # the whole cluster in the catalogs.
    "others": """
        select n.kind, array[coalesce(n.nspname, ''), n.identity] as path, pg_get_userbyid(n.owner) as owner
        from pg_catalog.pg_database b, lateral (
            select i.type as kind, (parse_ident(i.schema))[1] as nspname, i.identity, s.refobjid as owner
            from (
                select classid, objid, refobjid from pg_catalog.pg_shdepend
                where dbid = (select oid from pg_catalog.pg_database where datname = current_database())
                      and classid in ({other_catalogs}) and deptype = 'o'
                union all {of_the_founder}
            ) s, pg_identify_object(s.classid, s.objid, 0) i
            where (s.classid <> 'pg_catalog.pg_largeobject'::regclass
                       or pg_get_userbyid(s.refobjid) <> all (%(writers)s))
                  and not exists (select from pg_catalog.pg_depend d where d.classid = s.classid
                                  and d.objid = s.objid and d.deptype = 'e' and {of_other_script})
            union all
            select 'subscription', null, quote_ident(subname), subowner
            from pg_catalog.pg_subscription where subdbid = b.oid
        ) n
        where b.datname = current_database() and n.identity is not null
              and (n.nspname is null or ({in_scope}))""",
    "default_grants": """
        select pg_get_userbyid(d.defaclrole) as creator, coalesce(n.nspname, '') as schema,
               d.defaclobjtype::text as kind, a.privilege_type as privilege, {grantee} as grantee,
               a.is_grantable as grantable
        from pg_catalog.pg_default_acl d
        left join pg_catalog.pg_namespace n on n.oid = d.defaclnamespace, aclexplode(d.defaclacl) a
        where a.grantee <> d.defaclrole and (d.defaclnamespace = 0 or ({in_scope}))""",
    "event_triggers": """
        select t.evtname as name, p.oid::regprocedure::text as function, r.rolname as owner
        from pg_catalog.pg_event_trigger t join pg_catalog.pg_proc p on p.oid = t.evtfoid
        join pg_catalog.pg_roles r on r.oid = p.proowner
        where t.evtenabled <> 'D' and not r.rolsuper and r.rolname <> current_user""",
}

_DEFAULT_KINDS = {
    "r": "table",
    "S": "sequence",
    "f": "routine",
    "T": "type",
    "n": "schema",
    "L": "large object",
}


def _of_the_founder(kind: Kind) -> str:
    """What the superuser that initdb made has of a kind, of which pg_shdepend says nothing."""
    table, oids = kind.catalog, "oid >= 16384"
    if kind.catalog == LARGE_OBJECTS:  # whose maker chooses the oid, and of which initdb makes none
        table, oids = "pg_largeobject_metadata", "true"
    return (
        f"select 'pg_catalog.{kind.catalog}'::regclass, oid, {kind.owner}"
        f" from pg_catalog.{table} where {oids} and {kind.owner} = 10"
    )


_PIECES = {
    "its": _ITS,
    "of_the_role": _OF_THE_ROLE,
    "place": _PLACE,
    "of_the_founder": " union all ".join(
        _of_the_founder(kind) for kind in KINDS.values() if kind.since == ALWAYS
    ),
    "unfinished": str(UNFINISHED_LIMIT),
    "login_of_scripts": BOOTSTRAP_LOGIN,
    # The owner can set the limit, but neither give its database to the admin nor write the admin's settings
    "marked": f"""exists (
        select from pg_db_role_setting s join pg_roles r on r.oid = s.setrole
        where s.setdatabase = d.oid and r.rolname = current_user
              and '{"=".join(MARK)}' = any (s.setconfig))""",
    # Any role can store a value of many megabytes for itself. Of a long one only a part is read, and a hash.
    "stored": """array(select case when octet_length(one) > 8192 then left(one, 8192) || md5(one) else one end
                       from unnest(s.setconfig) one)""",
    "grantee": undeclared.GRANTEE,
    "grantor": _GRANTOR.format(owner="d.datdba"),
    "of_thing_script": undeclared.OF_A_SCRIPT.format(owner="t.owner"),
    "of_other_script": undeclared.OF_A_SCRIPT.format(owner="s.refobjid"),
    "thing_grantor": _GRANTOR.format(owner="t.owner"),
    "in_scope": _IN_SCOPE,
    "other_catalogs": ", ".join(f"'pg_catalog.{kind.catalog}'::regclass" for kind in KINDS.values()),
}


def _ask(connection, queries: Mapping[str, str], arguments: Mapping) -> dict[str, list[dict]]:
    """All the answers in one round trip."""
    parts = [
        f"'{name}', (select coalesce(json_agg(q), '[]') from ({query.format_map(_Pieces(connection))}) q)"
        for name, query in queries.items()
    ]
    question = f"json_build_object({', '.join(parts)})"
    with connection.cursor() as cursor:
        try:
            cursor.execute(f"select {question}", arguments)
            return cursor.fetchone()[0]
        except UnicodeDecodeError:
            cursor.execute(f"select textsend({question}::text)", arguments)
            return json.loads(_readable(bytes(cursor.fetchone()[0])))


def _readable(raw: bytes) -> str:
    """JSON, in whose texts each byte that is no UTF-8 is written as \\xNN."""
    text = raw.decode(errors="surrogateescape")
    return _UNREADABLE.sub(lambda found: f"\\\\x{ord(found[0]) - 0xDC00:02x}", text)


_SUPERUSERS_OWN = ("pg_event_trigger", "pg_foreign_data_wrapper")


class _Pieces(dict):
    """What the queries have in common, and what depends on the server's version."""

    def __init__(self, connection):
        version = connection.server_version
        options, acts, stays = "true as inherit, true as set", "true", "true"
        # pg_settings hides some from an admin that is no superuser
        is_unknown = (
            "case when current_setting('is_superuser')::bool then current_setting(name, true) is null end"
        )
        is_public = "false"
        if version >= 150000:
            is_public = "s.classid = 'pg_catalog.pg_namespace'::regclass and s.objid = 2200"
            is_unknown = "pg_settings_get_flags(name) is null"
        if version >= 160000:
            options = "bool_or(a.inherit_option) as inherit, bool_or(a.set_option) as set"
            acts = "a.inherit_option and a.set_option"
            stays = f"pg_get_userbyid(a.grantor) <> '{BOOTSTRAP_LOGIN}'"
        # From 17 on, a multirange goes with its range
        owned_types = "'d', 'e', 'r'" if version >= 170000 else "'d', 'e', 'r', 'm'"
        # From 16 on, others than superusers may own a subscription
        superusers_own = [*_SUPERUSERS_OWN, *(["pg_subscription"] if version < 160000 else [])]
        super().__init__(
            _PIECES,
            options=options,
            stays=stays,
            reached=_REACHED.format(acts=acts),
            is_public=is_public,
            owned_types=owned_types,
            is_unknown=is_unknown,
            superusers_own=", ".join(f"'pg_catalog.{name}'::regclass" for name in superusers_own),
        )


def read_cluster(connection, scope: Scope) -> Cluster:
    """What the databases of a cluster share; what is inside each is for ``read_inside``."""
    asked = {
        "extensions": scope.extensions,
        "unknown_settings": scope.settings,
        "occupied": scope.closed,
    }
    queries = {name: query for name, query in {**_ROLES, **_DATABASES}.items() if asked.get(name, True)}
    arguments = {
        "roles": _array(scope.roles),
        "databases": _array(scope.databases),
        "settings": list(scope.settings),
        "closed": list(scope.closed),
    }
    if scope.roles is None:
        queries["rights"] = undeclared.in_a_cluster(connection.server_version)
    answers = _ask(connection, queries, arguments)
    server, settings = answers["server"][0], _settings(answers["role_settings"])
    passwords = _passwords(connection, arguments) if scope.passwords and server["sees_passwords"] else {}
    joins = [Membership(*(row[key] for key in Membership._fields)) for row in answers["memberships"]]
    return Cluster(
        name="",
        roles={row["name"]: _role(row, settings, passwords) for row in answers["roles"]},
        memberships=frozenset(joins),
        databases=_databases(answers),
        grants=frozenset(map(_right, answers.get("rights", ()))),
        server=_server(server, answers),
    )


def read_leaver(connection, role: str, scope: Scope) -> tuple[tuple[tuple, ...], tuple[tuple, ...]]:
    """Where a role has something and whether it owns there, and what keeps it from being dropped."""
    answers = _ask(connection, _LEAVER, {"role": role, "roles": _array(scope.roles)})
    return (
        _sorted(answers["dependents"], "database", "owns"),
        _sorted(answers["kept_by"], "kind", "place", "whose"),
    )


def read_database(connection, wanted: Database) -> Database:
    """One database, without and within, on a connection that leads to it."""
    arguments = {"databases": [wanted.name], "roles": None, **_arguments(wanted)}
    answers = _ask(connection, {**_DATABASES, **_inside(wanted)}, arguments)
    return _filled(_databases(answers)[wanted.name], answers)


def _array(names: Iterable[str] | None) -> list[str] | None:
    return None if names is None else list(names)


def _passwords(connection, arguments) -> dict[str, str | None]:
    with connection.cursor() as cursor:
        cursor.execute(_PASSWORDS, arguments)
        return dict(cursor.fetchall())


def _server(row: Mapping, answers: Mapping) -> Server:
    return Server(
        version=row["version"],
        admin=row["admin"],
        superuser=row["superuser"],
        sees_passwords=row["sees_passwords"],
        founder=row["founder"],
        has_login_of_scripts=row["has_login_of_scripts"],
        superusers=frozenset(row["superusers"]),
        extensions={e["name"]: (e["default_version"], *e["versions"]) for e in answers.get("extensions", ())},
        of_superusers=frozenset(e["name"] for e in answers.get("extensions", ()) if e["of_superusers"]),
        unknown_settings={row["name"]: tuple(row["known"]) for row in answers.get("unknown_settings", ())},
        in_use_by=_grouped(answers["in_use_by"], "database", "kind", "name"),
        grantors={(row["role"], row["member"]): tuple(row["grantors"]) for row in answers["memberships"]},
        occupied=frozenset(row["database"] for row in answers.get("occupied", ())),
        acts_for=frozenset(reached["role"] for reached in answers["acts_for"]),
        public_owner="pg_database_owner" if row["version"] >= 150000 else row["builder"],
    )


def _grouped(rows: Iterable[Mapping], by: str, *rest: str) -> dict[str, tuple[tuple, ...]]:
    found = defaultdict(list)
    for row in rows:
        found[row[by]].append(tuple(row[key] for key in rest))
    return {key: tuple(sorted(values)) for key, values in found.items()}


def _sorted(rows: Iterable[Mapping], *keys: str) -> tuple[tuple, ...]:
    return tuple(sorted(tuple(row[key] for key in keys) for row in rows))


_FLAGS = ("superuser", "createdb", "createrole", "replication", "bypassrls")


def _role(row: Mapping, settings: Mapping, passwords: Mapping) -> Role:
    until = row["valid_until"]
    return Role(
        row["name"],
        login=row["login"],
        inherit=row["inherit"],
        attributes=frozenset(flag for flag in _FLAGS if row[flag]),
        connection_limit=row["connection_limit"],
        valid_until=None if until is None else _moment(until),
        settings=frozenset(settings["", row["name"]]),
        password=passwords.get(row["name"]),
    )


def _moment(seconds: float) -> datetime:
    """PostgreSQL's years go further than Python's, both ways."""
    try:
        return datetime.fromtimestamp(seconds, UTC)
    except (ValueError, OverflowError, OSError):
        return (datetime.max if seconds > 0 else datetime.min).replace(tzinfo=UTC)


def _settings(rows: Iterable[Mapping]) -> Mapping[tuple[str, str], set[tuple[str, str]]]:
    """(database, role) to settings, the empty name standing for any."""
    found = defaultdict(set)
    for row in rows:
        found[row["database"], row["role"]] = {guc.as_stored(setting) for setting in row["settings"]}
    return found


def _databases(answers: Mapping) -> dict[str, Database]:
    settings, grants, role_settings = _settings(answers["settings"]), defaultdict(set), defaultdict(set)
    for row in answers["grants"]:
        path = ("database", (), row["privilege"], row["grantee"], row["grantable"], row["grantor"])
        grants[row["database"]].add(Grant(*path))
    for (database, role), some in settings.items():
        if database and role:
            role_settings[database] |= {(role, *setting) for setting in some if setting != MARK}
    return {
        row["name"]: Database(
            row["name"],
            row["owner"],
            state=PRESENT if row["open"] else QUARANTINED,
            unfinished=row["unfinished"],
            marked=row["marked"],
            connection_limit=row["connection_limit"],
            encoding=row["encoding"],
            locale=row["locale"],
            settings=frozenset(settings[row["name"], ""]),
            role_settings=frozenset(role_settings[row["name"]]),
            grants=frozenset(grants[row["name"]]),
        )
        for row in answers["databases"]
    }


def read_inside(connection, database: Database, wanted: Database | None = None) -> Database:
    """The database that the connection leads to, with its inside, as far as something is wanted of it."""
    return _filled(database, _ask(connection, _inside(wanted), _arguments(wanted)))


def _arguments(wanted: Database | None) -> dict[str, list[str] | None]:
    schemas, writers = (wanted.schemas, wanted.writers) if wanted else (None, ())
    return {"schemas": _array(schemas), "writers": _array(writers)}


def event_triggers(connection) -> tuple[EventTrigger, ...]:
    """Those of the connection's database that run functions of other roles."""
    return _event_triggers(_ask(connection, {"event_triggers": _INSIDE["event_triggers"]}, {}))


def _event_triggers(answers: Mapping) -> tuple[EventTrigger, ...]:
    return tuple(EventTrigger(**row) for row in answers["event_triggers"])


def _inside(wanted: Database | None) -> dict[str, str]:
    if wanted is None:
        return {**_INSIDE, "rights": undeclared.in_a_database()}
    left_out = None if wanted.extensions else "extensions"
    return {name: query for name, query in _INSIDE.items() if name != left_out}


def _filled(database: Database, answers: Mapping) -> Database:
    things = defaultdict(list)
    for row in answers["things"]:
        things[Object(row["kind"], tuple(row["path"]), row["owner"], row["bound"])].append(row)
    others = (Object(row["kind"], tuple(row["path"]), row["owner"]) for row in answers["others"])
    grants = (_grant(thing, row) for thing, rows in things.items() for row in rows if row["privilege"])
    given_up = (
        Grant(thing.kind, thing.path, one, thing.owner)
        for thing, rows in things.items()
        for one in rows[0]["given_up"] or ()
    )
    return replace(
        database,
        schemas={one.path[0]: Schema(one.path[0], one.owner) for one in things if one.kind == "schema"},
        extensions={row["name"]: Extension(**row) for row in answers.get("extensions", ())},
        grants=database.grants | frozenset(grants),
        given_up=frozenset(given_up),
        beyond=frozenset(map(_right, answers.get("rights", ()))),
        default_grants=frozenset(map(_default_grant, answers["default_grants"])),
        event_triggers=_event_triggers(answers),
        objects=(*(one for one in things if one.kind not in ("schema", "column")), *others),
    )


def _grant(thing: Object, row: Mapping) -> Grant:
    return Grant(thing.kind, thing.path, row["privilege"], row["grantee"], row["grantable"], row["grantor"])


def _right(row: Mapping) -> Grant:
    return Grant(**{**row, "path": tuple(row["path"])})


def _default_grant(row: Mapping) -> DefaultGrant:
    return DefaultGrant(**{**row, "kind": _DEFAULT_KINDS[row["kind"]]})
