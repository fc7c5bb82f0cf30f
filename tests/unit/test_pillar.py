"""What pillar may say, and every fault that it may have: where, what, and what would be right."""

import copy
import datetime
import string
from collections import OrderedDict

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st
from salt.utils.secret import MaskedDict

from pgpillar import pillar, tree
from pgpillar.model import ABSENT, QUARANTINED, Membership, Secret
from tests import golden

ONE_CLUSTER = {"main": {"host": "postgresql.example.internal"}}
TWO_CLUSTERS = {"one": {"host": "one.example.internal"}, "two": {"host": "two.example.internal"}}
RIGHT = yaml.safe_load("""
clusters:
  main:
    host: postgresql.example.internal
    hostaddr: 192.0.2.10
    admin: {user: doadmin, password: admin-secret, minion: [db-1]}
databases:
  wiki: wiki
  shop:
    owner: shop
    schemas: {app: {owner: boss, access: {analyst: read}}}
    access: {shop_app: write, analyst: read}
    extensions: {citext: latest, hstore: {version: "1.8", schema: app}}
    settings: {search_path: [app, public], work_mem: 64MB}
    connection_limit: 50
    bootstrap: salt://shop/schema.sql
  old: {owner: shop, state: quarantined}
users:
  wiki: {password: wiki-secret}
  shop: {password: shop-secret, settings: {jit: no}}
  shop_app: {password: app-secret, groups: [readers, pg_monitor], connection_limit: 5}
  boss: {password: boss-secret, valid_until: 2027-01-31, attributes: createdb, run_as: boss}
  gone: {state: absent, reassign_to: shop}
groups:
  analyst: {groups: readers}
  readers: {access: {wiki: read, shop: {app: write}}}
pools:
  shop: {database: shop, user: shop_app, target: replica, mode: session, size: 5}
""")


def read(tree):
    """The clusters of what stands under ``postgresql``; one is there unless the tree has some."""
    if isinstance(tree, dict):
        tree = {"clusters": ONE_CLUSTER, **tree}
    return pillar.read(tree)


def problems(tree):
    try:
        read(tree)
    except pillar.PillarError as error:
        return error.problems
    return []


def users(*names):
    return {name: {"password": "x"} for name in names}


@pytest.mark.parametrize("case", golden.cases("unit/corpus", 2))
def test_every_fault_is_told_at_once_with_its_path_and_its_fix(case, agrees):
    agrees(case, [problem._asdict() for problem in problems(*case.given)])


def test_the_error_says_how_many_problems_there_are_and_lists_them():
    with pytest.raises(pillar.PillarError) as caught:
        read({"databases": {"wiki": "wikki", "shop": "wikki"}, "users": users("wiki")})
    head, *lines = str(caught.value).splitlines()
    assert head == "pillar has 2 problems; nothing was applied"
    assert lines == [
        f"- {problem.path}: {problem.message}; {problem.fix}" for problem in caught.value.problems
    ]


def test_a_right_pillar_has_no_problem():
    assert problems(RIGHT) == []


# Salt gives pillar in mappings of its own


def rebuilt(value, kind):
    if isinstance(value, dict):
        return kind((key, rebuilt(item, kind)) for key, item in value.items())
    return [rebuilt(item, kind) for item in value] if isinstance(value, list) else value


@pytest.mark.parametrize("kind", [OrderedDict, MaskedDict])
def test_salts_own_mappings_are_mappings(kind):
    tree = rebuilt(RIGHT, kind)
    assert type(tree) is kind
    assert pillar.read(tree) == pillar.read(RIGHT)


# What is read


def test_the_short_forms_mean_what_the_long_ones_say():
    short = {
        "clusters": {"main": {"host": "a", "admin": "root"}},
        "databases": {
            "wiki": "wiki",
            "shop": {"owner": "wiki", "schemas": {"app": "wiki"}, "extensions": "citext"},
        },
        "users": {"wiki": {"password": "x", "groups": "readers", "attributes": "createdb"}},
        "groups": {"readers": None},
    }
    long = {
        "clusters": {"main": {"host": "a", "admin": {"user": "root"}}},
        "databases": {
            "wiki": {"owner": "wiki"},
            "shop": {"owner": "wiki", "schemas": {"app": {"owner": "wiki"}}, "extensions": {"citext": {}}},
        },
        "users": {"wiki": {"password": "x", "groups": ["readers"], "attributes": ["createdb"]}},
        "groups": {"readers": {}},
    }
    assert pillar.read(short) == pillar.read(long)


