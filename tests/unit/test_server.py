"""A server of one's own: what pillar makes of its files, and every fault in pillar that is its own."""

import pytest

from pgpillar import node, pillar, server
from pgpillar.pillar import PillarError

NETWORK = "192.0.2.0/24"
TREE = {
    "clusters": {"main": {"host": "db.example.internal"}},
    "databases": {
        "shop": {"owner": "shop", "access": {"shop_app": "write", "readers": "read"}},
        "wiki": "wiki",
    },
    "groups": {"readers": {}, "shop": {}},
    "users": {"shop_app": {}, "analyst": {"groups": ["readers"]}, "wiki": {}},
}


def read(megabytes=1024, tree=TREE, **entry):
    return server.read({**tree, "server": {"networks": [NETWORK], **entry}}, megabytes)


def problems(**entry):
    with pytest.raises(PillarError) as caught:
        read(**entry)
    return [str(problem) for problem in caught.value.problems]


def test_each_user_is_let_into_the_databases_it_may_use_and_nobody_else():
    assert server.rules_in(read().hba()).keys() == {
        "local all postgres peer",
        "local all pgpillar_bootstrap scram-sha-256",
        f'hostssl "shop" "analyst" {NETWORK} scram-sha-256',
        f'hostssl "shop" "shop_app" {NETWORK} scram-sha-256',
        f'hostssl "wiki" "wiki" {NETWORK} scram-sha-256',
    }


def test_from_nowhere_where_pillar_names_no_network():
    wanted = read(networks=[])
    local = {"local all postgres peer", "local all pgpillar_bootstrap scram-sha-256"}
    assert server.rules_in(wanted.hba()).keys() == local
    assert wanted.settings["listen_addresses"] == ""


def test_the_databases_of_another_cluster_are_no_business_of_its():
    clusters = {"clusters": {**TREE["clusters"], "other": {"host": "other.example.internal"}}}
    databases = {
        "databases": {
            "shop": {**TREE["databases"]["shop"], "cluster": "other"},
            "wiki": {"owner": "wiki", "cluster": "main"},
        }
    }
    wanted = read(tree={**TREE, **clusters, **databases}, cluster="main")
    assert {rule.database for rule in wanted.rules} == {"wiki"}


def test_a_database_is_called_as_the_server_calls_it():
    databases = {"databases": {"elsewhere": {"name": "shop", "owner": "wiki"}}}
    wanted = read(tree={**TREE, **databases, "users": {"wiki": {}}, "groups": {}})
    assert [rule.database for rule in wanted.rules] == ["shop"]


def test_a_user_that_is_to_go_is_let_in_no_more():
    users = {"users": {**TREE["users"], "analyst": {"groups": ["readers"], "state": "absent"}}}
    assert "analyst" not in {rule.user for rule in read(tree={**TREE, **users}).rules}


@pytest.mark.parametrize(
    ("megabytes", "expected"),
    [
        (16384, {"shared_buffers": "4096MB", "effective_cache_size": "12288MB", "work_mem": "64MB"}),
        (1024, {"shared_buffers": "256MB", "effective_cache_size": "768MB", "work_mem": "4MB"}),
        (64, {"shared_buffers": "32MB", "effective_cache_size": "96MB", "work_mem": "4MB"}),
    ],
)
def test_it_is_sized_for_the_memory_of_its_machine(megabytes, expected):
    assert expected.items() <= read(megabytes).settings.items()


def test_a_few_pages_more_or_less_change_nothing():
    assert read(24105).settings == read(24090).settings


def test_pillar_says_otherwise():
    wanted = read(memory=2048, settings={"work_mem": "1MB", "max_connections": 50})
    assert {
        "shared_buffers": "512MB",
        "work_mem": "1MB",
        "max_connections": "50",
    }.items() <= wanted.settings.items()


@pytest.mark.parametrize("value", ["it's", r"a\b", r"a\\b", "''", r"\'"])
def test_any_value_is_read_back_as_it_was_written(value):
    wanted = read(settings={"cluster_name": value})
    assert server.settings_in(wanted.conf()) == wanted.settings


@pytest.mark.parametrize(
    ("entry", "expected"),
    [
        ({"networks": ["0.0.0.0/0"]}, "postgresql:server:networks:0: 0.0.0.0/0 is everybody"),
        ({"networks": ["here"]}, "postgresql:server:networks:0: a text is not a range of addresses"),
        (
            {"settings": {"ssl": False}},
            "postgresql:server:settings:ssl: this is not set here; pgpillar serves",
        ),
        ({"cluster": "mian"}, "postgresql:server:cluster: there is no cluster 'mian'; did you mean 'main'?"),
        ({"restart": "yes"}, "postgresql:server:restart: a text is not true or false"),
    ],
)
def test_faults(entry, expected):
    (told,) = problems(**entry)
    assert told.startswith(expected)


def test_a_name_that_would_be_a_pattern_is_refused():
    with pytest.raises(PillarError, match="'/any' begins as a pattern does"):
        read(tree={**TREE, "databases": {"/any": "wiki"}})


@pytest.mark.parametrize(
    ("complaint", "expected"),
    [
        (
            'LOG:  unrecognized configuration parameter "shared_bufers" in file "/tmp/x" line 3',
            "shared_bufers: there is no such setting; did you mean 'shared_buffers'?",
        ),
        (
            'FATAL:  invalid value for parameter "work_mem": "much"',
            'work_mem: invalid value for parameter "work_mem": "much"',
        ),
    ],
)
def test_what_the_server_complains_of_is_told_by_pillar_path(complaint, expected):
    told = server.advice_on(f"nothing of it\n{complaint}\n", ["shared_buffers", "work_mem"])
    assert told == [f"postgresql:server:settings:{expected}"]


ADMIN = {"user": "doadmin", "password": "p", "minion": "elsewhere"}
CLUSTERS = {"main": {"host": "db.example.internal", "hostaddr": "192.0.2.1", "admin": ADMIN}}


def test_the_server_administers_itself_by_its_socket():
    tree = {"clusters": CLUSTERS, "server": {"memory": 512}}
    assert pillar.administered(tree, "here") == ["main"]
    endpoint = pillar.read(tree)["main"].endpoint
    assert (endpoint.host, endpoint.hostaddr, endpoint.user) == ("/var/run/postgresql", None, "postgres")
    assert endpoint.password is None


@pytest.mark.parametrize("server", [{}, {"server": {"cluster": "other"}}])
def test_others_go_the_way_that_pillar_says(server):
    tree = {"clusters": {**CLUSTERS, "other": {"host": "other.example.internal", "admin": ADMIN}}, **server}
    assert "main" not in pillar.administered(tree, "here")
    assert pillar.read(tree)["main"].endpoint.host == "db.example.internal"


def test_an_application_beside_it_goes_the_way_of_all_others():
    tree = {
        "clusters": CLUSTERS,
        "databases": {"shop": "shop"},
        "users": {"shop": {"password": "p"}},
        "server": {},
    }
    assert node.read(tree).endpoints["main"].host == "db.example.internal"
