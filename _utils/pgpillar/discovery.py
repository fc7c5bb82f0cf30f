"""Where the servers of a cluster are: its primary and its replicas, whatever the source says it."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Mapping
from dataclasses import replace
from hashlib import sha256
from typing import NamedTuple

from pgpillar import consul
from pgpillar.model import Endpoint, Place, Trouble, ip_address, port
from pgpillar.node import Node, Pool
from pgpillar.screen import visible

MINE = "postgresql"  # what servers announce themselves under, followed by the cluster
HOST = r"[\w.:-]{1,253}"  # and no directory of sockets, which anybody on the node could have made
LONGEST = 40  # characters of what a server says of itself that are shown


class Servers(NamedTuple):
    """Those of one cluster."""

    primary: Place | None
    replicas: tuple[Place, ...]
    without: str = ""  # what to say where there is no primary


class Said(NamedTuple):
    """What a server says of itself, and how to speak of it."""

    title: str
    place: Place
    in_recovery: bool


def static(cluster: str, endpoint: Endpoint, salt: Mapping[str, Callable]) -> Servers:
    """As pillar says it."""
    return Servers(Place(endpoint.host, endpoint.port, endpoint.hostaddr), endpoint.replicas)


def mined(cluster: str, endpoint: Endpoint, salt: Mapping[str, Callable]) -> Servers:
    """As the servers announce it in the Salt mine, each with its role."""
    found = announced(cluster, endpoint.minions, salt)
    said = _believable(cluster, found)
    _insist_on_one(
        cluster, said, "the Salt mine", ", and take out what it said: salt-run cache.clear_mine tgt=MINION"
    )
    return _sorted_out(
        endpoint,
        said,
        f"no server of cluster {cluster!r} says in the Salt mine that it is the primary;"
        " does pg_server.announce stand in mine_functions of its minions?",
    )


def announced(cluster: str, minions: Iterable[str], salt: Mapping[str, Callable]) -> Mapping[str, Mapping]:
    """What these minions said in the mine of their servers of a cluster."""
    asked = f"{MINE}.{cluster}"  # in a list, for a comma would make it two
    return salt["mine.get"](minions, [asked], "list").get(asked, {})


def _believable(cluster: str, announced: Mapping[str, object]) -> list[Said]:
    """What each minion said, for it goes into files; one that says what is no place is named."""
    said = {minion: _announcement(minion, announced[minion]) for minion in sorted(announced)}
    if strange := [minion for minion, one in said.items() if one is None]:
        raise Trouble(
            f"what {', '.join(strange)} said in the Salt mine as {MINE}.{cluster} is no server's place;"
            " give it pg_server.announce in mine_functions, then mine.update"
        )
    return list(said.values())


def _announcement(minion: str, said: object) -> Said | None:
    try:
        place = Place(_host(said["host"]), port(said["port"]), ip_address(said["address"]))
        if not isinstance(said["in_recovery"], bool):
            return None
    except (KeyError, TypeError, ValueError):
        return None
    asked = said.get("asked")
    when = visible(asked[:LONGEST]) if isinstance(asked, str) else "an unknown time"
    return Said(f"{minion} (at {when})", place, said["in_recovery"])


def _host(text: object) -> str:
    if isinstance(text, str) and re.fullmatch(HOST, text):
        return text
    raise ValueError("not the name of a host")


def consulted(cluster: str, endpoint: Endpoint, salt: Mapping[str, Callable]) -> Servers:
    """As the servers say it to Consul whenever that asks. What does not pass its check is not there."""
    services = consul.Agent(cluster, endpoint, salt["http.query"]).services()
    believed = [one for one in services if one.minion in endpoint.minions]
    said = [_testimony(one) for one in believed if one.passes]
    _insist_on_one(cluster, said, "Consul", "")
    return _sorted_out(endpoint, said, _no_primary_in_consul(cluster, endpoint, services, believed))


def _testimony(one: consul.Service) -> Said:
    title = f"{one.minion} (at {one.address}:{one.port})"
    return Said(title, Place(one.minion, one.port, one.address), one.role != "primary")


def _no_primary_in_consul(cluster: str, endpoint: Endpoint, services: list, believed: list) -> str:
    where = f"postgresql:clusters:{cluster}"
    if not services:
        return (
            f"Consul knows no service {endpoint.consul.service!r} of cluster {cluster!r}, or does not tell it"
            " this node; apply postgresql.consul on its servers, and where Consul has ACLs put a token that"
            f" may read it into {where}:consul:token"
        )
    if not believed:
        return f"Consul has {_minions(services)} in cluster {cluster!r}; name its servers in {where}:minions"
    return (
        f"none of cluster {cluster!r} passes Consul's check as the primary (there are {_minions(believed)});"
        " start or promote one"
    )


def _minions(services: Iterable[consul.Service]) -> str:
    return ", ".join(sorted({one.minion for one in services}))


SOURCES = {"static": static, "mine": mined, "consul": consulted}


def _insist_on_one(cluster: str, said: Iterable[Said], source: str, remedy: str) -> None:
    primaries = [one.title for one in said if not one.in_recovery]
    if len(primaries) > 1:
        raise Trouble(
            f"cluster {cluster!r} has more than one primary by {source}: {' and '.join(primaries)} said so;"
            f" stop the one that should not be{remedy}"
        )


def _sorted_out(endpoint: Endpoint, said: Iterable[Said], without: str) -> Servers:
    primary = next((one.place._replace(host=endpoint.host) for one in said if not one.in_recovery), None)
    leading = primary and primary[1:]  # for a moment, one that is promoted passes as both
    replicas = sorted(one.place for one in said if one.in_recovery and one.place[1:] != leading)
    # Without a replica the primary stands in, so that a failover of two servers leaves no pool behind
    return Servers(primary, tuple(replicas) or tuple(filter(None, [primary])), without)


def of_pools(node: Node, name: str, salt: Mapping[str, Callable]) -> dict[str, Place]:
    """Where each pool of a node leads. ``salt``: Salt's functions; ``name``: the node's."""
    servers = {cluster: of_cluster(cluster, endpoint, salt) for cluster, endpoint in node.endpoints.items()}
    return {pool.name: server_of(pool, servers[pool.cluster], name) for pool in node.pools.values()}


def of_cluster(cluster: str, endpoint: Endpoint, salt: Mapping[str, Callable]) -> Servers:
    """Where its servers are now."""
    return SOURCES[endpoint.discovery](cluster, endpoint, salt)


def primary_beside(
    cluster: str, endpoint: Endpoint, salt: Mapping[str, Callable], minion: str
) -> Place | None:
    """The primary of a minion's cluster, where that is another server than its own."""
    others = tuple(one for one in endpoint.minions if one != minion)
    if endpoint.discovery != "static":
        return of_cluster(cluster, replace(endpoint, minions=others), salt).primary if others else None
    place = of_cluster(cluster, endpoint, salt).primary
    return None if place.hostaddr in salt["network.ip_addrs"]() else place


def server_of(pool: Pool, servers: Servers, node: str) -> Place:
    """The server that a pool of this node leads to. The nodes spread over the replicas."""
    if pool.target == "primary":
        if servers.primary is None:
            raise Trouble(f"pool {pool.name!r} has no server: {servers.without}")
        return servers.primary
    if not servers.replicas:
        raise Trouble(f"cluster {pool.cluster!r} has no replica, which pool {pool.name!r} asks for")
    return servers.replicas[int(sha256(node.encode()).hexdigest(), 16) % len(servers.replicas)]