@pytest.mark.parametrize(
    "written",
    [
        "2027-01-31T18:00:00+01:00",
        "2027-01-31 17:00:00Z",
        datetime.datetime(2027, 1, 31, 17, tzinfo=datetime.UTC),
        datetime.datetime(2027, 1, 31, 18, tzinfo=datetime.timezone(datetime.timedelta(hours=1))),
    ],
)
def test_a_moment_is_one_moment_however_it_is_written(written):
    declared = read({"users": {"ana": {"password": "x", "valid_until": written}}})["main"]
    assert declared.cluster.roles["ana"].valid_until == datetime.datetime(
        2027, 1, 31, 17, tzinfo=datetime.UTC
    )


@pytest.mark.parametrize("written", ["2027-01-31", datetime.date(2027, 1, 31)])
def test_a_bare_date_begins_at_midnight_utc(written):
    declared = read({"users": {"ana": {"password": "x", "valid_until": written}}})["main"]
    assert declared.cluster.roles["ana"].valid_until == datetime.datetime(2027, 1, 31, tzinfo=datetime.UTC)


def test_an_endpoint_verifies_fully_unless_it_is_told_otherwise():
    endpoint = read({})["main"].endpoint
    assert (endpoint.sslmode, endpoint.port, endpoint.user, endpoint.is_socket) == (
        *("verify-full", 5432),
        *("postgres", False),
    )


def test_an_endpoint_keeps_the_password_to_itself():
    endpoint = pillar.read(RIGHT)["main"].endpoint
    assert endpoint.password == Secret("admin-secret")
    assert "admin-secret" not in f"{endpoint} {endpoint!r} {vars(endpoint)}"


def test_a_state_is_kept_and_asks_for_nothing_inside():
    cluster = read({"databases": {"old": {"state": "quarantined"}, "older": {"state": "absent"}}})[
        "main"
    ].cluster
    assert {name: database.state for name, database in cluster.databases.items()} == {
        "old": QUARANTINED,
        "older": ABSENT,
    }
    assert not any(database.grants or database.schemas for database in cluster.databases.values())


def test_hostile_names_are_kept_whole():
    names = [
        'say "hi"',
        "it's",
        "back\\slash",
        "100%",
        "a:b",
        " spaces ",
        "hy-phen",
        "CAPITAL",
        "ünïcödé ☃",
        "a\nb",
    ]
    cluster = read({"databases": {name: name for name in names}, "users": users(*names)})["main"].cluster
    assert set(cluster.roles) == set(cluster.databases) == set(names)


# Who is where, and in which group


def test_each_cluster_gets_the_roles_that_its_databases_use_and_no_others():
    declared = read(
        {
            "clusters": TWO_CLUSTERS,
            "databases": {
                "wiki": {"owner": "wiki", "cluster": "one"},
                "shop": {
                    "owner": "shop",
                    "cluster": "two",
                    "access": {"both": "read"},
                    "schemas": {"app": "boss"},
                },
            },
            "users": {
                **users("wiki", "shop", "boss"),
                "both": {"password": "x", "access": {"wiki": "write"}},
                "follower": {"password": "x", "groups": ["team"]},
                "said": {"password": "x", "cluster": "one"},
                "gone": {"state": "absent"},
            },
            "groups": {"team": {"groups": ["readers"]}, "readers": {"access": {"wiki": "read"}}},
        }
    )
    assert {name: set(one.cluster.roles) for name, one in declared.items()} == {
        "one": {"wiki", "both", "follower", "team", "readers", "said", "gone"},
        "two": {"shop", "boss", "both", "gone"},
    }


def test_a_member_joins_its_groups_where_both_are():
    declared = read(
        {
            "clusters": TWO_CLUSTERS,
            "databases": {"wiki": {"owner": "wiki", "cluster": "one"}},
            "users": {
                "wiki": {"password": "x", "cluster": ["one", "two"], "groups": ["local", "pg_monitor"]}
            },
            "groups": {"local": {"cluster": "two"}},
        }
    )
    assert declared["one"].cluster.memberships == {Membership("pg_monitor", "wiki")}
    assert declared["two"].cluster.memberships == {
        Membership("pg_monitor", "wiki"),
        Membership("local", "wiki"),
    }


def test_owner_access_is_membership_in_the_owner():
    tree = {
        "databases": {"shop": {"owner": "shop", "access": {"deploy": "owner", "shop": "owner"}}},
        "users": users("shop", "deploy"),
    }
    cluster = read(tree)["main"].cluster
    assert cluster.memberships == {Membership("shop", "deploy")}
    assert cluster.databases["shop"].role_settings == {("deploy", "role", "shop")}


