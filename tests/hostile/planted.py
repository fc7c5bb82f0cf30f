"""What an owner can leave in its database, as SQL: traps of every kind, and one object of each kind.

All traps call ``public.trap``, ``trap_trigger`` or ``trap_text`` of ``scene.trap``.
"""

# Functions, operators and types that fit what pgpillar asks better than the server's own do
SHADOWS = """;
    create function public.pg_get_userbyid(oid) returns name language plpgsql as
        $do$ begin perform public.trap(); return 'mallory'; end $do$;
    create function public.aclexplode(aclitem[], out grantor oid, out grantee oid, out privilege_type text,
        out is_grantable boolean) returns setof record language plpgsql as
        $do$ begin perform public.trap(); end $do$;
    create function public.acldefault("char", oid) returns aclitem[] language plpgsql as
        $do$ begin perform public.trap(); return null; end $do$;
    create function public.current_setting(text) returns text language plpgsql as
        $do$ begin perform public.trap(); return 'off'; end $do$;
    create function public.set_config(text, text, boolean) returns text language plpgsql as
        $do$ begin perform public.trap(); return 'off'; end $do$;
    create function public.oidvectortypes(oidvector) returns text language plpgsql as
        $do$ begin perform public.trap(); return ''; end $do$;
    create function public.pg_try_advisory_lock(int, int) returns boolean language plpgsql as
        $do$ begin perform public.trap(); return true; end $do$;
    create function public.pg_backend_pid() returns int language plpgsql as
        $do$ begin perform public.trap(); return 1; end $do$;
    create function public.shadow(name, text) returns boolean language plpgsql as
        $do$ begin perform public.trap(); return true; end $do$;
    create function public.shadow(name, name) returns boolean language plpgsql as
        $do$ begin perform public.trap(); return true; end $do$;
    create function public.shadow(text, text) returns boolean language plpgsql as
        $do$ begin perform public.trap(); return true; end $do$;
    create function public.shadow(oid, oid) returns boolean language plpgsql as
        $do$ begin perform public.trap(); return true; end $do$;
    create function public.shadow("char", "char") returns boolean language plpgsql as
        $do$ begin perform public.trap(); return true; end $do$;
    create operator public.= (leftarg = name, rightarg = name, function = public.shadow);
    create operator public.= (leftarg = name, rightarg = text, function = public.shadow);
    create operator public.= (leftarg = text, rightarg = text, function = public.shadow);
    create operator public.= (leftarg = oid, rightarg = oid, function = public.shadow);
    create operator public.= (leftarg = "char", rightarg = "char", function = public.shadow);
    create operator public.<> (leftarg = name, rightarg = name, function = public.shadow);
    create operator public.<> (leftarg = oid, rightarg = oid, function = public.shadow);
    create operator public.!~ (leftarg = name, rightarg = text, function = public.shadow);
    create domain public.text as pg_catalog.text check (public.trap() or true);
    create domain public.bool as pg_catalog.bool check (public.trap() or true)"""

