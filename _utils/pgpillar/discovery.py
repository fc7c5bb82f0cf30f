"""Where the servers of a cluster are: its primary and its replicas, whatever the source says it."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from hashlib import sha256
from typing import NamedTuple

from pgpillar.model import Endpoint, Place, Trouble
from pgpillar.node import Node, Pool

MINE = "postgresql"  # what servers announce themselves under, followed by the cluster
SAID = {"host": str, "address": str, "port": (int, str), "in_recovery": bool}


class Servers(NamedTuple):
    """Those of one cluster."""

    primary: Place | None
    replicas: tuple[Place, ...]


def static(endpoint: Endpoint) -> Servers:
    """As pillar says it."""
    return Servers(Place(endpoint.host, endpoint.port, endpoint.hostaddr), endpoint.replicas)


def mined(cluster: str, endpoint: Endpoint, announced: Mapping[str, Mapping]) -> Servers:
    """As the servers announce it in the Salt mine, each with its role. ``announced``: by minion."""
    _insist_on_places(cluster, announced)
    primaries = {minion: said for minion, said in announced.items() if not said["in_recovery"]}
    if len(primaries) > 1:
        raise Trouble(_rivals(cluster, primaries))
    primary = next((_place(said, endpoint.host) for said in primaries.values()), None)
    replicas = sorted(_place(said, said["host"]) for said in announced.values() if said["in_recovery"])
    # Without a replica the primary stands in, so that a failover of two servers leaves no pool behind
    return Servers(primary, tuple(replicas) or tuple(filter(None, [primary])))


def _insist_on_places(cluster: str, announced: Mapping[str, object]) -> None:
    strange = sorted(minion for minion, said in announced.items() if not _is_place(said))
    if strange:
        raise Trouble(
            f"what {', '.join(strange)} said in the Salt mine as {MINE}.{cluster} is no server's place;"
            " give it pg_server.announce in mine_functions, then mine.update"
        )


def _is_place(said: object) -> bool:
    return isinstance(said, Mapping) and all(isinstance(said.get(key), kind) for key, kind in SAID.items())


def _place(said: Mapping, host: str) -> Place:
    return Place(host, said["port"], said["address"])


def _rivals(cluster: str, primaries: Mapping[str, Mapping]) -> str:
    told = " and ".join(f"{minion} (at {said.get('asked')})" for minion, said in sorted(primaries.items()))
    return (
        f"cluster {cluster!r} has more than one primary by the Salt mine: {told} said so;"
        " stop the one that should not be, and take out what it said: salt-run cache.clear_mine tgt=MINION"
    )


def of_pools(node: Node, name: str, ask_mine: Callable) -> dict[str, Place]:
    """Where each pool of a node leads. ``ask_mine``: Salt's mine.get; ``name``: the node's."""
    servers = {cluster: _servers(cluster, endpoint, ask_mine) for cluster, endpoint in node.endpoints.items()}
    return {pool.name: server_of(pool, servers[pool.cluster], name) for pool in node.pools.values()}


def _servers(cluster: str, endpoint: Endpoint, ask_mine: Callable) -> Servers:
    if endpoint.discovery == "static":
        return static(endpoint)
    if endpoint.discovery == "mine":
        asked = f"{MINE}.{cluster}"  # in a list, for a comma would make it two
        return mined(cluster, endpoint, ask_mine(endpoint.minions, [asked], "list").get(asked, {}))
    raise Trouble(
        f"postgresql:clusters:{cluster}:discovery: {endpoint.discovery!r} is not there yet; take another"
    )


def server_of(pool: Pool, servers: Servers, node: str) -> Place:
    """The server that a pool of this node leads to. The nodes spread over the replicas."""
    if pool.target == "primary":
        if servers.primary is None:
            raise Trouble(
                f"no server of cluster {pool.cluster!r} says in the Salt mine that it is the primary, for"
                f" pool {pool.name!r}; does pg_server.announce stand in mine_functions of its minions?"
            )
        return servers.primary
    if not servers.replicas:
        raise Trouble(f"cluster {pool.cluster!r} has no replica, which pool {pool.name!r} asks for")
    return servers.replicas[int(sha256(node.encode()).hexdigest(), 16) % len(servers.replicas)]