def test_one_who_has_more_than_owner_access_does_not_act_as_the_owner():
    tree = {
        "databases": {
            "shop": {
                "owner": "shop",
                "access": {"deploy": "owner"},
                "schemas": {"app": {"access": {"deploy": "read"}}},
            }
        },
        "users": users("shop", "deploy"),
    }
    assert read(tree)["main"].cluster.databases["shop"].role_settings == frozenset()


def test_access_stands_with_the_database_or_with_the_role_and_means_the_same():
    names = users("shop", "ana")
    there = {
        "shop": {"owner": "shop", "access": {"ana": "read"}, "schemas": {"app": {"access": {"ana": "write"}}}}
    }
    bare = {"shop": {"owner": "shop", "schemas": {"app": {}}}}
    with_role = {**names, "ana": {"password": "x", "access": {"shop": "read"}}}
    with_schema = {**names, "ana": {"password": "x", "access": {"shop": {"app": "write"}}}}
    whole = read({"databases": there, "users": names})["main"].cluster.databases["shop"].grants
    parts = [
        read({"databases": bare, "users": u})["main"].cluster.databases["shop"].grants
        for u in (with_role, with_schema)
    ]
    assert whole == parts[0] | parts[1]


@pytest.mark.parametrize(
    ("admin", "minion", "found"),
    [
        ({}, "db-1", ["main"]),
        ({"minion": "db-1"}, "db-1", ["main"]),
        ({"minion": ["db-1", "db-2"]}, "db-2", ["main"]),
        ({"minion": "db-1"}, "db-2", []),
        ({"minion": "db-10"}, "db-1", []),
        ("root", "db-1", ["main"]),
    ],
)
def test_a_minion_administers_the_clusters_that_name_it_or_none(admin, minion, found):
    assert pillar.administered({"clusters": {"main": {"host": "a", "admin": admin}}}, minion) == found


# No secret in a message. Each of these is a mistake that somebody makes.

SECRET = "s3cret-Of-The-Shop"


@pytest.mark.parametrize(
    "tree",
    [
        SECRET,
        [SECRET],
        {SECRET: 1, "users": SECRET},
        {"users": [SECRET]},
        {"users": [{"shop": SECRET}]},
        {"users": {"shop": SECRET}},
        {"users": {"shop": [SECRET]}},
        {"users": {"shop": {SECRET: None}}},
        {"users": {"shop": {SECRET: SECRET}}},
        {"users": {"shop": {f"password:{SECRET}": None}}},
        {"users": {"shop": {f"password={SECRET}": None}}},
        {"users": {f"shop:{SECRET}": None}},
        {"users": {"shop": {"pasword": SECRET}}},
        {"users": {"shop": {"password": [SECRET]}}},
        {"users": {"shop": {"password": {"text": SECRET}}}},
        {"users": {"shop": {"password": {SECRET: None}}}},
        {"users": {"shop": {"password": SECRET + "\n"}}},
        {"users": {"shop": {"password": SECRET + "\0"}}},
        {"users": {"shop": {"password": SECRET + "\ud800"}}},
        {"users": {"shop": {"password": f"SCRAM-SHA-256$4096:{SECRET}"}}},
        {"groups": {"shop": SECRET}},
        {"groups": {"shop": {"password": SECRET}}},
        {"groups": {"shop": {f"password:{SECRET}": None}}},
        {"databases": {"shop": {"password": SECRET}}},
        {"databases": {"shop": [SECRET]}},
        {"pools": {"shop": {"password": SECRET}}},
        {"pools": {"shop": SECRET}},
        {"clusters": SECRET},
        {"clusters": {"main": SECRET}},
        {"clusters": {f"main:{SECRET}": None}},
        {"clusters": {"main": {"host": "a", "password": SECRET}}},
        {"clusters": {"main": {"host": "a", SECRET: None}}},
        {"clusters": {"main": {"host": f"postgresql://root:{SECRET}@a/postgres"}}},
        {"clusters": {"main": {"host": "a", "hostaddr": SECRET}}},
        {"clusters": {"main": {"host": "a", "ca": f"-----BEGIN PRIVATE KEY-----\n{SECRET}"}}},
        {"clusters": {"main": {"host": "a", "ca_file": SECRET}}},
        {"clusters": {"main": {"host": "a", "admin": SECRET * 4}}},
        {"clusters": {"main": {"host": "a", "admin": [SECRET]}}},
        {"clusters": {"main": {"host": "a", "admin": {"passwd": SECRET}}}},
        {"clusters": {"main": {"host": "a", "admin": {"password": {"text": SECRET}}}}},
        {"clusters": {"main": {"host": "a", "admin": {f"password:{SECRET}": None}}}},
        {"clusters": {"main": {"host": "a", "admin": {"user": SECRET + "\0"}}}},
    ],
)
def test_no_secret_in_a_wrong_place_is_repeated(tree):
    with pytest.raises(pillar.PillarError) as caught:
        read(tree)
    without_top = [
        p for p in caught.value.problems if p.path != f"postgresql:{SECRET}"
    ]  # no user is up there
    told = "\n".join(map(str, without_top))
    assert told
    assert SECRET not in told


