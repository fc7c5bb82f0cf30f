"""Where the servers of a cluster are, by each source."""

import pytest

from pgpillar import discovery, node
from pgpillar.model import Place, Trouble

PRIMARY = {
    "host": "a.example.internal",
    "address": "192.0.2.1",
    "port": 5432,
    "in_recovery": False,
    "asked": "noon",
}
REPLICA = {"host": "b.example.internal", "address": "192.0.2.2", "port": 5432, "in_recovery": True}
OTHER = {"host": "c.example.internal", "address": "192.0.2.3", "port": 5432, "in_recovery": True}
HOST = "db.example.internal"


def a_node(target="primary", **cluster):
    return node.read(
        {
            "clusters": {"main": {"host": HOST, "minions": "db-0", **cluster}},
            "databases": {"shop": "shop"},
            "users": {"shop": {"password": "p"}},
            "pools": {"shop": {"database": "shop", "user": "shop", "target": target}},
        }
    )


def place(wanted, mine=None, name="app-1"):
    return discovery.of_pools(wanted, name, {"mine.get": mine})["shop"]


def announced(*said):
    def ask(target, functions, kind):
        assert (target, functions, kind) == (("db-0",), ["postgresql.main"], "list")
        told = {f"db-{number}": one for number, one in enumerate(said)}
        return {"postgresql.main": told} if told else {}

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


def test_a_server_is_where_it_says():
    elsewhere = {**PRIMARY, "port": 5433}
    assert place(a_node(discovery="mine"), announced(elsewhere)) == Place(HOST, 5433, "192.0.2.1")


def test_the_primary_stands_in_for_replicas_that_are_gone():
    assert place(a_node("replica", discovery="mine"), announced(PRIMARY)) == Place(HOST, 5432, "192.0.2.1")


NO_PRIMARY = (
    "pool 'shop' has no server: no server of cluster 'main' says in the Salt mine that it is the primary;"
    " does pg_server.announce stand in mine_functions of its minions?"
)
REFUSALS = {
    "two primaries": (
        a_node(discovery="mine"),
        announced(PRIMARY, {**PRIMARY, "asked": "one"}),
        "cluster 'main' has more than one primary by the Salt mine: db-0 (at noon) and db-1 (at one) said so;"
        " stop the one that should not be, and take out what it said: salt-run cache.clear_mine tgt=MINION",
    ),
    "no primary": (
        a_node(discovery="mine"),
        announced(REPLICA),
        NO_PRIMARY,
    ),
    "nobody": (
        a_node(discovery="mine"),
        announced(),
        NO_PRIMARY,
    ),
    "no place": (
        a_node(discovery="mine"),
        announced(PRIMARY, ["192.0.2.1"], {"host": "b", "address": "192.0.2.2", "port": 5432}),
        "what db-1, db-2 said in the Salt mine as postgresql.main is no server's place;"
        " give it pg_server.announce in mine_functions, then mine.update",
    ),
    "no replica": (
        a_node("replica", discovery="mine"),
        announced(),
        "cluster 'main' has no replica, which pool 'shop' asks for",
    ),
}


@pytest.mark.parametrize(("wanted", "mine", "said"), REFUSALS.values(), ids=REFUSALS)
def test_what_cannot_be_told_is_not_guessed(wanted, mine, said):
    with pytest.raises(Trouble) as caught:
        place(wanted, mine)
    assert str(caught.value) == said
