"""What a role that leaves owns, and what of it would run with the rights of the role that gets it."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping

from psycopg2.sql import SQL, Composable, Identifier

from pgpillar import sql
from pgpillar.connect import ClusterError
from pgpillar.model import Role

SHOWN = 5

# Code that runs as the owner of a thing: the body of a SECURITY DEFINER routine, what a view or a rule reads,
# a trigger behind a foreign key, and functions in the expressions that ANALYZE evaluates. A superuser's
# function, such as one of an extension, is no danger there.
_CODE = """
    select 'pg_catalog.pg_proc'::regclass as catalog, oid, pronamespace as schema, proowner as owner,
           xmin::text as xid
    from pg_catalog.pg_proc where prosecdef
    union all
    select 'pg_catalog.pg_class'::regclass, oid, relnamespace, relowner, xmin::text
    from pg_catalog.pg_class c
    where relkind in ('r', 'p', 'v', 'm', 'f') and oid >= 16384 and (
        exists (select from pg_catalog.pg_rewrite where ev_class = c.oid)
        or exists (select from pg_catalog.pg_trigger where tgrelid = c.oid and not tgisinternal)
        or exists (
            select from pg_catalog.pg_depend part join pg_catalog.pg_depend uses
                on (uses.classid, uses.objid) = (part.classid, part.objid)
            join (
                select 'pg_catalog.pg_proc'::regclass as catalog, oid, proowner as owner
                from pg_catalog.pg_proc
                union all select 'pg_catalog.pg_operator'::regclass, oid, oprowner
                from pg_catalog.pg_operator
                union all select 'pg_catalog.pg_opclass'::regclass, oid, opcowner from pg_catalog.pg_opclass
            ) used on (used.catalog, used.oid) = (uses.refclassid, uses.refobjid)
            join pg_catalog.pg_roles r on r.oid = used.owner
            where part.refclassid = 'pg_catalog.pg_class'::regclass and part.refobjid = c.oid
                and part.classid in (
                    'pg_catalog.pg_class'::regclass, 'pg_catalog.pg_statistic_ext'::regclass)
                and not r.rolsuper))"""

# Of what lies in a declared schema, the plan names each thing and its new owner, but for an extension's
_ENTRUSTED = SQL("""
    select pg_get_userbyid(code.owner), i.type || ' ' || i.identity
    from ({code}) code join pg_catalog.pg_namespace n on n.oid = code.schema,
         pg_identify_object(code.catalog, code.oid, 0) i
    where pg_get_userbyid(code.owner) = any (%(roles)s) and n.nspname !~ '^pg_temp_'
          and (n.nspname <> all (%(declared)s) or exists (
              select from pg_catalog.pg_depend d
              where (d.classid, d.objid, d.deptype) = (code.catalog, code.oid, 'e')))
    union all
    select pg_get_userbyid(subowner), 'subscription ' || quote_ident(subname)
    from pg_catalog.pg_subscription
    where subdbid = (select oid from pg_catalog.pg_database where datname = current_database())
          and pg_get_userbyid(subowner) = any (%(roles)s) and not %(is_declared)s
    order by 1, 2""").format(code=SQL(_CODE))

# To give these away, an admin that is no superuser needs an heir who may create in their schema: by a grant,
# since the memberships that it has now may end in this run
_PLACED = (
    "pg_proc",
    "pg_operator",
    "pg_opclass",
    "pg_opfamily",
    "pg_collation",
    "pg_conversion",
    "pg_statistic_ext",
    "pg_ts_config",
    "pg_ts_dict",
)
_WITHOUT_A_PLACE = """
    select r.rolname, i.type || ' ' || i.identity
    from pg_catalog.pg_shdepend s
    join pg_catalog.pg_roles r on r.oid = s.refobjid
    join pg_catalog.pg_database d on d.oid = s.dbid and d.datname = current_database(),
         pg_identify_object(s.classid, s.objid, s.objsubid) i
    join pg_catalog.pg_namespace n on quote_ident(n.nspname) = i.schema
    where s.refclassid = 'pg_catalog.pg_authid'::regclass and s.deptype = 'o'
          and s.classid = any (%(catalogs)s::regclass[]) and n.nspname <> all (%(declared)s)
          and r.rolname = any (%(roles)s)
          and not exists (
              select from unnest(%(roles)s, %(heirs)s) as given (role, heir),
                   aclexplode(coalesce(n.nspacl, acldefault('n', n.nspowner))) a
              where given.role = r.rolname and a.privilege_type = 'CREATE' and (
                  (pg_get_userbyid(a.grantee), given.heir) in (
                      select * from unnest(%(leavers)s, %(successors)s)) and a.grantee = n.nspowner or
                  a.grantee = 0 or given.heir = case pg_get_userbyid(a.grantee)
                      when 'pg_database_owner' then pg_get_userbyid(d.datdba)
                      else pg_get_userbyid(a.grantee) end))
    order by 1, 2"""

_TEMPORARY = SQL("""
    select i.type, i.identity
    from ({code}) code join pg_catalog.pg_namespace n on n.oid = code.schema,
         pg_identify_object(code.catalog, code.oid, 0) i
    where pg_get_userbyid(code.owner) = %s and n.nspname ~ '^pg_temp_' order by 1, 2""").format(
    code=SQL(_CODE)
)

# What hands over has alone written rows in this transaction, and none in a part of it that has a savepoint
_GIVEN = SQL("""
    select i.type || ' ' || i.identity
    from ({code}) code, pg_identify_object(code.catalog, code.oid, 0) i
    where code.xid = (pg_current_xact_id()::text::bigint & 4294967295)::text order by 1""").format(
    code=SQL(_CODE)
)

# What locks its table, view or sequence until the end of the transaction. A sequence of a table follows that.
# Others' temporary tables cannot be altered, and REASSIGN OWNED takes them all the same.
_TABLES = """
    select c.oid, n.nspname, c.relname
    from pg_catalog.pg_shdepend s join pg_catalog.pg_class c on c.oid = s.objid
    join pg_catalog.pg_namespace n on n.oid = c.relnamespace
    where s.refclassid = 'pg_catalog.pg_authid'::regclass and s.deptype = 'o'
          and s.refobjid = (select oid from pg_catalog.pg_roles where rolname = %(role)s)
          and s.classid = 'pg_catalog.pg_class'::regclass
          and s.dbid = (select oid from pg_catalog.pg_database where datname = current_database())
          and (%(among)s::oid[] is null or c.oid = any (%(among)s))
          and n.nspname !~ '^pg_temp_'
          and (current_setting('is_superuser')::bool or has_schema_privilege(%(heir)s, n.oid, 'create'))
          and not exists (
              select from pg_catalog.pg_depend d
              where c.relkind = 'S' and (d.classid, d.objid) = (s.classid, c.oid)
                    and d.deptype in ('a', 'i') and d.refclassid = s.classid)
    order by c.oid"""

_SCHEMAS = """
    select nspname from pg_catalog.pg_namespace
    where pg_get_userbyid(nspowner) = %s and nspname <> all (%s) order by 1"""
# What REASSIGN OWNED leaves to DROP OWNED is of use to the role alone: its default privileges and mappings
_STILL_OWNED = """
    select pg_describe_object(s.classid, s.objid, s.objsubid)
    from pg_catalog.pg_shdepend s join pg_catalog.pg_roles r on r.oid = s.refobjid
    where s.refclassid = 'pg_catalog.pg_authid'::regclass and r.rolname = %s and s.deptype = 'o'
          and s.dbid = (select oid from pg_catalog.pg_database where datname = current_database())
          and s.classid not in ('pg_catalog.pg_default_acl'::regclass, 'pg_catalog.pg_user_mapping'::regclass)
    order by 1"""


# What an owner gave to a role, of things that others may grant as well, named as in GRANT. Before that comes
# what the role granted to itself, as long as it may still revoke it: one by one, since PostgreSQL looks for
# somebody who may grant all that a statement names, and that may be the owner.
_TAKEN_BACK = """
    select distinct pg_get_userbyid(a.grantor), t.what, a.grantor = t.owner,
           case when a.grantor = t.owner then 'ALL' else a.privilege_type || t.columns end
    from (
        select datdba as owner, datacl as acl, null::aclitem[] as more, '' as columns,
               'DATABASE ' || quote_ident(datname) as what
        from pg_catalog.pg_database
        union all
        select nspowner, nspacl, null, '', 'SCHEMA ' || quote_ident(nspname) from pg_catalog.pg_namespace
        union all select typowner, typacl, null, '', 'TYPE ' || oid::regtype from pg_catalog.pg_type
        union all select proowner, proacl, null, '', 'ROUTINE ' || oid::regprocedure from pg_catalog.pg_proc
        union all
        select relowner, relacl, null, '',
               case relkind when 'S' then 'SEQUENCE ' else 'TABLE ' end || oid::regclass
        from pg_catalog.pg_class
        union all
        select relowner, attacl, relacl, ' (' || quote_ident(attname) || ')', 'TABLE ' || attrelid::regclass
        from pg_catalog.pg_attribute join pg_catalog.pg_class c on c.oid = attrelid
    ) t, aclexplode(t.acl) a
    where pg_get_userbyid(a.grantee) = %s and a.grantee <> t.owner and (
        a.grantor = a.grantee
        or a.grantor = t.owner and pg_has_role(t.owner, 'member')
           and not current_setting('is_superuser')::bool
           and exists (
               select from aclexplode(t.acl || t.more) g where g.is_grantable and g.grantee <> t.owner))
    order by 3, 1, 2, 4"""


def entrusted(cursor, roles: Iterable[str], declared: Iterable[str] | None) -> dict[str, str]:
    """By role, what of its things in no declared schema would run with the rights of an heir."""
    arguments = {"roles": list(roles), "declared": list(declared or ()), "is_declared": declared is not None}
    cursor.execute(_ENTRUSTED, arguments)
    return _by_role(cursor)


def without_a_place(
    cursor,
    heirs: Iterable[tuple[str, str]],
    successors: Mapping[str, str],
    declared: Iterable[str] | None,
) -> dict[str, str]:
    """By role, things in undeclared schemas where its heir and its groups may not create."""
    roles, names = zip(*heirs, strict=True)
    arguments = {
        "roles": list(roles),
        "heirs": list(names),
        "leavers": list(successors),  # their schemas have gone to their heirs by then
        "successors": list(successors.values()),
        "declared": list(declared or ()),
        "catalogs": [f"pg_catalog.{name}" for name in _PLACED],
    }
    cursor.execute(_WITHOUT_A_PLACE, arguments)
    return _by_role(cursor)


def _by_role(rows: Iterable[tuple[str, str]]) -> dict[str, str]:
    found = defaultdict(list)
    for role, what in rows:
        found[role].append(what)
    return {role: listed(things) for role, things in found.items()}


def listed(things: list[str]) -> str:
    more = f" and {len(things) - SHOWN} more" if len(things) > SHOWN else ""
    return ", ".join(things[:SHOWN]) + more


def hand_over_schemas(cursor, role: Role, declared: Iterable[str]) -> None:
    """So that an heir may create in them, which a hosted admin needs to give it what is there.

    Of the schemas that pillar declares the plan says who is to own them.
    """
    for schema in _all(cursor, _SCHEMAS, [role.name, list(declared)]):
        cursor.execute(sql.own_schema(schema, role.reassign_to))


def tables(cursor, role: Role, among: list[int] | None = None) -> dict[int, tuple[str, str]]:
    """What an heir can be given by ALTER TABLE. REASSIGN OWNED would lock all of it at once."""
    cursor.execute(_TABLES, {"role": role.name, "heir": role.reassign_to, "among": among})
    return {oid: path for oid, *path in cursor}


def hand_over_tables(cursor, role: Role, among: list[int]) -> None:
    """Give some of them to the heir, as far as they are still there."""
    for path in tables(cursor, role, among).values():
        cursor.execute(sql.own_table(path, role.reassign_to))
    _insist_on_no_code(cursor, role)


def hand_over(cursor, role: Role, superuser: bool) -> None:
    """Give what else a role owns in this database to its heir. Nothing that runs as its owner is among it."""
    if superuser:
        for statement in _without_temporary(cursor, role.name):
            cursor.execute(statement)
    cursor.execute(sql.reassign(role.name, role.reassign_to))
    _insist_on_no_code(cursor, role)


def _insist_on_no_code(cursor, role: Role) -> None:
    """The role may still act in the session of one of its members: what was given is looked at again."""
    if given := _all(cursor, _GIVEN):
        raise ClusterError(
            f"role {role.name!r} owns {listed(given)}, which would run with the rights of "
            f"{role.reassign_to!r}; drop it or end the session that has it, and run this again"
        )


def take_back(cursor, role: str) -> None:
    """What DROP OWNED leaves to a role: what the role granted to itself.

    A hosted admin revokes in the name of any role that may grant, which may have granted nothing.
    """
    for grantor, what, _, privileges in _all_rows(cursor, _TAKEN_BACK, [role]):
        revoke = SQL("REVOKE {} ON {} FROM {} CASCADE").format(SQL(privileges), SQL(what), Identifier(role))
        for statement in sql.acting_as(grantor, revoke):
            cursor.execute(statement)


def _without_temporary(cursor, role: str) -> list[Composable]:
    cursor.execute(_TEMPORARY, [role])
    return [SQL(f"DROP {kind.upper()} {identity}") for kind, identity in cursor.fetchall()]


def insist_on_nothing_owned(cursor, role: str) -> None:
    """DROP OWNED would drop it."""
    if owned := _all(cursor, _STILL_OWNED, [role]):
        raise ClusterError(
            f"role {role!r} owns {listed(owned)}, which the plan did not name; run this again, and name in "
            "reassign_to who gets it"
        )


def _all_rows(cursor, query: str, arguments: list) -> list[tuple]:
    cursor.execute(query, arguments)
    return cursor.fetchall()


def _all(cursor, query: str | Composable, arguments: list | None = None) -> list[str]:
    cursor.execute(query, arguments)
    return [what for (what,) in cursor.fetchall()]
