"""Where the servers of a cluster are: its primary and its replicas, whatever the source says it."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from hashlib import sha256
from typing import NamedTuple

from pgpillar.model import Endpoint, Place, Trouble
from pgpillar.node import Node, Pool

MINE = "postgresql"  # what servers announce themselves under, followed by the cluster


class Servers(NamedTuple):
    """Those of one cluster."""

    primary: Place | None
    replicas: tuple[Place, ...]


def static(endpoint: Endpoint) -> Servers:
    """As pillar says it."""
    return Servers(Place(endpoint.host, endpoint.port, endpoint.hostaddr), endpoint.replicas)


def mined(endpoint: Endpoint, announced: Mapping[str, Mapping]) -> Servers:
    """As the servers announce it in the Salt mine, each with its role. ``announced``: by minion."""
    here = {minion: said for minion, said in announced.items() if said["port"] == endpoint.port}
    primaries = [said for said in here.values() if not said["in_recovery"]]
    if len(primaries) > 1:
        names = ", ".join(sorted(minion for minion, said in here.items() if not said["in_recovery"]))
        raise Trouble(f"more than one server of {endpoint.host} says that it is the primary: {names}")
    primary = Place(endpoint.host, endpoint.port, primaries[0]["address"]) if primaries else None
    replicas = sorted(
        Place(said["host"], said["port"], said["address"]) for said in here.values() if said["in_recovery"]
    )
    return Servers(primary, tuple(replicas))


def of_pools(node: Node, name: str, ask_mine: Callable) -> dict[str, Place]:
    """Where each pool of a node leads. ``ask_mine``: Salt's mine.get; ``name``: the node's."""
    servers = {cluster: _servers(cluster, endpoint, ask_mine) for cluster, endpoint in node.endpoints.items()}
    return {pool.name: server_of(pool, servers[pool.cluster], name) for pool in node.pools.values()}


def _servers(cluster: str, endpoint: Endpoint, ask_mine: Callable) -> Servers:
    if endpoint.discovery == "static":
        return static(endpoint)
    if endpoint.discovery == "mine":
        return mined(endpoint, ask_mine("*", f"{MINE}.{cluster}"))
    raise Trouble(
        f"postgresql:clusters:{cluster}:discovery: {endpoint.discovery!r} is not there yet; take another"
    )


def server_of(pool: Pool, servers: Servers, node: str) -> Place:
    """The server that a pool of this node leads to. The nodes spread over the replicas."""
    if pool.target == "primary":
        if servers.primary is None:
            raise Trouble(
                f"no server of cluster {pool.cluster!r} says that it is the primary, for pool {pool.name!r}"
            )
        return servers.primary
    if not servers.replicas:
        raise Trouble(f"cluster {pool.cluster!r} has no replica, which pool {pool.name!r} asks for")
    return servers.replicas[int(sha256(node.encode()).hexdigest(), 16) % len(servers.replicas)]
