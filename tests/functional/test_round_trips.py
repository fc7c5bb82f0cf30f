"""Whatever was there before, a server becomes what pillar says, and healing finds every drift.

Declared states and drifts are drawn by hypothesis: the same ones in every run, or, with EXAMPLES=300 in the
environment, that many new ones.
"""

import os
from contextlib import closing, suppress
from dataclasses import replace
from datetime import datetime, timedelta, timezone

import pytest
from hypothesis import HealthCheck, Phase, assume, given, settings
from hypothesis import strategies as st
from psycopg2 import errors
from psycopg2.sql import SQL, Identifier

from pgpillar import connect, observe
from pgpillar.model import PUBLIC, Secret
from pgpillar.pillar import PillarError
from tests.functional.conftest import wipe

pytestmark = pytest.mark.first_and_last_major

EXAMPLES = os.environ.get("EXAMPLES")
drawn = settings(
    max_examples=int(EXAMPLES or 12),
    derandomize=not EXAMPLES,
    deadline=None,
    database=None,
    phases=[Phase.generate],  # to shrink what fails would take minutes
    suppress_health_check=list(HealthCheck),
)

STRANGER = "stranger"

# What is declared

NASTY = [
    '"',
    "'",
    "\\",
    "%s",
    "%(x)s",
    "{}",
    "a b",
    "a-b",
    "SELECT",
    "user",
    "1st",
    "Übung",
    "😀",
    "e\u0301",
    "a\nb",
    "$$",
]
names = st.one_of(st.sampled_from(NASTY), st.text("aZ9_ -.\"'\\%:;$/{}()@é\t", min_size=1, max_size=9))
moments = st.datetimes(
    datetime(2020, 1, 1), datetime(2040, 1, 1), timezones=st.just(timezone(timedelta(hours=2)))
)
role_settings = st.fixed_dictionaries(
    {},
    optional={
        "search_path": st.lists(names, max_size=3),
        "work_mem": st.sampled_from(["5MB", "6MB"]),
        "app.note": names,
        "jit": st.booleans(),
    },
)
limits = st.integers(-1, 3)
levels = st.sampled_from(["read", "write", "owner"])


@st.composite
def worlds(draw):
    """The names that two declared states choose from."""
    roles = draw(
        st.lists(names.filter(lambda n: n not in ("public", "none")), min_size=5, max_size=5, unique=True)
    )
    return {
        "users": roles[:3],
        "groups": roles[3:],
        "databases": draw(st.lists(names, min_size=2, max_size=2, unique=True)),
        "schemas": draw(st.lists(names, min_size=2, max_size=2, unique=True)),
    }


@st.composite
def trees(draw, world):
    """What stands under databases, users and groups."""
    users = {name: draw(_user(world)) for name in _some(draw, world["users"], least=1)}
    groups = {name: {"settings": draw(role_settings)} for name in _some(draw, world["groups"])}
    for entry in users.values():
        entry["groups"] = _some(draw, list(groups))
    roles = [*users, *groups]
    databases = {name: draw(_database(world, roles)) for name in _some(draw, world["databases"])}
    return {"users": users, "groups": groups, "databases": databases}


def _some(draw, things, least=0):
    return draw(st.lists(st.sampled_from(things), min_size=least, unique=True)) if things else []


@st.composite
def _user(draw, world):
    return draw(
        st.fixed_dictionaries(
            {"password": st.sampled_from(["first password", "second: %s'\\"]), "settings": role_settings},
            optional={
                "connection_limit": limits,
                "valid_until": moments.map(datetime.isoformat),
                "attributes": st.lists(st.sampled_from(["createdb", "createrole"]), unique=True),
            },
        )
    )


@st.composite
def _database(draw, world, roles):
    role = st.sampled_from(roles)
    access = st.dictionaries(role, levels, max_size=3)
    schemas = st.dictionaries(
        st.sampled_from(world["schemas"]),
        st.fixed_dictionaries({"access": access}, optional={"owner": role}),
    )
    return draw(
        st.fixed_dictionaries(
            {"owner": role, "access": access, "schemas": schemas, "settings": role_settings},
            optional={"connection_limit": limits, "extensions": st.just(["citext"])},
        )
    )


