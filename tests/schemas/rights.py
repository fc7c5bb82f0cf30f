"""Every right of every object, asked of the server by its own functions, and who owns what.

What is expected stands here once more, on purpose: the tests of real schemas must not believe the code.
"""

import json

# kind, privilege, the levels that have it; whoever owns the database has all of them, and may pass them on
EXPECTED = """
    ('database', 'CONNECT', '{read,write,owner}'),
    ('database', 'CREATE', '{owner}'),
    ('database', 'TEMPORARY', '{owner}'),
    ('schema', 'USAGE', '{read,write,owner}'),
    ('schema', 'CREATE', '{owner}'),
    ('table', 'SELECT', '{read,write,owner}'),
    ('table', 'INSERT', '{write,owner}'),
    ('table', 'UPDATE', '{write,owner}'),
    ('table', 'DELETE', '{write,owner}'),
    ('table', 'TRUNCATE', '{owner}'),
    ('table', 'REFERENCES', '{owner}'),
    ('table', 'TRIGGER', '{owner}'),
    ('columns', 'SELECT', '{read,write,owner}'),
    ('columns', 'INSERT', '{write,owner}'),
    ('columns', 'UPDATE', '{write,owner}'),
    ('columns', 'REFERENCES', '{owner}'),
    ('sequence', 'SELECT', '{read,write,owner}'),
    ('sequence', 'USAGE', '{write,owner}'),
    ('sequence', 'UPDATE', '{owner}'),
    ('routine', 'EXECUTE', '{read,write,owner}')"""

OWNED = """
    select 'database' as kind, 'pg_database'::regclass as catalog, oid, datname::text as name,
           datdba as owner
    from pg_database where datname = current_database()
    union all
    select 'schema', 'pg_namespace'::regclass, oid, nspname, nspowner
    from pg_namespace where nspname !~ '^pg_' and nspname <> 'information_schema'
    union all
    select case when relkind = 'S' then 'sequence' else 'table' end, 'pg_class'::regclass, oid,
           oid::regclass::text, relowner
    from pg_class where relkind in ('r', 'p', 'v', 'm', 'f', 'S')
    union all
    select 'routine', 'pg_proc'::regclass, oid, oid::regprocedure::text, proowner from pg_proc
    union all
    select 'type', 'pg_type'::regclass, oid, oid::regtype::text, typowner from pg_type where typelem = 0
    union all
    select 'collation', 'pg_collation'::regclass, oid, collname, collowner from pg_collation
    union all
    select 'conversion', 'pg_conversion'::regclass, oid, conname, conowner from pg_conversion
    union all
    select 'operator', 'pg_operator'::regclass, oid, oid::regoperator::text, oprowner from pg_operator
    union all
    select 'operator class', 'pg_opclass'::regclass, oid, opcname, opcowner from pg_opclass
    union all
    select 'operator family', 'pg_opfamily'::regclass, oid, opfname, opfowner from pg_opfamily
    union all
    select 'statistics', 'pg_statistic_ext'::regclass, oid, stxname, stxowner from pg_statistic_ext
    union all
    select 'dictionary', 'pg_ts_dict'::regclass, oid, dictname, dictowner from pg_ts_dict
    union all
    select 'configuration', 'pg_ts_config'::regclass, oid, cfgname, cfgowner from pg_ts_config
    union all
    select 'large object', 'pg_largeobject'::regclass, oid, oid::text, lomowner
    from pg_largeobject_metadata"""

# What initdb made has a number below 16384, and what belongs to an extension is the extension's business.
# The functions that come with a range type always belong to the superuser that initdb made.
THINGS = f"""
    things as (
        select o.* from ({OWNED}) o
        where (o.oid >= 16384 or o.kind in ('database', 'schema', 'large object')) and not exists (
            select from pg_depend d where d.classid = o.catalog and d.objid = o.oid
            and (d.deptype = 'e' or d.deptype = 'i' and o.kind in ('routine', 'type'))))"""

# Before PostgreSQL 15, public belongs to the superuser in every new database, and stays there
PUBLIC_OF_THE_SUPERUSER = """
    (t.kind = 'schema' and t.name = 'public' and t.owner = 10
     and current_setting('server_version_num')::int < 150000)"""

# How the server is asked about each kind
HAS = """
    case t.kind when 'database' then has_database_privilege(r.role, t.oid, e.privilege || o.option)
                when 'schema' then has_schema_privilege(r.role, t.oid, e.privilege || o.option)
                when 'sequence' then has_sequence_privilege(r.role, t.oid, e.privilege || o.option)
                when 'routine' then has_function_privilege(r.role, t.oid, e.privilege || o.option)
                else case e.kind
                    when 'columns' then has_any_column_privilege(r.role, t.oid, e.privilege || o.option)
                    else has_table_privilege(r.role, t.oid, e.privilege || o.option) end end"""

ANSWERS = f"""
    with {THINGS},
    expected(kind, privilege, levels) as (values {EXPECTED}),
    options(option, levels) as (
        values ('', '{{read,write,owner}}'), (' WITH GRANT OPTION', '{{owner}}')),
    roles(role, level) as (select key, value from json_each_text(%(levels)s))
    select r.role, t.kind, t.name, e.privilege || o.option as privilege, {HAS} as has,
           r.level = any (e.levels::text[]) and r.level = any (o.levels::text[])
           and not (o.option <> '' and {PUBLIC_OF_THE_SUPERUSER}) as wanted
    from things t join expected e on e.kind = t.kind or (e.kind, t.kind) = ('columns', 'table'),
         options o, roles r
    where not (t.kind = 'routine' and r.level = 'none')  /* PUBLIC's, and of no use without the schema */"""

WRONG = f"""
    with answers as materialized ({ANSWERS})
    select (select count(*) from answers),
           coalesce((select json_agg(json_build_array(
               role, case when has then 'has' else 'lacks' end, privilege, kind, name)
               order by role, kind, name, privilege)
               from answers where has is distinct from wanted), '[]')"""

OF_OTHERS = f"""
    with {THINGS} select kind, name, pg_get_userbyid(owner) from things t
    where pg_get_userbyid(owner) not in (%(owner)s, 'pg_database_owner')
    and not {PUBLIC_OF_THE_SUPERUSER} order by 1, 2"""

ASKED = {}  # database by database, how many rights were asked about: said at the end of the tests


def wrong(cluster, database, levels, called):
    """The rights that roles have or lack, other than by their ``levels``: role to level, or ``none``."""
    ((asked, found),) = cluster.query(WRONG, {"levels": json.dumps(levels)}, dbname=database)
    assert asked > 100  # or nobody would notice that nothing was looked at
    ASKED[called] = asked
    return found


def of_others(cluster, database, owner):
    """What does not belong to ``owner``."""
    return cluster.query(OF_OTHERS, {"owner": owner}, dbname=database)
