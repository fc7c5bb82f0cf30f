"""The pools of an app node, and every fault in pillar that is its own."""

import pytest

from pgpillar import node, scram
from pgpillar.model import Trouble
from pgpillar.pillar import PillarError

ONE = {"main": {"host": "db.example.internal"}}
WITH_REPLICA = {"main": {**ONE["main"], "replicas": ["db-2.example.internal"]}}
TWO = {"one": {"host": "one.example.internal"}, "two": {"host": "two.example.internal", "sslmode": "require"}}
SHOP = {"shop": {"owner": "shop", "access": {"shop_app": "write", "analyst": "read"}}}


def read(**tree):
    return node.read({"clusters": ONE, "databases": SHOP, **tree})


def user(**more):
    return {"password": "p", **more}


def pools(**tree):
    return {name: (pool.database, pool.user) for name, pool in read(**tree).pools.items()}


def problems(**tree):
    with pytest.raises(PillarError) as caught:
        read(**tree)
    return [str(problem) for problem in caught.value.problems]


def test_each_database_that_a_user_may_use_has_a_pool():
    databases = {**SHOP, "wiki": {"owner": "wiki", "access": {"shop_app": "read"}}, "other": "wiki"}
    assert pools(databases=databases, users={"shop_app": user()}) == {
        "shop": ("shop", "shop_app"),
        "wiki": ("wiki", "shop_app"),
    }


@pytest.mark.parametrize(
    "databases",
    [
        {"shop": "ann"},
        {"shop": {"owner": "shop", "schemas": {"mine": "ann"}}},
        {"shop": {"owner": "shop", "access": {"ann": "read"}}},
        {"shop": {"owner": "shop", "schemas": {"mine": {"owner": "shop", "access": {"ann": "read"}}}}},
        {"shop": {"owner": "shop", "access": {"readers": "read"}}},
        {"shop": "readers"},
    ],
)
def test_what_makes_a_database_usable(databases):
    groups = {"staff": {"groups": ["readers"]}, "readers": {}}
    found = pools(databases=databases, groups=groups, users={"ann": user(groups=["staff"])})
    assert found == {"shop": ("shop", "ann")}


def test_a_pool_is_called_as_pillar_calls_its_database():
    databases = {"shop": "ann", "elsewhere": {"name": "shop", "owner": "ann", "cluster": "two"}}
    databases["shop"] = {"owner": "ann", "cluster": "one"}
    tree = {"clusters": {name: {"host": name} for name in ("one", "two")}, "databases": databases}
    tree["users"] = {"ann": user()}
    assert pools(**tree) == {"shop": ("shop", "ann"), "elsewhere": ("shop", "ann")}
    named = {"x": {"database": "elsewhere", "user": "ann"}}
    assert pools(**tree, pools=named) == {"shop": ("shop", "ann"), "x": ("shop", "ann")}
    assert read(**tree, pools=named).pools["x"].cluster == "two"


@pytest.mark.parametrize("state", ["quarantined", "absent"])
def test_a_database_that_is_on_its_way_out_has_no_pool(state):
    assert pools(databases={"shop": {**SHOP["shop"], "state": state}}, users={"shop_app": user()}) == {}


def test_a_user_whose_password_is_not_here_is_of_another_node():
    assert pools(users={"shop_app": user(), "analyst": {}}) == {"shop": ("shop", "shop_app")}


def test_a_user_that_is_to_go_has_no_pool():
    assert pools(users={"shop_app": user(state="absent", reassign_to="shop")}) == {}


def test_a_pool_of_a_user_that_is_not_here_is_for_other_nodes():
    given = {"reports": {"database": "shop", "user": "analyst"}}
    assert pools(users={"shop_app": user()}, pools=given) == {"shop": ("shop", "shop_app")}


def test_a_pool_that_is_named_stands_for_the_default_one():
    given = {"jobs": {"database": "shop", "user": "shop_app", "mode": "session", "size": 5}}
    (pool,) = read(users={"shop_app": user()}, pools=given).pools.values()
    assert (pool.name, pool.target, pool.mode, pool.size) == ("jobs", "primary", "session", 5)