@given(
    st.integers(10**9, 10**12) | st.floats(10**9, 10**12) | st.dates(), st.sampled_from(["users", "admin"])
)
def test_no_secret_that_yaml_took_for_something_else_is_repeated(secret, where):
    trees = {
        "users": {"users": {"shop": {"password": secret}}},
        "admin": {"clusters": {"main": {"host": "a", "admin": {"password": secret}}}},
    }
    told = "\n".join(map(str, problems(trees[where])))
    assert told
    assert str(secret) not in told


WORDS = st.sampled_from(sorted(tree.TREE.keys | tree.USER.keys | tree.ADMIN.keys | {"main": 0, "shop": 0}))
RARE = st.text(string.ascii_letters + string.digits, min_size=16, max_size=24).map("5eCr3T".__add__)
BELOW_USERS = (
    "connection_limit",
    "valid_until",
    "state",
    "groups",
    "attributes",
    "access",
    "settings",
    "password",
)


@given(
    RARE,
    st.sampled_from(BELOW_USERS),
    st.sampled_from([lambda s: s, lambda s: [[s]], lambda s: {"a": [[s]]}]),
)
def test_no_text_that_a_user_cannot_have_is_repeated(secret, key, shaped):
    told = "\n".join(map(str, problems({"users": {"shop": {"password": "x", key: shaped(secret)}}})))
    assert key == "groups" or secret not in told  # a group that is not there is named


# Whatever stands in pillar, it is read or refused

SCALARS = st.one_of(
    *(st.none(), st.booleans(), st.integers(), st.floats(), st.text(), WORDS, st.dates(), st.datetimes()),
    st.datetimes(timezones=st.timezones() | st.just(datetime.timezone(datetime.timedelta(hours=14)))),
    st.characters(categories=["Cs"]),
    st.binary(max_size=3),
)
KEYS = WORDS | SCALARS
TREES = st.recursive(
    SCALARS,
    lambda below: st.lists(below, max_size=3) | st.dictionaries(KEYS, below, max_size=4),
    max_leaves=20,
)


def is_read_or_refused(tree):
    for problem in problems(tree):
        assert all(problem)
        str(problem).encode()
    pillar.administered(tree, "db-1")


@given(TREES)
def test_anything_is_read_or_refused(tree):
    is_read_or_refused(tree)


@given(st.fixed_dictionaries({}, optional=dict.fromkeys(tree.TREE.keys, TREES)))
def test_anything_in_a_section_is_read_or_refused(tree):
    is_read_or_refused(tree)


def places(value, path=()):
    """Every place in a tree, the root first."""
    yield path
    items = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    for key, item in items:
        yield from places(item, (*path, key))


def changed(tree, path, make):
    if not path:
        return make(tree)
    tree = copy.copy(tree)
    tree[path[0]] = changed(tree[path[0]], path[1:], make)
    return tree


PLACES = sorted(places(RIGHT), key=repr)


@given(st.lists(st.tuples(st.sampled_from(PLACES), SCALARS | TREES), min_size=1, max_size=3))
def test_any_change_to_a_right_pillar_is_read_or_refused(changes):
    tree = RIGHT
    for path, value in changes:
        try:
            tree = changed(tree, path, lambda _, value=value: value)
        except (KeyError, IndexError, TypeError, AttributeError):
            continue  # an earlier change took the place away
    is_read_or_refused(tree)


@given(st.sampled_from([path for path in PLACES if path]), st.sampled_from([path for path in PLACES if path]))
def test_any_part_of_a_right_pillar_in_the_place_of_another_is_read_or_refused(source, target):
    value = RIGHT
    for key in source:
        value = value[key]
    is_read_or_refused(changed(RIGHT, target, lambda _: value))
