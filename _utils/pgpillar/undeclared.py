"""The rights that pillar has no word for: on what is of the server or of an extension, and on other kinds."""

from __future__ import annotations

from typing import NamedTuple

GRANTEE = "case when a.grantee = 0 then 'public' else pg_get_userbyid(a.grantee) end"


class _Kind(NamedTuple):
    """Where the catalogs have the names, owners and rights of one kind of thing."""

    letter: str  # what acldefault calls it
    name: str
    owner: str
    acl: str
    source: str  # from which catalog on
    thing: str  # as pg_init_privs has it: catalog, object, column


# The script of an extension makes its things as a superuser, or as the admin. Others may add theirs to it by
# ALTER EXTENSION, and such a thing is as any other.
OF_A_SCRIPT = """exists (
    select from pg_catalog.pg_roles maker where maker.oid = {owner}
    and (maker.rolsuper or maker.rolname = current_user))"""


def _beyond(catalog: str, identity: str, schema: str, owner: str) -> str:
    """What of a catalog is of the server itself or of an extension."""
    return f"""join pg_catalog.pg_namespace n on n.oid = {schema} where n.nspname in ({_SYSTEM}) or exists (
        select from pg_catalog.pg_depend d where d.classid = 'pg_catalog.{catalog}'::regclass
        and d.objid = {identity} and d.deptype = 'e' and {OF_A_SCRIPT.format(owner=owner)})"""


def _thing(catalog: str, identity: str = "o.oid", column: str = "0") -> str:
    return f"'pg_catalog.{catalog}'::regclass, {identity}, {column}"


_SYSTEM = "'pg_catalog', 'information_schema', 'pg_toast'"
_RELATIONS = f"pg_class o {_beyond('pg_class', 'o.oid', 'relnamespace', 'relowner')}"
_COLUMNS = f"""pg_attribute t join pg_catalog.pg_class o on o.oid = attrelid
    {_beyond("pg_class", "o.oid", "relnamespace", "relowner")}"""

_IN_A_DATABASE = {
    "schema": _Kind(
        *("n", "nspname", "nspowner", "nspacl", f"pg_namespace o where nspname in ({_SYSTEM})"),
        _thing("pg_namespace"),
    ),
    "table": _Kind(
        *("r", "nspname, relname", "relowner", "case when relkind <> 'S' then relacl end", _RELATIONS),
        _thing("pg_class"),
    ),
    "sequence": _Kind(
        *("s", "nspname, relname", "relowner", "case when relkind = 'S' then relacl end", _RELATIONS),
        _thing("pg_class"),
    ),
    "column": _Kind(
        *("c", "nspname, relname, attname", "relowner", "attacl", _COLUMNS),
        _thing("pg_class", "attrelid", "attnum"),
    ),
    "routine": _Kind(
        *("f", "nspname, proname::text, oidvectortypes(proargtypes)", "proowner", "proacl"),
        f"pg_proc o {_beyond('pg_proc', 'o.oid', 'pronamespace', 'proowner')}",
        _thing("pg_proc"),
    ),
    "type": _Kind(
        *("T", "nspname, typname", "typowner", "typacl"),
        "pg_type o join pg_catalog.pg_namespace n on n.oid = typnamespace",
        _thing("pg_type"),
    ),
    "language": _Kind("l", "lanname", "lanowner", "lanacl", "pg_language o", _thing("pg_language")),
    "foreign data wrapper": _Kind(
        *("F", "fdwname", "fdwowner", "fdwacl", "pg_foreign_data_wrapper o"),
        _thing("pg_foreign_data_wrapper"),
    ),
    "foreign server": _Kind(
        *("S", "srvname", "srvowner", "srvacl", "pg_foreign_server o"), _thing("pg_foreign_server")
    ),
    "large object": _Kind(
        *("L", "o.oid", "lomowner", "lomacl", "pg_largeobject_metadata o"), _thing("pg_largeobject")
    ),
}
_SHARED = {
    "tablespace": _Kind("t", "spcname", "spcowner", "spcacl", "pg_tablespace o", _thing("pg_tablespace"))
}
_PARAMETERS = {
    "parameter": _Kind("p", "parname", "10", "paracl", "pg_parameter_acl o", _thing("pg_parameter_acl"))
}


def in_a_database() -> str:
    return _rights(_IN_A_DATABASE)


def in_a_cluster(version: int) -> str:
    return _rights({**_SHARED, **(_PARAMETERS if version >= 150000 else {})})


# To PUBLIC initdb gives these after it has noted what rights there are
_PUBLIC_ANYWAY = (
    "a.grantee = 0 and t.path[1] = 'information_schema' and a.privilege_type in ('SELECT', 'USAGE')"
)


def _rights(kinds: dict[str, _Kind]) -> str:
    """What others than its owner may do with a thing, beyond what it was made with."""
    things = " union all ".join(
        f"""select '{kind}' as kind, array[{of.name}]::text[] as path, {of.owner} as owner, {of.acl} as acl,
            coalesce((select initprivs from pg_catalog.pg_init_privs
                      where (classoid, objoid, objsubid) = ({of.thing})),
                     acldefault('{of.letter}', {of.owner})) as born
        from pg_catalog.{of.source}"""
        for kind, of in kinds.items()
    )
    return f"""
        select t.kind, t.path, a.privilege_type as privilege, {GRANTEE} as grantee,
               a.is_grantable as grantable, '' as grantor
        from ({things}) t, aclexplode(t.acl) a
        where t.acl <> t.born and a.grantee <> t.owner and not ({_PUBLIC_ANYWAY}) and not exists (
            select from aclexplode(t.born) b where b.grantee = a.grantee
            and b.privilege_type = a.privilege_type and b.is_grantable >= a.is_grantable)"""