def test_a_pool_of_replicas_stands_beside_the_default_one():
    given = {"shop_ro": {"database": "shop", "user": "shop_app", "target": "replica"}}
    found = read(clusters=WITH_REPLICA, users={"shop_app": user()}, pools=given).pools
    assert {name: pool.target for name, pool in found.items()} == {"shop": "primary", "shop_ro": "replica"}


def test_a_pool_of_replicas_may_have_the_name_of_the_default_one():
    given = {"shop": {"database": "shop", "user": "shop_app", "target": "replica"}}
    (pool,) = read(clusters=WITH_REPLICA, users={"shop_app": user()}, pools=given).pools.values()
    assert (pool.name, pool.target) == ("shop", "replica")


def test_what_pillar_leaves_out_is_left_to_pgbouncer():
    given = {"jobs": {"database": "shop", "user": "shop_app"}}
    (pool,) = read(users={"shop_app": user()}, pools=given).pools.values()
    assert (pool.target, pool.mode, pool.size) == ("primary", None, None)


def test_two_users_of_one_database_with_a_name_for_one():
    users = {"shop_app": user(), "analyst": user()}
    given = {"shop_ro": {"database": "shop", "user": "analyst"}}
    assert pools(users=users, pools=given) == {"shop": ("shop", "shop_app"), "shop_ro": ("shop", "analyst")}


def test_the_rest_of_a_node():
    users = {"shop_app": user(run_as="shop", direct=True)}
    found = read(users=users, pgbouncer={"port": 6543, "settings": {"max_client_conn": 50}})
    assert found.clients == {"shop_app": node.Client("shop", True)}
    assert (found.port, found.settings) == (6543, {"max_client_conn": "50"})
    assert list(found.endpoints) == ["main"]


def test_a_node_without_users_has_nothing():
    found = read(users={"analyst": {}})
    assert (found.pools, found.clients, found.endpoints) == ({}, {}, {})


def test_a_pool_shows_no_password():
    found = read(users={"shop_app": {"password": "sesame"}})
    assert "sesame" not in repr(found)


