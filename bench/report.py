"""What was measured, as tables for docs/benchmarks.rst and as pictures."""

from __future__ import annotations

import csv
import os
import platform
from collections.abc import Callable, Sequence
from datetime import UTC, datetime
from pathlib import Path

import psycopg2
import salt.version

from bench import plot
from bench.contestants import NAMES, WAYS
from bench.workload import WORKLOADS
from pgpillar import observe

COLOURS = {
    "default": "#a50f15",
    "tuned": "#e6550d",
    "socket": "#08519c",
    "tls": "#4f9bd9",
    "floor socket": "#555555",
    "floor tls": "#999999",
}


def write(directory: Path, server, rows: list[dict], sizes: list[dict], readers: list[dict]) -> None:
    """What ``full`` and ``quick`` measure."""
    tables = {
        "machine": machine(server),
        "times": _times(rows),
        "ratios": _ratios(rows),
        "scale": _scale(sizes),
        "readers": _readers(readers),
    }
    pictures = {name: _duel([r for r in rows if r["workload"] == name]) for name in WORKLOADS}
    save(directory, tables, {**pictures, "scale": _growth(sizes)})


def save(directory: Path, tables: dict[str, list], pictures: dict[str, list[plot.Panel]]) -> None:
    directory.mkdir(parents=True, exist_ok=True)
    for name, table in tables.items():
        with (directory / f"{name}.csv").open("w", newline="") as file:
            csv.writer(file, lineterminator="\n").writerows(table)
    for name, panels in pictures.items():
        (directory / f"{name}.svg").write_text(plot.svg(panels))


def machine(server) -> list[Sequence]:
    version = server.query("show server_version", password="")[0][0]
    return [
        ("Measured", f"{datetime.now(UTC):%Y-%m-%d}"),
        ("Processors", os.cpu_count()),
        ("Load at the end, 15 minutes", f"{os.getloadavg()[2]:.1f}"),
        ("PostgreSQL", f"{version}, private, on the same machine, fsync off"),
        ("Salt", salt.version.__version__),
        ("Python", platform.python_version()),
        ("psycopg2", psycopg2.__version__.split()[0]),
    ]


def _times(rows: list[dict]) -> list[Sequence]:
    head = ["", "N", *(NAMES[name] for name in NAMES)]
    return [head, *([WORKLOADS[r["workload"]].title, r["n"], *map(_cell(r), NAMES)] for r in rows)]


def _cell(row: dict) -> Callable[[str], str]:
    def cell(name: str) -> str:
        times = row["times"].get(name)
        return f"{times.first:.2f} / {times.again:.2f}" if times else "–"

    return cell


# Ratios: what is aimed at, and what was measured

_AIMS = (
    ("A second run, against Salt's own states with Debian's defaults", "again", "default", "socket", "≥ 50"),
    ("A second run, against Salt's own states at their best", "again", "tuned", "socket", "≥ 10"),
    ("The floor's second run, against the first of these", "again", "default", "floor socket", ""),
    ("The floor's second run, against the second", "again", "tuned", "floor socket", ""),
    (
        "A second run, against an empty run and the bare catalog reads",
        "again",
        "socket",
        "floor socket",
        "≤ 1.5",
    ),
    ("The same over verify-full", "again", "tls", "floor tls", "≤ 1.5"),
    ("The first run, against an empty run and the bare script", "first", "socket", "floor socket", "≤ 1.3"),
    ("The same over verify-full", "first", "tls", "floor tls", "≤ 1.3"),
    ("The first run, against Salt's own states with Debian's defaults", "first", "default", "socket", ""),
    ("The first run, against Salt's own states at their best", "first", "tuned", "socket", ""),
)


def _ratios(rows: list[dict]) -> list[Sequence]:
    table = [["", "aim at N = 200", *(f"{r['workload']}, N = {r['n']}" for r in rows)]]
    for what, when, above, below, aim in _AIMS:
        table.append([what, aim, *(_ratio(r["times"], when, above, below) for r in rows)])
    return table


def _ratio(times: dict, when: str, above: str, below: str) -> str:
    if above not in times or below not in times:
        return "–"
    return f"{getattr(times[above], when) / getattr(times[below], when):.3g}"


def _scale(sizes: list[dict]) -> list[Sequence]:
    head = [
        "databases",
        "roles",
        "empty run, s",
        "first run, s",
        "per database, ms",
        "peak, MiB",
        "second run, s",
        "per database, ms",
        "peak, MiB",
    ]
    return [head, *(_size(row) for row in sizes)]


def _size(row: dict) -> list:
    def share(cost):
        seconds = cost.seconds - row["empty"]
        return [f"{cost.seconds:.2f}", f"{seconds / row['n'] * 1000:.1f}", f"{cost.peak:.0f}"]

    return [row["n"], row["roles"], f"{row['empty']:.2f}", *share(row["first"]), *share(row["again"])]


def _readers(readers: list[dict]) -> list[Sequence]:
    counts = [*readers[0]["times"]]
    head = [f"Reading {readers[0]['n']} databases, s"]
    head += [f"{count} at once" + (" (as it is)" if count == observe.READERS else "") for count in counts]
    return [
        head,
        *([NAMES[row["way"]], *(f"{row['times'][count]:.2f}" for count in counts)] for row in readers),
    ]


# Pictures


def _duel(rows: list[dict]) -> list[plot.Panel]:
    return [
        _panel(rows, "first", "First run: all is made"),
        _panel(rows, "again", "Second run: nothing is left to do"),
    ]


def _panel(rows: list[dict], when: str, title: str) -> plot.Panel:
    lines = []
    for name in NAMES:
        if points := [(r["n"], getattr(r["times"][name], when)) for r in rows if name in r["times"]]:
            label = _label(name, rows, when)
            lines.append(plot.Line(label, COLOURS[name], points, name.startswith("floor")))
    return plot.Panel(
        title, "N (databases, logarithmic)", "seconds, whole process (logarithmic)", lines, True
    )


def _label(name: str, rows: list[dict], when: str) -> str:
    """A name, and how many times as long as pgpillar it takes at the largest size that it was run at."""
    short = {"default": "Salt, default", "tuned": "Salt, tuned", "socket": "pgpillar", "tls": "pgpillar, TLS"}
    label = short.get(name, name.replace("floor socket", "floor").replace("floor tls", "floor, TLS"))
    if name in WAYS:
        return label
    row = [r for r in rows if name in r["times"]][-1]
    base = row["times"]["tls" if name == "floor tls" else "socket"]
    times = getattr(row["times"][name], when) / getattr(base, when)
    return f"{label}: × {times:.2g} at N = {row['n']}"


def _growth(sizes: list[dict]) -> list[plot.Panel]:
    def line(label, colour, value):
        return plot.Line(label, colour, [(row["n"], value(row)) for row in sizes])

    first, again = COLOURS["default"], COLOURS["socket"]
    return [
        plot.Panel(title, "databases (five roles each)", unit, lines)
        for title, unit, lines in (
            ("First run", "seconds", [line("first run", first, lambda r: r["first"].seconds)]),
            ("Second run", "seconds", [line("second run", again, lambda r: r["again"].seconds)]),
            (
                "Memory",
                "MiB at the peak",
                [
                    line("first run", first, lambda r: r["first"].peak),
                    line("second run", again, lambda r: r["again"].peak),
                ],
            ),
        )
    ]
