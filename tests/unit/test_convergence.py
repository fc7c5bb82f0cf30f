"""Plans for clusters that hypothesis thinks of: they lead where they say, and then there is nothing to do."""

from dataclasses import replace

import paper
import worlds
from hypothesis import assume, given
from hypothesis import strategies as st

from pgpillar import refusals, sql, text
from pgpillar.model import (
    ABSENT,
    NO_SCHEMA,
    PRESENT,
    PUBLIC,
    QUARANTINED,
    Database,
    DefaultGrant,
    Grant,
    Membership,
    Object,
    Role,
    Schema,
    Server,
)
from pgpillar.plan import plan

USERS, GROUPS = ["ana", "ben", "it's", "Cy-d"], ["team", "readers"]
ROLES = USERS + GROUPS
DATABASES, SCHEMAS = ["shop", 'wi"ki'], ["app", "public", "Re ports"]
EXTENSIONS = {"citext": ("1.6", "1.5", "1.6"), "hstore": ("1.8", "1.8")}


def some(names, values):
    return st.dictionaries(st.sampled_from(names), values, max_size=2)


LEVELS = st.sampled_from(["read", "write", "owner"])
SETTINGS = some(["search_path", "work_mem", "jit"], st.sampled_from(["a, b", "64MB", False, ["x", "$user"]]))
BOTH = {"settings": SETTINGS, "access": some(DATABASES, LEVELS | some(SCHEMAS, LEVELS))}
USER = st.fixed_dictionaries(
    {"password": st.sampled_from(["pw-one", "pw-two"])},
    optional={
        **BOTH,
        "groups": st.lists(st.sampled_from([*GROUPS, "pg_monitor"]), max_size=2),
        "attributes": st.lists(st.sampled_from(["createdb", "bypassrls"])),
        "connection_limit": st.integers(-1, 2),
        "valid_until": st.sampled_from(["2027-01-31", "2028-01-31T18:00:00+01:00", "infinity"]),
    },
)
GONE = st.just({"state": "absent"})
DATABASE = st.fixed_dictionaries(
    {"owner": st.sampled_from(ROLES)},
    optional={
        "access": some(ROLES, LEVELS),
        "schemas": some(
            SCHEMAS,
            st.sampled_from(ROLES) | st.just({}) | st.fixed_dictionaries({"access": some(ROLES, LEVELS)}),
        ),
        "extensions": some(list(EXTENSIONS), st.sampled_from([None, "latest", {"schema": "public"}])),
        "settings": SETTINGS,
        "connection_limit": st.integers(-1, 2),
        "bootstrap": st.just("salt://x.sql"),
    },
)
CLOSED = st.sampled_from([{"state": "quarantined"}, {"state": "absent"}])


@st.composite
def pillars(draw):
    """A declared cluster."""
    tree = {
        "users": {name: draw(USER | GONE if name == "Cy-d" else USER) for name in USERS},
        "groups": {
            "team": draw(st.fixed_dictionaries({}, optional={**BOTH, "groups": st.just("readers")})),
            "readers": draw(st.fixed_dictionaries({}, optional=BOTH)),
        },
        "databases": draw(some(DATABASES, DATABASE | CLOSED)),
    }
    _make_sense(tree)
    return worlds.declared(tree)


def _make_sense(tree):
    """Take out what pillar refuses: who goes, what is not there, and owners in a circle."""
    stay = [name for name in ROLES if "state" not in tree["users"].get(name, {})]
    schemas = {}
    for name, database in tree["databases"].items():
        if "owner" not in database:
            continue
        owner = database["owner"] = _one_of(stay, database["owner"])
        schemas[name] = {"": owner, "public": owner}
        database["access"] = _sensible(database.get("access", {}), stay, owner)
        for schema, inner in database.get("schemas", {}).items():
            of_schema = schemas[name][schema] = _one_of(stay, inner) if isinstance(inner, str) else owner
            access = inner.get("access", {}) if isinstance(inner, dict) else {}
            heir = of_schema if of_schema != owner else ""
            database["schemas"][schema] = {"owner": of_schema, "access": _sensible(access, stay, heir)}
    for role, entry in {**tree["users"], **tree["groups"]}.items():
        for name, what in list(entry.get("access", {}).items()):
            there = schemas.get(name)
            if there is None:
                del entry["access"][name]
            elif isinstance(what, str):
                entry["access"][name] = _level(what, role, there[""])
            else:
                entry["access"][name] = {
                    schema: _level(level, role, there[schema] if there[schema] != there[""] else "")
                    for schema, level in what.items()
                    if schema in there
                }