APP = {"shop_app": user()}
FAULTS = {
    "two users, one database": (
        {"users": {"shop_app": user(), "analyst": user()}},
        "postgresql:pools: 'analyst' and 'shop_app' would both have a pool called 'shop' on this node;"
        " name one, for example shop_shop_app: {database: shop, user: shop_app}",
    ),
    "the name of a pool is that of another database": (
        {
            "users": {"shop_app": user(), "analyst": user()},
            "pools": {"shop": {"database": "shop", "user": "analyst"}},
        },
        "postgresql:pools: 'analyst' and 'shop_app' would both have a pool called 'shop' on this node;"
        " name one, for example shop_shop_app: {database: shop, user: shop_app}",
    ),
    "no such database": (
        {"users": APP, "pools": {"x": {"database": "shopp", "user": "shop_app"}}},
        "postgresql:pools:x:database: there is no database 'shopp'; did you mean 'shop'?",
    ),
    "a replica that nobody names": (
        {"users": APP, "pools": {"x": {"database": "shop", "user": "shop_app", "target": "replica"}}},
        "postgresql:pools:x:target: cluster 'main' has no replica; name one in"
        " postgresql:clusters:main:replicas, or take target out",
    ),
    "no access": (
        {"users": {"wiki": user()}, "pools": {"x": {"database": "shop", "user": "wiki"}}},
        "postgresql:pools:x:user: 'wiki' has no access to database 'shop'; give it some in"
        " postgresql:databases:shop:access",
    ),
    "a verifier": (
        {"users": {"shop_app": {"password": scram.verifier("p")}}},
        "postgresql:users:shop_app:password: pgbouncer cannot log in with a verifier;"
        " put the password itself there",
    ),
    "a name that pgbouncer cannot read": (
        {"databases": {"a shop": "shop_app"}, "users": APP},
        "postgresql:pools: pgbouncer takes letters, digits, '_', '.' and '-' in the name of a pool, not"
        " 'a shop';"
        " name it, for example app: {database: a shop, user: shop_app}",
    ),
    "the name of the console": (
        {"databases": {"pgbouncer": "shop_app"}, "users": APP},
        "postgresql:pools: 'pgbouncer' is the name of pgbouncer's own console;"
        " name it, for example app: {database: pgbouncer, user: shop_app}",
    ),
    "the name of a way around a pool": (
        {
            "users": {"shop_app": user(direct=True)},
            "pools": {n: {"database": "shop", "user": "shop_app"} for n in ("shop", "shop-direct")},
        },
        "postgresql:pools:shop-direct: 'shop-direct' is also what the way of 'shop_app' around pool 'shop' is"
        " called; name it, for example app: {database: shop, user: shop_app}",
    ),
    "a line break": (
        {
            "databases": {"a\nb": "shop_app"},
            "users": APP,
            "pools": {"x": {"database": "a\nb", "user": "shop_app"}},
        },
        "postgresql:databases:'a\\nb': 'a\\nb' holds a line break, which no file of pgbouncer"
        " can; take it out",
    ),
    "two sslmodes": (
        {
            "clusters": TWO,
            "databases": {
                "a": {"owner": "shop_app", "cluster": "one"},
                "b": {"owner": "shop_app", "cluster": "two"},
            },
            "users": APP,
        },
        "postgresql:clusters: pools 'b' (require) and 'a' (verify-full) of this node differ in sslmode,"
        " and pgbouncer has one for all its servers; use one sslmode, verify-full if you can",
    ),
    "no cluster": (
        {"clusters": {}, "users": APP},
        "postgresql:databases:shop:cluster: there is no cluster; ",
    ),
    "another file for pgbouncer to read": (
        {"users": APP, "pgbouncer": {"settings": {"conffile": "/etc/passwd"}}},
        "postgresql:pgbouncer:settings:conffile: this is not set here; from the next reload on",
    ),
    "other users of the pools": (
        {"users": APP, "pgbouncer": {"settings": {"auth_user": "shop_app"}}},
        "postgresql:pgbouncer:settings:auth_user: this is not set here; pgpillar says itself who",
    ),
}


@pytest.mark.parametrize(("tree", "said"), FAULTS.values(), ids=FAULTS)
def test_faults(tree, said):
    assert any(line.startswith(said) for line in problems(**tree)), problems(**tree)


@pytest.mark.parametrize(("direct", "other"), [(False, "shop_app"), (True, "analyst")])
def test_a_name_like_that_of_a_way_around_a_pool_is_free_where_there_is_none(direct, other):
    users = {"shop_app": user(direct=direct), "analyst": user()}
    given = {
        "shop": {"database": "shop", "user": "shop_app"},
        "shop-direct": {"database": "shop", "user": other},
        "shop_ro": {"database": "shop", "user": "analyst"},
    }
    assert "shop-direct" in pools(users=users, pools=given)


@pytest.mark.parametrize("setting", node.ELSEWHERE)
def test_a_setting_that_is_not_pillars_to_give_is_refused(setting):
    said = f"postgresql:pgbouncer:settings:{setting}: this is not set here; {node.ELSEWHERE[setting]}"
    assert problems(users=APP, pgbouncer={"settings": {setting: "x"}}) == [said]


@pytest.mark.parametrize("key", ["clusters", "databases", "users", "groups", "pools", "pgbouncer"])
@pytest.mark.parametrize("value", ["text", 5, ["a"], {"x": 5}])
def test_nonsense_is_told_and_not_a_traceback(key, value):
    assert problems(**{"users": APP, key: value})


def test_what_is_wrong_for_several_nodes_is_told_to_each():
    tree, common = {"clusters": ONE, "databases": {"shop": {"owner": "shop", "ownr": "shop"}}}, {}
    for name in ("shop", "wiki"):
        with pytest.raises(PillarError, match="unknown key 'ownr'"):
            node.read({**tree, "users": {name: user()}}, common)


def test_to_be_given_no_pillar_is_not_to_want_no_pools():
    with pytest.raises(Trouble, match="this minion was given no pillar"):
        node.read(None)
    assert not node.read({}).pools
