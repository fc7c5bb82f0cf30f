"""What a role that leaves owns, and what of it would run with the rights of the role that gets it."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping

from psycopg2.sql import SQL, Composable, Composed, Identifier

from pgpillar import sql
from pgpillar.connect import ClusterError
from pgpillar.model import Grant, Role
from pgpillar.undeclared import GRANTEE

SHOWN = 5

# Functions of PostgreSQL that give other results at other times, and yet do nothing but compute. Some others
# run statements or the code of types that a text names, such as query_to_xml, or change something.
_CALM = (
    *("now", "transaction_timestamp", "statement_timestamp", "clock_timestamp", "timeofday", "age"),
    *("date", "time", "timetz", "timestamp", "timestamptz", "timezone", "date_trunc", "date_part", "extract"),
    *("to_char", "to_date", "to_timestamp", "to_number", "to_json", "to_jsonb"),
    *("concat", "concat_ws", "format", "array_to_string", "current_setting", "random", "nextval"),
    *("gen_random_uuid", "uuidv4", "uuidv7", "uuid_generate_v1", "uuid_generate_v4"),
)
_CALM_OPERATORS = "^(date|timestamp|timestamptz|interval)_"

# Only a superuser makes functions in C, and only another function can call one that takes an internal value.
# Before PostgreSQL 14 some of its own are texts in SQL, whose operators are looked for by whoever calls them.
_IS_SAFE = """(p.oid < 16384 and p.prosrc !~ '[-+*/|<>=]' or p.oid >= 16384 and p.prolang in (
        select l.oid from pg_catalog.pg_language l where l.lanname in ('internal', 'c'))
    and exists (select from pg_catalog.pg_roles r where r.oid = p.proowner and r.rolsuper))"""
_IS_CALM = f"""(p.provolatile = 'i' or p.proname in ({", ".join(map(repr, _CALM))})
    or p.provolatile = 's' and p.proname ~ '{_CALM_OPERATORS}')"""

# What a table is made of, and what these things use. Things of initdb's have oids below 16384; pg_depend has
# no row for most of their uses. The cast of a foreign key is looked for when the key is checked.
_LEADS_TO = """
    select d.refclassid, d.refobjid from pg_catalog.pg_depend d
    where (d.classid, d.objid) = (at.catalog, at.oid) and d.refobjid >= 16384 and (
        d.refclassid in ('pg_catalog.pg_proc'::regclass, 'pg_catalog.pg_operator'::regclass,
            'pg_catalog.pg_opclass'::regclass, 'pg_catalog.pg_opfamily'::regclass,
            'pg_catalog.pg_type'::regclass)
        or at.catalog = 'pg_catalog.pg_type'::regclass and d.refclassid = 'pg_catalog.pg_class'::regclass)
    union all
    select d.classid, d.objid from pg_catalog.pg_depend d
    where (d.refclassid, d.refobjid) = (at.catalog, at.oid) and (
        d.deptype in ('a', 'i', 'P', 'S')
        or d.classid in ('pg_catalog.pg_cast'::regclass, 'pg_catalog.pg_opclass'::regclass)
        or d.classid = 'pg_catalog.pg_constraint'::regclass and at.catalog = 'pg_catalog.pg_class'::regclass)
    union all
    select 'pg_catalog.pg_type'::regclass, t.atttypid
    from pg_catalog.pg_constraint k join pg_catalog.pg_attribute t
        on t.attrelid = k.conrelid and t.attnum = any (k.conkey)
        or t.attrelid = k.confrelid and t.attnum = any (k.confkey)
    where at.catalog = 'pg_catalog.pg_constraint'::regclass and k.oid = at.oid and k.contype = 'f'
          and t.atttypid >= 16384"""

# The expressions in what a table is made of. PostgreSQL 13 has none in statistics.
_EXPRESSIONS = """
    select adbin::text from pg_catalog.pg_attrdef
    where at.catalog = 'pg_catalog.pg_attrdef'::regclass and oid = at.oid
    union all
    select conbin::text from pg_catalog.pg_constraint
    where at.catalog = 'pg_catalog.pg_constraint'::regclass and oid = at.oid
    union all
    select typdefaultbin::text from pg_catalog.pg_type
    where at.catalog = 'pg_catalog.pg_type'::regclass and oid = at.oid
    union all
    select concat(indexprs, indpred) from pg_catalog.pg_index
    where at.catalog = 'pg_catalog.pg_class'::regclass and indexrelid = at.oid
    union all
    select partexprs::text from pg_catalog.pg_partitioned_table
    where at.catalog = 'pg_catalog.pg_class'::regclass and partrelid = at.oid
    union all
    select to_jsonb(s) ->> 'stxexprs' from pg_catalog.pg_statistic_ext s
    where at.catalog = 'pg_catalog.pg_statistic_ext'::regclass and s.oid = at.oid"""

# The owner of a domain or a partition can add code to it at any time. The owner of a partitioned table can
# add code to each partition, by an index.
_IS_TRUSTED = """(pg_get_userbyid({owner}) = any (%(trusted)s) or exists (
    select from pg_catalog.pg_roles r where r.oid = {owner} and (r.rolsuper or r.rolname = current_user)))"""

# Each kind of part that holds no code, if this holds. What is of no such kind is taken for code.
_HARMLESS = {
    "pg_class": f"""exists (
        select from pg_catalog.pg_class c
        where c.oid = at.oid and c.relkind in ('r', 'p', 'S', 'i', 'I', 't', 'c')
              and {_IS_TRUSTED.format(owner="c.relowner")} and not exists (
                  select from pg_partition_ancestors(c.oid) a join pg_catalog.pg_class p on p.oid = a.relid
                  where not {_IS_TRUSTED.format(owner="p.relowner")}))""",
    "pg_type": f"""exists (
        select from pg_catalog.pg_type t
        where t.oid = at.oid and {_IS_TRUSTED.format(owner="t.typowner")})""",
    # The server may call the negator instead, on which nothing depends
    "pg_operator": """exists (
        select from pg_catalog.pg_operator o join pg_catalog.pg_roles r on r.oid = o.oprowner
        where o.oid = at.oid and r.rolsuper)""",
    "pg_proc": f"exists (select from pg_catalog.pg_proc p where p.oid = at.oid and {_IS_SAFE})",
    # That of a foreign key
    "pg_trigger": """exists (
        select from pg_catalog.pg_trigger t where t.oid = at.oid and t.tgisinternal and t.tgfoid < 16384)""",
    **dict.fromkeys(
        ("pg_attrdef", "pg_constraint", "pg_statistic_ext", "pg_cast")
        + ("pg_opclass", "pg_opfamily", "pg_amop", "pg_amproc", "pg_publication_rel"),
        "true",
    ),
}
_IS_HARMLESS = " ".join(f"when 'pg_catalog.{name}'::regclass then {test}" for name, test in _HARMLESS.items())

# What runs, or lets something run, with the rights of its owner: routines with SECURITY DEFINER, and whatever
# has columns, such as a view, but for tables that lead to no code. Of the things where ``seed`` holds.
_CODE = SQL(r"""
    with recursive owned as (
        select 'pg_catalog.pg_proc'::regclass as catalog, oid, pronamespace as schema, proowner as owner,
               xmin::text as xid, false as is_table
        from pg_catalog.pg_proc where prosecdef
        union all
        select 'pg_catalog.pg_class'::regclass, oid, relnamespace, relowner, xmin::text,
               relkind in ('r', 'p')
        from pg_catalog.pg_class where relkind in ('r', 'p', 'v', 'm', 'f') and oid >= 16384
    ), ours as (select * from owned where {seed}),
    reached as (
        select catalog, oid from ours where is_table
        union
        select next.* from reached at, lateral ({leads_to}) next (catalog, oid)
        where at.catalog <> 'pg_catalog.pg_proc'::regclass
    ), steps as (
        select at.catalog as from_catalog, at.oid as from_oid, next.*
        from reached at, lateral ({leads_to}) next (catalog, oid)
        where at.catalog <> 'pg_catalog.pg_proc'::regclass
    ), to_code as (
        select catalog, oid from reached at
        where case at.catalog {is_harmless} else false end is not true or exists (
            select from ({expressions}) e (tree), regexp_matches(e.tree, ':(?:op)?funcid (\d+)', 'g') called
            left join pg_catalog.pg_proc p on p.oid = called[1]::oid
            where ({is_safe} and {is_calm}) is not true
            union all
            select from ({expressions}) e (tree), regexp_matches(e.tree, ':typid (\d+)', 'g') made
            where made[1]::oid >= 16384)
        union
        select s.from_catalog, s.from_oid from to_code join steps s using (catalog, oid)
    )
    select * from ours where not is_table or (catalog, oid) in (select * from to_code)""")


def _code(seed: str) -> Composed:
    pieces = {
        "seed": seed,
        "leads_to": _LEADS_TO,
        "is_harmless": _IS_HARMLESS,
        "expressions": _EXPRESSIONS,
        "is_safe": _IS_SAFE,
        "is_calm": _IS_CALM,
    }
    return _CODE.format(**{name: SQL(piece) for name, piece in pieces.items()})


# Of what lies in a declared schema, the plan names each thing and its new owner, but for an extension's
_IN_NO_DECLARED_SCHEMA = """pg_get_userbyid(owner) = any (%(roles)s) and exists (
    select from pg_catalog.pg_namespace n where n.oid = schema and n.nspname !~ '^pg_temp_' and (
        n.nspname <> all (%(declared)s) or exists (
            select from pg_catalog.pg_depend d
            where (d.classid, d.objid, d.deptype) = (owned.catalog, owned.oid, 'e'))))"""
_ENTRUSTED = SQL("""
    select pg_get_userbyid(code.owner), i.type || ' ' || i.identity
    from ({code}) code,
         pg_identify_object(code.catalog, code.oid, 0) i
    union all
    select pg_get_userbyid(subowner), 'subscription ' || quote_ident(subname)
    from pg_catalog.pg_subscription
    where subdbid = (select oid from pg_catalog.pg_database where datname = current_database())
          and pg_get_userbyid(subowner) = any (%(roles)s) and not %(is_declared)s
    order by 1, 2""").format(code=_code(_IN_NO_DECLARED_SCHEMA))

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

_IS_TEMPORARY = """pg_get_userbyid(owner) = any (%(trusted)s) and exists (
    select from pg_catalog.pg_namespace n where n.oid = schema and n.nspname ~ '^pg_temp_')"""
_TEMPORARY = SQL("""
    select i.type, i.identity
    from ({code}) code, pg_identify_object(code.catalog, code.oid, 0) i
    order by 1, 2""").format(code=_code(_IS_TEMPORARY))

# What hands over has alone written rows in this transaction, and none in a part of it that has a savepoint
_THIS = "(pg_current_xact_id()::text::bigint & 4294967295)::text"
_IS_GIVEN = f"xid = {_THIS}"
_GIVEN = SQL("""
    select i.type || ' ' || i.identity
    from ({code}) code, pg_identify_object(code.catalog, code.oid, 0) i order by 1""").format(
    code=_code(_IS_GIVEN)
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


# What rights are granted on, by a path as in a Grant, but for databases, which have their names here
_THINGS = """
    select 'database' as kind, array[datname::text] as path, null::text as schema, datdba as owner,
           datacl as acl, null::aclitem[] as more, null::text as xid
    from pg_catalog.pg_database
    union all
    select 'schema', array[nspname::text], nspname, nspowner, nspacl, null, null from pg_catalog.pg_namespace
    union all
    select t.kind, array[n.nspname::text] || t.path, n.nspname, t.owner, t.acl, t.more, t.xid
    from (
        select 'type' as kind, typnamespace as schema, array[typname::text] as path, typowner as owner,
               typacl as acl, null::aclitem[] as more, null::text as xid
        from pg_catalog.pg_type
        union all
        select 'routine', pronamespace, array[proname::text, oidvectortypes(proargtypes)], proowner, proacl,
               null, null
        from pg_catalog.pg_proc
        union all
        select case relkind when 'S' then 'sequence' else 'table' end, relnamespace, array[relname::text],
               relowner, relacl, null, xmin::text
        from pg_catalog.pg_class
        union all
        select 'column', relnamespace, array[relname::text, attname::text], relowner, attacl, relacl,
               c.xmin::text
        from pg_catalog.pg_attribute join pg_catalog.pg_class c on c.oid = attrelid
    ) t join pg_catalog.pg_namespace n on n.oid = t.schema where t.acl is not null"""

# What an owner gave to a role, of things that others may grant as well. Before that comes what the role
# granted to itself, as long as it may still revoke it: one by one, since PostgreSQL looks for somebody who
# may grant all that a statement names, and that may be the owner.
_TAKEN_BACK = f"""
    select distinct pg_get_userbyid(a.grantor), t.kind, t.path, a.grantor = t.owner,
           case when a.grantor = t.owner and t.kind <> 'column' then 'ALL' else a.privilege_type end
    from ({_THINGS}) t, aclexplode(t.acl) a
    where pg_get_userbyid(a.grantee) = %s and a.grantee <> t.owner and (
        a.grantor = a.grantee
        or a.grantor = t.owner and pg_has_role(t.owner, 'member')
           and not current_setting('is_superuser')::bool
           and exists (
               select from aclexplode(t.acl || t.more) g where g.is_grantable and g.grantee <> t.owner))
    order by 4, 1, 2, 3, 5"""

# Of rights in places that pillar does not name: what roles passed on, or others passed on to them, and what
# lets others add code to their tables. A foreign key looks for casts when it is checked.
_ELSEWHERE = f"""
    select pg_get_userbyid(t.owner), t.kind,
           case t.kind when 'database' then array[]::text[] else t.path end, a.privilege_type, {GRANTEE},
           a.is_grantable, case when a.grantor = t.owner then '' else pg_get_userbyid(a.grantor) end
    from ({_THINGS}) t, aclexplode(t.acl) a
    where case t.kind when 'database' then t.path[1] = current_database() and not %(is_declared)s
              else t.schema <> all (%(declared)s) end
          and a.grantee <> t.owner and (t.xid = {_THIS} or not %(given)s) and (
              a.grantor not in (t.owner, a.grantee) and (
                  pg_get_userbyid(a.grantor) = any (%(roles)s) and not exists (
                      select from aclexplode(t.acl) o
                      where o.grantor = t.owner and (o.grantee, o.privilege_type) = (
                          a.grantee, a.privilege_type) and o.is_grantable >= a.is_grantable)
                  or pg_get_userbyid(a.grantee) = any (%(roles)s))
              or pg_get_userbyid(t.owner) = any (%(roles)s)
                  and t.kind in ('table', 'column') and a.privilege_type in ('TRIGGER', 'REFERENCES')
                  and not exists (
                      select from pg_catalog.pg_roles r where r.oid = a.grantee and r.rolsuper))
    order by 1, 2, 3, 4, 5, 7"""


def entrusted(cursor, role: str, heir: str, declared: Iterable[str] | None) -> dict[str, str]:
    """By role, what of its things in no declared schema would run with the rights of its heir."""
    cursor.execute(_ENTRUSTED, {**_places([role], declared), "trusted": [role, heir]})
    return _by_role(cursor)


def rights_elsewhere(
    cursor, roles: Iterable[str], declared: Iterable[str] | None, given: bool = False
) -> tuple[tuple[str, Grant], ...]:
    """Where pillar declares nothing, each right that ends with one of these roles or keeps it.

    Also those to add code to their tables; with ``given``, to those alone that this transaction gave them.
    """
    cursor.execute(_ELSEWHERE, {**_places(roles, declared), "given": given})
    return tuple((owner, Grant(kind, tuple(path), *rest)) for owner, kind, path, *rest in cursor.fetchall())


def _places(roles: Iterable[str], declared: Iterable[str] | None) -> dict:
    """``declared`` are the schemas that pillar names in a database, and None where it names no database."""
    return {"roles": list(roles), "declared": list(declared or ()), "is_declared": declared is not None}


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
    if given := _all(cursor, _GIVEN, {"trusted": [role.name, role.reassign_to]}):
        raise ClusterError(
            f"role {role.name!r} owns {listed(given)}, which would run with the rights of "
            f"{role.reassign_to!r}; drop it or end the session that has it, and run this again"
        )


def insist_that_nobody_adds_code(cursor, role: Role, declared: Iterable[str] | None) -> None:
    """To the tables that this transaction gave to an heir. Nobody else can grant it before its end."""
    rights = rights_elsewhere(cursor, [role.reassign_to], declared, given=True)
    for one in (one for owner, one in rights if owner == role.reassign_to):
        raise ClusterError(
            f"{one.grantee!r} was granted {one.privilege} on table {'.'.join(one.path[:2])} of "
            f"{role.name!r} meanwhile, and could run code with the rights of {role.reassign_to!r}; "
            "run this again"
        )


def take_back(cursor, role: str) -> None:
    """What DROP OWNED leaves to a role: what the role granted to itself.

    A hosted admin revokes in the name of any role that may grant, which may have granted nothing.
    """
    for grantor, kind, path, _, privilege in _all_rows(cursor, _TAKEN_BACK, [role]):
        columns = SQL(" ({})").format(Identifier(path[2])) if kind == "column" else SQL("")
        named = sql.object_of(tuple(path[:2] if kind == "column" else path))
        what = SQL("TABLE " if kind == "column" else f"{kind.upper()} ") + named
        revoke = SQL("REVOKE {}{} ON {} FROM {} CASCADE").format(
            SQL(privilege), columns, what, Identifier(role)
        )
        for statement in sql.acting_as(grantor, revoke):
            cursor.execute(statement)


def _without_temporary(cursor, role: str) -> list[Composable]:
    cursor.execute(_TEMPORARY, {"trusted": [role]})
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


def _all(cursor, query: str | Composable, arguments: list | dict) -> list[str]:
    cursor.execute(query, arguments)
    return [what for (what,) in cursor.fetchall()]
