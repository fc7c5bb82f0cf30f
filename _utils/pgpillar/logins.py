"""Who is to get in where: each user of pillar, to the primary and to every replica. Pure."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import replace
from operator import itemgetter
from typing import NamedTuple

from pgpillar.discovery import Servers
from pgpillar.faults import IN, NONSENSE, grouped, not_heard, unheard
from pgpillar.model import PRESENT, Endpoint, Place, Secret
from pgpillar.pillar import PillarError, Reader
from pgpillar.replication import DATABASE
from pgpillar.shape import Notes
from pgpillar.tree import ROOT, TREE

KEYS = {"cluster", "user", "server", "role", "login"}  # of what is told of a login


class Login(NamedTuple):
    """A user at one of a cluster's servers."""

    cluster: str
    user: str
    server: Place
    is_replica: bool
    endpoint: Endpoint  # with all it takes to be that user there

    def told(self, verdict: str) -> dict[str, str]:
        """What is told of it: no password, and nothing by which one could be guessed."""
        host, port, address = self.server
        where = f"{host}:{port}" + (f" ({address})" if address else "")
        role = "replica" if self.is_replica else "primary"
        return {"cluster": self.cluster, "user": self.user, "server": where, "role": role, "login": verdict}


def of(tree: Mapping, find: Callable[[str, Endpoint], Servers]) -> list[Login]:
    """The logins of all users whose password this pillar holds. ``find``: the servers of a cluster."""
    notes = Notes()
    reader = Reader(TREE.read(tree, ROOT, notes), notes)
    wanted = [*_wanted(reader)]
    endpoints = {cluster: reader.endpoint(cluster) for cluster, *_ in wanted}
    if notes.problems:
        raise PillarError(notes.problems)
    servers = {cluster: find(cluster, endpoint) for cluster, endpoint in endpoints.items()}
    return [
        Login(cluster, user, place, is_replica, _as(endpoints[cluster], user, password, database, place))
        for cluster, user, password, database in wanted
        for place, is_replica in _places(servers[cluster])
    ]


def _wanted(reader: Reader) -> Iterator[tuple]:
    """Each user with a password, once for each cluster, and a database there that it may use."""
    for user, entry in sorted(reader.tree["users"].items()):
        usable = sorted(reader.usable_by(user), reverse=True)
        by_cluster = _of_replicas(reader, user) | {
            reader.cluster_of[one]: reader.named(one) for one in usable
        }
        for cluster, database in sorted(by_cluster.items()) if entry["state"] == PRESENT else ():
            if cluster and entry["password"]:
                yield cluster, user, entry["password"], database


def _of_replicas(reader: Reader, user: str) -> dict[str, str]:
    """The database that replicas of this minion's server come into as this user, by its cluster."""
    entry = reader.tree["server"]
    if not entry or entry["replication"] != user:
        return {}
    return {reader.known_cluster(entry["cluster"], ROOT / "server" / "cluster"): DATABASE}


def _places(servers: Servers) -> Iterator[tuple[Place, bool]]:
    """The servers of a cluster. A primary that stands in for its replicas is the primary still."""
    if servers.primary:
        yield servers.primary, False
    yield from ((place, True) for place in servers.replicas if place != servers.primary)


def _as(endpoint: Endpoint, user: str, password: Secret, database: str, place: Place) -> Endpoint:
    return replace(endpoint, user=user, password=password, database=database, **place._asdict())


# On the master


def _is_known(told: object) -> bool:
    return not told or isinstance(told, str) or (isinstance(told, list) and all(map(_is_login, told)))


def _is_login(one: object) -> bool:
    return (
        isinstance(one, dict) and one.keys() == KEYS and all(isinstance(said, str) for said in one.values())
    )


def report(minions: Mapping[str, Iterable[str]], answers: Mapping[str, object]) -> dict[str, object]:
    """All logins, each with the minions ``from`` which it was tried, and what is wrong.

    What one minion says in another form hides nothing that the others say.
    """
    answers = {minion: told if _is_known(told) else NONSENSE for minion, told in answers.items()}
    rows: dict[tuple, dict] = {}
    for minion, told in sorted(answers.items()):
        for login in told if isinstance(told, list) else ():
            rows.setdefault(tuple(login.values()), {**login, "from": []})["from"].append(minion)
    refused = [(row["user"], row["login"]) for row in rows.values() if row["login"] != IN]
    found = {
        "logins": sorted(rows.values(), key=itemgetter("cluster", "user", "role", "server")),
        **unheard(minions, answers),
    }
    wrong = grouped([*not_heard(found), *refused])
    return {**found, "wrong": wrong, "to_do": {}, "retcode": int(bool(wrong))}