# The server


def declared(lasting, tree):
    """The model, where pillar would be accepted."""
    try:
        return lasting.declared(**tree)
    except PillarError:
        assume(False)


def settle(lasting, tree):
    """Converge, see that nothing is left to do, and return what is there of what the tree names."""
    lasting.converge(**tree)
    assert lasting.converge(**tree) == {}
    return look(lasting, tree)


# The same in another way, so that what the engine does not see is seen
ACLS = """
    with things (kind, schema, name, owner, acl) as (
        select 'database', null::name, '', null::oid, coalesce(datacl, acldefault('d', datdba))
        from pg_database where datname = current_database()
        union all select 'schema', nspname, '', null, coalesce(nspacl, acldefault('n', nspowner))
        from pg_namespace
        union all select 'relation', nspname, relname, relowner, relacl
        from pg_class join pg_namespace n on n.oid = relnamespace
        union all select 'column', nspname, relname || '.' || attname, relowner, attacl
        from pg_attribute join pg_class c on c.oid = attrelid join pg_namespace n on n.oid = relnamespace
        union all select 'routine', nspname, proname, proowner, proacl
        from pg_proc join pg_namespace n on n.oid = pronamespace
        union all select 'default ' || defaclobjtype::text, nspname, pg_get_userbyid(defaclrole), defaclrole,
               defaclacl
        from pg_default_acl left join pg_namespace n on n.oid = defaclnamespace
    )
    select kind, schema, name, grantee, privilege_type, is_grantable, grantor
    from things, lateral (
        select case grantee when 0 then 'public' else pg_get_userbyid(grantee) end as grantee,
               pg_get_userbyid(grantor) as grantor, privilege_type, is_grantable
        from aclexplode(acl) where grantee is distinct from owner
    ) a
    where (schema is null or schema::text = any (%s)) and grantee = any (%s)
      and not (grantee = 'public' and (privilege_type = 'EXECUTE' or kind = 'default T'))"""


def look(lasting, tree):
    """What the server holds, without what ``tree`` does not name."""
    wanted = lasting.declared(**tree)
    with connect.gateway(wanted.endpoint) as gateway:
        current = observe.read(gateway, wanted.cluster).current
    roles = {name: current.roles[name] for name in wanted.cluster.roles}
    return {
        "roles": {name: replace(role, password=_known(role.password)) for name, role in roles.items()},
        "memberships": {join for join in current.memberships if join.member in roles},
        "databases": {
            name: _named(current.databases[name], database, {*roles, PUBLIC})
            for name, database in wanted.cluster.databases.items()
        },
        "acls": {
            name: set(lasting.query(ACLS, [[*database.schemas], [*roles, PUBLIC]], dbname=name))
            for name, database in wanted.cluster.databases.items()
        },
    }


def _known(password):
    """The password that fits. What a group has, whose login is shut, is nobody's business."""
    return password.reveal() if isinstance(password, Secret) else None


def _named(now, wanted, roles):
    return replace(
        now,
        schemas={name: schema for name, schema in now.schemas.items() if name in wanted.schemas},
        extensions={name: replace(now.extensions[name], schema=None) for name in wanted.extensions},
        role_settings=frozenset(setting for setting in now.role_settings if setting[0] in roles),
        grants=frozenset(grant for grant in now.grants if grant.grantee in roles and not _harmless(grant)),
        default_grants=frozenset(g for g in now.default_grants if g.grantee in roles and not _harmless(g)),
        objects=frozenset(now.objects),
    )


def _harmless(grant):
    """PostgreSQL gives these to PUBLIC; they are of no use without USAGE."""
    return grant.grantee == PUBLIC and grant.kind in ("routine", "type")


OBJECTS = (
    "create table if not exists {}.things (id serial, what text)",
    "create or replace view {}.seen as select 1 as one",
    "create or replace function {}.\"f x\"(int, text default '%') returns int language sql as 'select 1'",
    'create sequence if not exists {}."seq 1"',
)


