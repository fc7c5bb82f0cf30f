"""How everything is: what minions said of themselves, put together by cluster and by app node. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from fnmatch import fnmatchcase
from itertools import chain
from typing import NamedTuple

from pgpillar import screen, text
from pgpillar.faults import NONSENSE, grouped, to_do, trouble, unheard, wrong

Told = Mapping[str, object]


def roles_of(minions: Iterable[str], entries: Mapping[str, Iterable[str]]) -> dict[str, list[str]]:
    """The minions that entries of roles.yaml mean, each with its roles."""
    found = {
        minion: chain(*(roles for glob, roles in entries.items() if fnmatchcase(minion, glob)))
        for minion in sorted(minions)
    }
    told = {minion: [*dict.fromkeys(roles)] for minion, roles in found.items()}
    return {minion: roles for minion, roles in told.items() if roles}


# On a minion


def drift_of(plan: Mapping) -> int | dict[str, str]:
    """How many changes pg_access.plan tells; where a part could not be read, why."""
    told = (f"{where}: {why}" for where, why in plan["failures"].items())
    return {"trouble": "; ".join(told)} if plan["failures"] else text.leaves(plan["changes"])


# On the master


def of(minions: Mapping[str, Iterable[str]], answers: Mapping[str, object]) -> dict[str, object]:
    """How everything is, as data. One minion that talks nonsense keeps nobody from hearing the others."""
    return Status(minions, {minion: _understood(minion, said) for minion, said in answers.items()}).data()


def _understood(minion: str, said: object) -> object:
    try:
        screen.drawn(Status({minion: ()}, {minion: said}).data(), 80, False)
        _insist_on_what_is_compared(said)
    except (ArithmeticError, AttributeError, LookupError, TypeError, ValueError):
        return NONSENSE
    return said if isinstance(said, (dict, str)) else NONSENSE


def _insist_on_what_is_compared(said: object) -> None:
    """Where a server is, and how far, is compared with what other minions say."""
    server = said.get("server") if isinstance(said, Mapping) else None
    if server is None:
        return
    addresses = server["addresses"]
    if not (isinstance(addresses, list) and all(isinstance(one, str) for one in addresses)):
        raise TypeError("the addresses are not a list of texts")
    if lsn := server["standing"].get("lsn"):
        _place(lsn)


class Status(NamedTuple):
    """``minions``: those that were asked, with their roles. ``answers``: what those said that answered."""

    minions: Mapping[str, Iterable[str]]
    answers: Mapping[str, object]

    def data(self) -> dict[str, object]:
        """All of it, for programs. ``retcode`` is what salt-run ends with."""
        found = {"clusters": self._clusters(), "nodes": self._nodes(), **unheard(self.minions, self.answers)}
        faults, tasks = grouped(wrong(found)), grouped(to_do(found))
        return {**found, "wrong": faults, "to_do": tasks, "retcode": 1 if faults else 2 if tasks else 0}

    def _parts(self, name: str) -> Iterator[tuple[str, Told]]:
        """What each minion that has such a part said of it."""
        for minion, answer in sorted(self.answers.items()):
            if isinstance(answer, Mapping) and name in answer:
                yield minion, answer[name]

    def _clusters(self) -> dict[str, dict]:
        found: dict[str, dict] = {}
        for minion, server in self._parts("server"):
            _cluster(found, server["cluster"])["servers"][minion] = server
        for minion, clusters in self._parts("clusters"):
            for name, told in clusters.items():
                if not _is(found.get(name, {}).get("servers", {}).get(minion, {}), "replica"):
                    _cluster(found, name)["admins"][minion] = told
        return {name: _related(**cluster) for name, cluster in sorted(found.items())}

    def _nodes(self) -> dict[str, dict]:
        """The app nodes; their pools lead to minions, where the address is that of one."""
        names = {
            address: minion for minion, server in self._parts("server") for address in server["addresses"]
        }
        return {minion: {**node, "pools": _led(node["pools"], names)} for minion, node in self._parts("node")}


def _cluster(found: dict[str, dict], name: str) -> dict:
    return found.setdefault(name, {"servers": {}, "admins": {}})


def _led(pools: Told, names: Mapping[str, str]) -> dict:
    if trouble(pools):
        return dict(pools)
    return {
        name: {**pool, "leads_to": [names.get(one, one) for one in pool["leads_to"]]}
        for name, pool in pools.items()
    }


# Servers beside one another


def _is(server: Told, role: str) -> bool:
    return server.get("standing", {}).get("role") == role


def _related(servers: Mapping[str, Told], admins: Mapping[str, Told]) -> dict[str, object]:
    """A cluster with what its servers say of each other."""
    primaries = [minion for minion, server in servers.items() if _is(server, "primary")]
    primary = servers[primaries[0]]["standing"] if len(primaries) == 1 else {}
    seen = {minion: _seen(primary, minion, server) for minion, server in servers.items()}
    return {
        "primaries": primaries,
        "servers": {
            minion: {**server, "behind": _behind(server["standing"], primary, seen[minion])}
            if _is(server, "replica")
            else server
            for minion, server in servers.items()
        },
        "strangers": [row for row in primary.get("replicas", ()) if row not in seen.values()],
        "admins": admins,
    }


def _seen(primary: Told, minion: str, server: Told) -> Told | None:
    """The replica on a minion as its primary sees it: by its name there, or by its address."""
    rows = primary.get("replicas", ())
    named = [row for row in rows if row["name"] == minion]
    return next(iter(named or [row for row in rows if row["address"] in server["addresses"]]), None)


def _behind(standing: Told, primary: Told, seen: Told | None) -> dict[str, object]:
    """How far a replica is behind, and in what state. None: nobody can tell."""
    far = seen["lag_bytes"] if seen else _distance(primary.get("lsn"), standing["lsn"])
    following = standing["following"]
    return {
        "state": seen["state"] if seen else following["state"],
        "bytes": far,
        "seconds": following["lag_seconds"],
    }


def _distance(ahead: str | None, behind: str | None) -> int | None:
    return max(_place(ahead) - _place(behind), 0) if ahead and behind else None


def _place(lsn: str) -> int:
    high, low = lsn.split("/")
    return (int(high, 16) << 32) + int(low, 16)
