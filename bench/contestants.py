"""Who is measured: each makes the same databases, and is run once more when they are there."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

from bench import meter, server
from bench.minion import NOTHING, Minion
from bench.workload import Workload
from devtools import postgres
from pgpillar import connect, observe, pillar, plan, sql

# pgpillar's ways in, and for each the floor over the same one
WAYS = ("socket", "tls")
OWN = ("default", "tuned")
NAMES = {
    "default": "Salt's own states, Debian's defaults",
    "tuned": "Salt's own states, best tuning",
    "socket": "pgpillar, over the socket",
    "floor socket": "floor, over the socket",
    "tls": "pgpillar, over verify-full",
    "floor tls": "floor, over verify-full",
}


class Times(NamedTuple):
    first: float
    again: float


class Place(NamedTuple):
    """The server, and a directory for all that a contestant writes."""

    server: postgres.Server
    directory: Path


def own_states(place: Place, workload: Workload, n: int, name: str) -> Times:
    minion = OWN_MINIONS[name](place, workload, n)
    minion.warm_up()
    return Times(minion.highstate(changing=True).seconds, minion.highstate(changing=False).seconds)


def _default(place: Place, workload: Workload, n: int) -> Minion:
    """Only where the server is stands there: this one is not on 5432."""
    options = {"postgres.host": str(place.server.socket_dir), "postgres.port": place.server.port}
    return Minion(place.directory / "default", {}, workload.own_states(n, False), **options)


def _tuned(place: Place, workload: Workload, n: int) -> Minion:
    """No Perl wrapper around psql, no su (the host begins with no slash), no TLS, no password, no Jinja."""
    options = {
        "postgres.host": server.abstract_socket(place.server),
        "postgres.port": place.server.port,
        "postgres.user": place.server.superuser,
        "postgres.bins_dir": str(place.server.bindir),
    }
    return Minion(place.directory / "tuned", {}, workload.own_states(n, True), "json", **options)


OWN_MINIONS: dict[str, Callable[[Place, Workload, int], Minion]] = {"default": _default, "tuned": _tuned}


class Ours:
    """pgpillar over one way, an empty run with the same pillar, and the bare script."""

    def __init__(self, place: Place, tree: dict, way: str):
        tree = {"clusters": {"main": server.endpoint(place.server, way)}, **tree}
        self.directory = place.directory / way
        self.declared = pillar.read(tree)["main"]
        self.minion = Minion(self.directory / "pgpillar", tree, None)
        self.empty = Minion(self.directory / "empty", tree, NOTHING)
        self.minion.warm_up()
        self.empty.warm_up()

    def first(self) -> meter.Cost:
        return self.minion.highstate(changing=True)

    def again(self) -> meter.Cost:
        return self.minion.highstate(changing=False)

    def empty_run(self) -> float:
        return self.empty.highstate(changing=False).seconds

    def plan(self) -> dict:
        """The statements of pgpillar's plan as text, as the bare script takes them."""
        with connect.gateway(self.declared.endpoint) as gateway, gateway.open() as connection:
            changes = plan.plan(observe.read(gateway, self.declared.cluster).current, self.declared.cluster)
            version = connection.server_version
            texts = [(c, [s.as_string(connection) for s in sql.statements(c, version)]) for c in changes]
        roles = [text for change, some in texts if not change.database for text in some]
        databases: dict[str, tuple[list, list]] = {}
        for change, some in texts:
            if change.database:
                outside, inside = databases.setdefault(change.database, ([], []))
                (outside if change.kind == "create database" else inside).extend(some)
        return {
            "writes": {"roles": roles, "databases": [(name, *parts) for name, parts in databases.items()]}
        }

    def reads(self) -> dict:
        return {"reads": {"databases": [*self.declared.cluster.databases], "at_once": observe.READERS}}

    def script(self, work: dict) -> float:
        """The seconds of the bare script, without the start of its interpreter: that is in the empty run."""
        with connect.gateway(self.declared.endpoint) as gateway:
            way = {k: v for k, v in gateway.parameters().items() if k != "dbname"}
            if gateway.endpoint.password:
                way["password"] = gateway.endpoint.password.reveal()
            file = self.directory / "work.json"
            file.touch(0o600)
            file.write_text(json.dumps({"connection": way, **work}))
            output = self.directory / "floor.out"
            meter.run([sys.executable, Path(__file__).with_name("floor.py"), file], output)
        return json.loads(output.read_text())
