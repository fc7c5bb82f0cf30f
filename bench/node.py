"""What the highstate of an app node costs, how it grows with pools, and what clients notice of it."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from statistics import median, quantiles
from time import perf_counter, sleep

from bench import app_node, meter, plot, report, server
from bench.app_node import NAME, SERVICE, AppNode
from bench.minion import NOTHING, Minion
from pgpillar import connect, discovery, node, node_secret, rollout
from pgpillar.bouncer import Installation

TURNS = 11
POOLS = 200
CONVERGES = 50
REST = 60  # seconds
EMPTY, PLAIN, OURS = "nothing at all", "two file.managed", "an app node"
SERVED = ", and service.running"


def measure(directory, say) -> None:
    with server.running(max_connections=500) as running, app_node.running(running) as at_work:
        turns = _turns(at_work, say)
        streams = _streams(at_work, say)
        pools = _pools(at_work, say)
        tables = {
            "node": _node_table(turns),
            "pools": pools,
            "stream": _stream_table(streams),
            "node-machine": at_work.machine(),
        }
    report.save(directory, tables, {"stream": _panels(streams)})


# Nothing to do


def _turns(at_work: AppNode, say) -> dict[str, list[float]]:
    """The seconds of each run, in turns, so that a noisy moment meets all."""
    minions = _minions(at_work)
    turns: dict[str, list[float]] = {name: [] for name in minions}
    for _ in range(TURNS):
        for name, minion in minions.items():
            turns[name].append(minion.highstate(changing=False).seconds)
    for name, some in turns.items():
        say(f"nothing to do, {name}: {median(some):.2f} s")
    return turns


def _minions(at_work: AppNode) -> dict[str, Minion]:
    """Each with nothing left to do."""
    directory = at_work.minion.directory.parent
    files = {
        name: {"file.managed": [{"name": str(directory / name)}, {"contents": f"this is {name}"}]}
        for name in ("one", "two")
    }
    trees = {
        EMPTY: NOTHING,
        PLAIN: files,
        OURS: app_node.STATES,
        PLAIN + SERVED: {**files, **SERVICE},
        OURS + SERVED: {**app_node.STATES, **SERVICE},
    }
    root = {"pgpillar_root": str(directory / "root")}
    minions = {
        name: Minion(directory / f"minion-{number}", at_work.tree(), states, **root)
        for number, (name, states) in enumerate(trees.items())
    }
    for minion in minions.values():
        minion.warm_up()
    minions[PLAIN].highstate(changing=True)
    return minions


def _node_table(turns: dict[str, list[float]]) -> list[list]:
    head = ["A highstate with nothing to do", "median, s", "least, s", "most, s", "ratio", "aim"]
    rows = []
    for name, some in turns.items():
        floor = turns[name.replace(OURS, PLAIN)]
        seconds = [f"{seconds:.2f}" for seconds in (median(some), min(some), max(some))]
        aimed = [f"{median(some) / median(floor):.2f}", "≤ 1.3"] if name.startswith(OURS) else ["", ""]
        rows.append([name, *seconds, *aimed])
    return [head, *rows]


# Many pools


def _pools(at_work: AppNode, say) -> list[list]:
    """The seconds of each part of bringing many pools, in this process."""
    pools = {f"pool{i:03}": {"size": 1} for i in range(POOLS - 1)}
    one, many = at_work.tree(), at_work.tree(**pools)
    at_work.minion.hold(many)
    whole = at_work.minion.highstate(changing=True).seconds
    again = median(at_work.minion.highstate(changing=False).seconds for _ in range(3))
    at_work.minion.hold(one)
    at_work.minion.highstate(changing=True)
    parts = _parts(at_work, many)
    parts |= {"the whole highstate that brings them": whole, "a highstate with nothing to do": again}
    for name, seconds in parts.items():
        say(f"{POOLS} pools, {name}: {seconds:.3f} s")
    head = [f"From 1 pool to {POOLS}", "s"]
    return [head, *([name, f"{seconds:.3f}"] for name, seconds in parts.items())]


def _parts(at_work: AppNode, tree: dict) -> dict[str, float]:
    wanted = node.read(tree)
    made = rollout.Wanted(
        wanted,
        discovery.of_pools(wanted, NAME, None),
        {client: node_secret.read(client, at_work.paths.secrets) for client in wanted.clients},
        tuple(filter(None, map(connect.ca_of, wanted.endpoints.values()))),
    )
    one = rollout.Rollout(Installation(at_work.paths.pgbouncer, "postgres"), made, at_work.paths)
    pools = list(wanted.pools.values())
    parts = {
        "reading pillar": lambda: node.read(tree),
        "rendering and comparing": one.changes,
        "a login straight to the server for each": lambda: one._insist(one._direct_failures(pools)),
        "a login through a scratch instance for each": lambda: one._tried(pools),
        "writing, reload, reading back": lambda: one._replace(one.hides),
    }
    return {name: _seconds(do) for name, do in parts.items()}


def _seconds(do: Callable) -> float:
    begun = perf_counter()
    do()
    return perf_counter() - begun


# A steady client


def _streams(at_work: AppNode, say) -> dict[str, dict]:
    _prefer(at_work)
    other = [at_work.tree(other={"size": size}) for size in (5, 6)]
    at_work.minion.hold(other[1])
    at_work.minion.highstate(changing=True)

    def change(number):
        at_work.minion.hold(other[number % 2])
        at_work.minion.highstate(changing=True)

    phases = {
        "at rest": lambda: sleep(REST),
        "nothing changes": lambda: _often(lambda _: at_work.minion.highstate(changing=False)),
        "another pool changes": lambda: _often(change),
    }
    found = {}
    for name, phase in phases.items():
        found[name] = _stream(at_work, phase)
        say(f"{name}: {_stream_row(name, found[name], found['at rest'])}")
    at_work.minion.hold(at_work.tree())
    at_work.minion.highstate(changing=True)
    return found


def _prefer(at_work: AppNode) -> None:
    """Let the way of the client never wait for a processor that a highstate has: that is not looked for."""
    for pid in (at_work.server.pid, int(Path(at_work.paths.pid).read_text())):
        os.sched_setscheduler(pid, os.SCHED_RR, os.sched_param(1))
    at_work.console.ask("RECONNECT")  # sessions are as preferred as the server was when they began


def _often(do: Callable) -> None:
    for number in range(CONVERGES):
        do(number)


def _stream(at_work: AppNode, phase: Callable) -> dict:
    """What a client of the usual pool saw while something went on."""
    command = ["chrt", "--rr", "1", sys.executable, Path(__file__).with_name("stream.py"), NAME]
    pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE}
    with subprocess.Popen(command, env=meter.environment(**at_work.environment), **pipes) as client:
        phase()
        return json.loads(client.communicate()[0])


SHARES = {"median": 500, "99 %": 990, "99.9 %": 999}


def _at(stream: dict) -> list[float]:
    """The milliseconds below which each share of the answers came."""
    thousandths = quantiles(stream["took"], n=1000)
    return [thousandths[share - 1] for share in SHARES.values()]


def _stream_table(streams: dict[str, dict]) -> list[list]:
    head = [
        f"While {CONVERGES} highstates run",
        "answers",
        "errors",
        *(f"{share}, ms" for share in SHARES),
        "most, ms",
    ]
    rest = streams["at rest"]
    return [
        [*head, "99.9 %, above rest, ms"],
        *(_stream_row(name, some, rest) for name, some in streams.items()),
    ]


def _stream_row(name: str, stream: dict, rest: dict) -> list:
    step = _at(stream)[-1] - _at(rest)[-1]
    told = [f"{ms:.2f}" for ms in (*_at(stream), max(stream["took"]))]
    return [name, len(stream["took"]), len(stream["errors"]), *told, f"{step:.2f}"]


COLOURS = ("#08519c", "#999999", "#a50f15")


def _panels(streams: dict[str, dict]) -> list[plot.Panel]:
    lines = [
        plot.Line(name, colour, _slowest(some))
        for (name, some), colour in zip(streams.items(), COLOURS, strict=True)
    ]
    title = f"One of N answers was slower, while {CONVERGES} highstates ran"
    return [plot.Panel(title, "N (logarithmic)", "milliseconds (logarithmic)", lines, True)]


def _slowest(stream: dict) -> list[tuple[float, float]]:
    took = sorted(stream["took"], reverse=True)
    return [(n, took[len(took) // n]) for n in (2, 10, 100, 1000)]