def _one_of(stay, name):
    return name if name in stay else stay[0]


def _sensible(access, stay, owner):
    return {role: _level(level, role, owner) for role, level in access.items() if role in stay}


def _level(level, role, owner):
    """Members come before what they are in, so that there is no circle."""
    may_own = owner in ROLES and ROLES.index(role) < ROLES.index(owner)
    return level if level != "owner" or may_own else "write"


PRIVILEGES = {
    "database": ["CONNECT", "CREATE", "TEMPORARY"],
    "schema": ["CREATE", "USAGE"],
    "table": ["SELECT", "INSERT", "TRUNCATE", "MAINTAIN"],
    "column": ["SELECT", "UPDATE"],
    "sequence": ["SELECT", "USAGE", "UPDATE"],
    "routine": ["EXECUTE"],
}
NAMES = st.sampled_from([*ROLES, "stranger"])


@st.composite
def servers(draw):
    """A server as hands left it: objects, owners and grants of all kinds, and all of it known."""
    base = draw(pillars())
    joins = draw(st.lists(st.builds(Membership, NAMES, NAMES, *[st.booleans()] * 3), max_size=4))
    single = {(join.role, join.member): join for join in joins if join.role < join.member}
    roles = {name: base.roles.get(name, Role(name)) for name in draw(st.sets(NAMES))}
    return replace(
        base,
        roles={name: role for name, role in roles.items() if role.state != ABSENT},
        databases={name: draw(inside(base, name)) for name in draw(st.sets(st.sampled_from(DATABASES)))},
        memberships=frozenset(single.values()),
        server=Server(
            version=draw(st.sampled_from([130000, 150000, 160000, 180000])),
            admin="root",
            superuser=draw(st.booleans()),
            extensions=EXTENSIONS,
            grantors=dict.fromkeys(single, ("root",)),
        ),
    )


@st.composite
def inside(draw, cluster, name):
    base = cluster.databases.get(name, Database(name, "stranger"))
    if base.state != PRESENT:
        return replace(base, state=QUARANTINED)
    schemas = {
        one: Schema(one, draw(NAMES))
        for one in draw(st.lists(st.sampled_from([*SCHEMAS, "other"]), unique=True))
    }
    objects = tuple(
        draw(objects_of(schema, draw(NAMES))) for schema in schemas for _ in range(draw(st.integers(0, 2)))
    )
    objects += tuple(draw(st.lists(IN_NO_SCHEMA, max_size=2)))
    objects = tuple({(one.kind, one.path): one for one in objects}.values())
    own = {Grant("database", (), p, base.owner) for p in PRIVILEGES["database"]}
    own |= {Grant("schema", (s.name,), p, s.owner) for s in schemas.values() for p in PRIVILEGES["schema"]}
    return replace(
        base,
        schemas=schemas,
        objects=objects,
        grants=frozenset(own | draw(grants_on(base, schemas, objects))),
        given_up=frozenset(
            Grant(one.kind, one.path, draw(st.sampled_from(PRIVILEGES[one.kind])), one.owner)
            for one in objects
            if one.kind in PRIVILEGES and draw(st.booleans())
        ),
        default_grants=frozenset(
            one._replace(grantable=False) if one.grantee == PUBLIC else one
            for one in draw(st.lists(default_grants(), max_size=5, unique_by=lambda g: g[:5]))
        ),
        role_settings=frozenset(
            draw(st.lists(st.tuples(NAMES, st.just("role"), NAMES), max_size=2, unique_by=lambda s: s[0]))
        ),
        unfinished=draw(st.booleans()),
        marked=draw(st.booleans()),
        encoding=None,
    )


