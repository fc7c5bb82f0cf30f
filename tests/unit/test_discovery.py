"""Where the servers of a cluster are, by each source."""

import pytest

from pgpillar import discovery, node
from pgpillar.model import Place, Trouble

PRIMARY = {"host": "a.example.internal", "address": "192.0.2.1", "port": 5432, "in_recovery": False}
REPLICA = {"host": "b.example.internal", "address": "192.0.2.2", "port": 5432, "in_recovery": True}
OTHER = {"host": "c.example.internal", "address": "192.0.2.3", "port": 5432, "in_recovery": True}
HOST = "db.example.internal"


def a_node(target="primary", **cluster):
    return node.read(
        {
            "clusters": {"main": {"host": HOST, **cluster}},
            "databases": {"shop": "shop"},
            "users": {"shop": {"password": "p"}},
            "pools": {"shop": {"database": "shop", "user": "shop", "target": target}},
        }
    )


def place(wanted, mine=None, name="app-1"):
    return discovery.of_pools(wanted, name, mine)["shop"]


def announced(*said):
    def ask(target, function):
        assert (target, function) == ("*", "postgresql.main")
        return {f"db-{number}": one for number, one in enumerate(said)}

    return ask


def test_the_primary_as_pillar_says_it():
    assert place(a_node(hostaddr="192.0.2.9", port=5433)) == Place(HOST, 5433, "192.0.2.9")


def test_a_replica_as_pillar_says_it():
    replicas = ["r1.example.internal", {"host": "r2.example.internal", "port": 6000, "hostaddr": "192.0.2.7"}]
    found = {place(a_node("replica", replicas=replicas), name=f"app-{n}") for n in range(20)}
    assert found == {Place("r1.example.internal"), Place("r2.example.internal", 6000, "192.0.2.7")}


def test_a_node_keeps_its_replica():
    wanted = a_node("replica", replicas=["r1", "r2", "r3"])
    assert len({place(wanted) for _ in range(5)}) == 1


def test_the_primary_that_announces_itself_is_verified_by_the_clusters_name():
    found = place(a_node(discovery="mine"), announced(PRIMARY, REPLICA))
    assert found == Place(HOST, 5432, "192.0.2.1")


def test_replicas_that_announce_themselves():
    wanted, mine = a_node("replica", discovery="mine"), announced(PRIMARY, REPLICA, OTHER)
    found = {place(wanted, mine, f"app-{n}").hostaddr for n in range(20)}
    assert found == {"192.0.2.2", "192.0.2.3"}


def test_a_server_on_another_port_is_of_another_cluster():
    elsewhere = {**REPLICA, "port": 5433, "in_recovery": False}
    assert place(a_node(discovery="mine"), announced(elsewhere, PRIMARY)).hostaddr == "192.0.2.1"


REFUSALS = {
    "two primaries": (
        a_node(discovery="mine"),
        announced(PRIMARY, {**OTHER, "in_recovery": False}),
        "more than one server of db.example.internal says that it is the primary: db-0, db-1",
    ),
    "no primary": (
        a_node(discovery="mine"),
        announced(REPLICA),
        "no server of cluster 'main' says that it is the primary, for pool 'shop'",
    ),
    "nobody": (
        a_node(discovery="mine"),
        announced(),
        "no server of cluster 'main' says that it is the primary, for pool 'shop'",
    ),
    "no replica": (
        a_node("replica"),
        None,
        "cluster 'main' has no replica, which pool 'shop' asks for",
    ),
}


@pytest.mark.parametrize(("wanted", "mine", "said"), REFUSALS.values(), ids=REFUSALS)
def test_what_cannot_be_told_is_not_guessed(wanted, mine, said):
    with pytest.raises(Trouble) as caught:
        place(wanted, mine)
    assert str(caught.value) == said


def test_a_source_that_is_not_there_yet_is_refused():
    with pytest.raises(Trouble) as caught:
        place(a_node(discovery="consul"))
    assert str(caught.value) == "postgresql:clusters:main:discovery: 'consul' is not there yet; take another"