HOSTILE = {
    "triggers": """;
        create table triggered (id int); insert into triggered values (1);
        create trigger one after insert or update or delete or truncate on triggered
            for each statement execute function trap_trigger();
        create constraint trigger two after insert or update on triggered deferrable initially deferred
            for each row execute function trap_trigger()""",
    "an index expression": """;
        create table indexed (id int); create index on indexed (trap_text(id));
        create index on indexed (id) where trap_text(id) is not null;
        insert into indexed values (1), (2)""",
    "generated and default values": """;
        create table generated (id int default length(trap_text(1)),
            more text generated always as (trap_text(id)) stored);
        insert into generated values (1); insert into generated default values""",
    "constraints": """;
        create domain checked as int check (trap_text(value) = 'trapped');
        create table constrained (id int check (trap_text(id) = 'trapped'), one checked);
        insert into constrained values (1, 1);
        alter table constrained add constraint later check (trap_text(id) = 'trapped') not valid""",
    "a materialized view": """;
        create materialized view material as select trap_text(1) as one;
        create index on material (trap_text(one))""",
    "views and rules": """;
        create table ruled (id int); insert into ruled values (1);
        create rule aside as on insert to ruled do also select trap();
        create view seen as select trap() as one, id from ruled;
        create trigger into_view instead of insert on seen for each row execute function trap_trigger()""",
    "row security": """;
        create table secured (id int); insert into secured values (1);
        alter table secured enable row level security; alter table secured force row level security;
        create policy one on secured using (trap()) with check (trap())""",
    "a range with functions": """;
        create function apart(int, int) returns float8 language plpgsql immutable as
            $do$ begin perform trap(); return 1; end $do$;
        create type distance as range (subtype = int, subtype_diff = apart);
        create table ranges (one distance); insert into ranges values ('[1,2)');
        create index on ranges using gist (one)""",
    "casts and operators of its own types": """;
        create type own as (one int);
        create function own_text(own) returns text language plpgsql immutable as
            $do$ begin perform trap(); return ''; end $do$;
        create cast (own as text) with function own_text(own) as implicit;
        create function own_equal(own, own) returns boolean language plpgsql immutable as
            $do$ begin return trap(); end $do$;
        create operator === (leftarg = own, rightarg = own, function = own_equal);
        create aggregate gathered(int) (sfunc = int4pl, stype = int, initcond = '0');
        create table owns (one own default row(1)); insert into owns default values""",
    "partitions": """;
        create table parted (id int, what text) partition by hash (trap_text(id));
        create table part0 partition of parted for values with (modulus 1, remainder 0);
        insert into parted values (1, 'tea')""",
    "routines with defaults": """;
        create function defaulted(a boolean default trap(), b text default trap_text(1)) returns boolean
            language sql security definer as 'select trap()';
        create procedure done() language sql security definer as 'select trap()'""",
    "relations named like catalogs": """;
        create view public.pg_class as select * from pg_catalog.pg_class where trap();
        create view public.pg_proc as select * from pg_catalog.pg_proc where trap();
        create view public.pg_namespace as select * from pg_catalog.pg_namespace where trap();
        create view public.pg_roles as select * from pg_catalog.pg_roles where trap()""",
    "shadows": SHADOWS,
    "a path through its schema": "alter database shop set search_path = public, pg_catalog",
}

# One object of each kind that can have an owner. A schema that pillar does not name stays its owner's.
KINDS = {
    "collation": ['create collation mine (locale = "C")'],
    "conversion": ["create conversion mine for 'LATIN1' to 'UTF8' from pg_catalog.iso8859_1_to_utf8"],
    "text search configuration": ["create text search configuration mine (copy = pg_catalog.english)"],
    "text search dictionary": ["create text search dictionary mine (template = pg_catalog.simple)"],
    "operator": [
        "create function f(int, int) returns boolean language sql as 'select true'",
        "create operator ~~~ (leftarg = int, rightarg = int, function = f)",
    ],
    "statistics": ["create table orders (a int, b int)", "create statistics mine on a, b from orders"],
    "publication": ["create table orders (id int primary key)", "create publication mine for table orders"],
    "large object": ["select lo_create(4711)"],
    "composite type": ["create type mine as (one int)", "create cast (mine as text) with inout"],
    "enum": ["create type mine as enum ('a')"],
    "domain": ["create domain mine as int"],
    "aggregate": ["create aggregate mine(int) (sfunc = int4pl, stype = int, initcond = '0')"],
    "routines": [
        "create function mine(int) returns int language sql as 'select 1'",
        "create procedure done(int) language sql as 'select 1'",
    ],
    "view": ["create view mine as select 1 as one"],
    "materialized view": ["create materialized view mine as select 1 as one"],
    "sequence": ["create sequence mine", "create table orders (id bigint default nextval('mine'))"],
    "partitioned table": [
        "create table mine (id int primary key) partition by range (id)",
        "create table mine_1 partition of mine for values from (1) to (9)",
    ],
    "default privileges": ["alter default privileges grant all on tables to app"],
    "policy": ["create table mine (id int)", "create policy one on mine to app using (true)"],
}