def populate(lasting, tree):
    """Let the owner of each declared schema create objects there."""
    for name, database in lasting.declared(**tree).cluster.databases.items():
        with closing(lasting.server.connect(dbname=name)) as session, session.cursor() as cursor:
            for schema in database.schemas.values():
                cursor.execute(SQL("set role {}").format(Identifier(schema.owner or database.owner)))
                for statement in OBJECTS:
                    cursor.execute(SQL(statement).format(Identifier(schema.name)))
            session.commit()


@drawn
@given(st.data())
def test_what_was_there_before_makes_no_difference(lasting, data):
    world = data.draw(worlds())
    before, after = data.draw(trees(world), label="before"), data.draw(trees(world), label="after")
    declared(lasting, before), declared(lasting, after)
    wipe(lasting.server)
    settle(lasting, after)
    populate(lasting, after)
    new = settle(lasting, after)
    wipe(lasting.server)
    settle(lasting, before)
    populate(lasting, before)
    assert lasting.converge(**before) == {}, "default privileges gave what is needed"
    settle(lasting, after)
    populate(lasting, after)
    assert settle(lasting, after) == new


# Drift: what people do by hand

PRIVILEGES = {
    "DATABASE {database}": ["CONNECT", "TEMPORARY", "CREATE", "ALL"],
    "SCHEMA {schema}": ["USAGE", "CREATE", "ALL"],
    "TABLE {schema}.things": ["SELECT", "INSERT", "UPDATE", "TRUNCATE", "SELECT (what)", "ALL (id)", "ALL"],
    "ALL TABLES IN SCHEMA {schema}": ["SELECT", "DELETE", "ALL"],
    'SEQUENCE {schema}."seq 1"': ["USAGE", "SELECT", "UPDATE", "ALL"],
    'FUNCTION {schema}."f x"(int, text)': ["EXECUTE"],
}  # fmt: skip
DEFAULTS = {
    "TABLES": ["SELECT", "INSERT", "TRUNCATE", "ALL"],
    "SEQUENCES": ["USAGE", "UPDATE", "ALL"],
    "FUNCTIONS": ["EXECUTE"],
    "SCHEMAS": ["USAGE"],
}
ON_ROLES = [
    "ALTER ROLE {role} NOLOGIN",
    "ALTER ROLE {role} LOGIN SUPERUSER",
    "ALTER ROLE {role} NOINHERIT CREATEDB CONNECTION LIMIT 1",
    "ALTER ROLE {role} PASSWORD 'by hand' VALID UNTIL '2030-01-01'",
    "ALTER ROLE {role} PASSWORD NULL",
    "ALTER ROLE {role} SET work_mem TO '7MB'",
    "ALTER ROLE {role} RESET ALL",
    "ALTER ROLE {role} IN DATABASE {database} SET role TO {other}",
    "GRANT {role} TO {other}",
    "GRANT {role} TO {other} WITH ADMIN OPTION",
    "GRANT pg_monitor TO {role}",
    "REVOKE {role} FROM {other}",
    "ALTER DATABASE {database} CONNECTION LIMIT 5",
    "ALTER DATABASE {database} SET work_mem TO '7MB'",
    "ALTER DATABASE {database} RESET ALL",
]


@st.composite
def drifts(draw, database, roles):
    """One statement, or two where a role first becomes somebody who may pass a right on."""
    role = st.sampled_from([*roles, STRANGER])
    names = {
        "database": Identifier(database.name),
        "schema": Identifier(draw(st.sampled_from(sorted(database.schemas)))),
        "role": Identifier(draw(role)),
        "other": Identifier(draw(role)),
    }
    kind = draw(st.sampled_from([_on_objects, _on_objects, _passed_on, _on_defaults, _on_roles]))
    return [SQL(statement).format(**names) for statement in draw(kind())]


@st.composite
def _on_objects(draw, to=("{role}", "PUBLIC")):
    thing = draw(st.sampled_from(sorted(PRIVILEGES)))
    return [draw(_given_or_taken(PRIVILEGES[thing], thing, to))]