IN_NO_SCHEMA = st.builds(
    lambda kind, owner: Object(kind, (NO_SCHEMA, "o"), owner),
    st.sampled_from(["publication", "subscription", "extension"]),
    NAMES,
)


def objects_of(schema, owner):
    names = st.sampled_from(["t", "u"])
    plain = st.builds(
        lambda kind, name: Object(kind, (schema, name), owner),
        st.sampled_from(["table", "sequence", "type", "collation"]),
        names,
    )
    return plain | st.builds(
        lambda name, args: Object("routine", (schema, name, args), owner),
        names,
        st.sampled_from(["", "integer"]),
    )


@st.composite
def grants_on(draw, base, schemas, objects):
    """Grants by owners, some passed on once by those who may."""
    things = [("database", (), base.owner), *(("schema", (s.name,), s.owner) for s in schemas.values())]
    things += [(one.kind, one.path, one.owner) for one in objects if one.kind in PRIVILEGES]
    things += [("column", (*one.path, "id"), one.owner) for one in objects if one.kind == "table"]
    found = {}
    for kind, path, owner in things:
        for grantee in draw(st.lists(NAMES | st.just(PUBLIC), max_size=2, unique=True)):
            if grantee != owner:
                grantable = grantee != PUBLIC and draw(st.booleans())
                grant = Grant(kind, path, draw(st.sampled_from(PRIVILEGES[kind])), grantee, grantable)
                found[grant[:4]] = grant
                heir = draw(NAMES)
                if grantable and heir not in (grantee, owner):
                    passed = grant._replace(grantee=heir, grantable=False, grantor=grantee)
                    found[(*passed[:4], grantee)] = passed
    return frozenset(found.values())


def default_grants():
    kinds = st.sampled_from(["table", "sequence", "routine", "type", "schema"])
    privileges = st.sampled_from(["SELECT", "USAGE", "EXECUTE"])
    return st.builds(
        DefaultGrant,
        NAMES,
        st.sampled_from([*SCHEMAS, ""]),
        kinds,
        privileges,
        NAMES | st.just(PUBLIC),
        st.booleans(),
    )


def planned(current, wanted):
    """The plan, or none where something is refused."""
    found = refusals.possible(current, wanted)
    return None if found.databases or found.roles else plan(found.current, found.wanted)


def followed(current, wanted):
    """Where a plan leads. A database that it opens is looked into afterwards, and planned for again."""
    for _ in range(2):
        changes = planned(current, wanted)
        assume(changes is not None)
        current = paper.applied(current, changes)
    return current


@given(pillars())
def test_there_is_nothing_to_do_where_all_is_as_declared(declared):
    assert plan(declared, declared) == []


@given(pillars(), pillars())
def test_the_plan_of_a_pull_request_leads_to_its_head(base, head):
    assert plan(followed(base, head), head) == []


@given(servers(), pillars())
def test_the_plan_for_a_server_leads_to_what_is_declared(server, declared):
    assert plan(followed(server, declared), declared) == []


@given(servers(), pillars())
def test_every_change_is_told_and_written_without_a_secret(server, declared):
    for change in planned(server, declared) or []:
        told = [*text.place(change), text.line(change), *sql.texts(change, server.server.version)]
        assert all(told)
        assert not any(secret in line for line in told for secret in ("SCRAM", "pw-one", "pw-two"))


@given(servers(), pillars())
def test_what_pillar_does_not_name_is_left_alone(server, declared):
    after = followed(server, declared)
    for name, database in server.databases.items():
        if name not in declared.databases:
            assert after.databases[name] == database
    assert strangers(after.memberships) == strangers(server.memberships)


def strangers(memberships):
    return {join for join in memberships if join.member == "stranger"}