@st.composite
def _given_or_taken(draw, privileges, thing, to=("{role}", "PUBLIC")):
    privilege, whom = draw(st.sampled_from(privileges)), draw(st.sampled_from(to))
    if draw(st.booleans()):
        return f"REVOKE {privilege} ON {thing} FROM {whom}"
    option = " WITH GRANT OPTION" if whom != "PUBLIC" and draw(st.booleans()) else ""
    return f"GRANT {privilege} ON {thing} TO {whom}{option}"


@st.composite
def _passed_on(draw):
    thing = draw(st.sampled_from(sorted(PRIVILEGES)))
    grant = f"GRANT {draw(st.sampled_from(PRIVILEGES[thing]))} ON {thing} TO "
    option = draw(st.sampled_from(["", " WITH GRANT OPTION"]))
    return [grant + "{role} WITH GRANT OPTION", "SET ROLE {role}", grant + "{other}" + option, "RESET ROLE"]


@st.composite
def _on_defaults(draw):
    thing = draw(st.sampled_from(sorted(DEFAULTS)))
    where = "" if thing == "SCHEMAS" else draw(st.sampled_from(["", " IN SCHEMA {schema}"]))
    what = draw(_given_or_taken(DEFAULTS[thing], thing, ("{other}", "PUBLIC")))
    return ["ALTER DEFAULT PRIVILEGES FOR ROLE {role}" + where + " " + what]


def _on_roles():
    return st.sampled_from(ON_ROLES).map(lambda statement: [statement])


def drift(lasting, database, statements):
    """Run what the server takes; what it refuses is no drift."""
    with closing(lasting.server.connect(dbname=database)) as session, session.cursor() as cursor:
        session.autocommit = True
        for statement in statements:
            with suppress(errors.Error):
                cursor.execute(statement)


@drawn
@given(st.data())
def test_every_drift_is_healed(lasting, data):
    world = data.draw(worlds())
    tree = data.draw(trees(world), label="tree")
    databases = declared(lasting, tree).cluster.databases
    assume(databases)
    wipe(lasting.server)
    lasting.query(SQL("create role {}").format(Identifier(STRANGER)))
    settle(lasting, tree)
    populate(lasting, tree)
    healthy = settle(lasting, tree)
    for name, database in databases.items():
        for statements in data.draw(st.lists(drifts(database, sorted(healthy["roles"])), max_size=12)):
            drift(lasting, name, statements)
    assert settle(lasting, tree) == healthy


SHOP = {"databases": {"shop": {"owner": "shop", "access": {"app": "write"}}}}
SHOP |= {"users": {name: {"password": "secret"} for name in ("shop", "app", "other")}}
PASSED_ON_BY_THE_OWNER = [
    "GRANT USAGE ON SCHEMA public TO shop WITH GRANT OPTION",
    "SET ROLE shop",
    "GRANT USAGE ON SCHEMA public TO app, other, shop",
    "RESET ROLE",
]
ORPHANED = [
    *PASSED_ON_BY_THE_OWNER,
    "REVOKE ALL ON SCHEMA public FROM shop",
    "GRANT shop TO stranger",
    "GRANT USAGE ON SCHEMA public TO stranger WITH GRANT OPTION",
    "SET ROLE stranger",
    "GRANT USAGE ON SCHEMA public TO app",
    "RESET ROLE",
    "REVOKE ALL ON SCHEMA public FROM stranger",
]


@pytest.mark.parametrize("statements", [PASSED_ON_BY_THE_OWNER, ORPHANED], ids=["passed on", "orphaned"])
def test_what_does_not_fall_in_a_cascade_is_healed(lasting, statements):
    """In PostgreSQL's eyes the owner's members never lose the right to pass things on."""
    wipe(lasting.server)
    lasting.query("create role stranger")
    acl = "select nspacl::text from pg_namespace where nspname = 'public'"
    healthy = settle(lasting, SHOP), lasting.query(acl, dbname="shop")
    drift(lasting, "shop", statements)
    assert lasting.query(acl, dbname="shop") != healthy[1]
    lasting.settle(**SHOP)
    assert (look(lasting, SHOP), lasting.query(acl, dbname="shop")) == healthy
