"""What a pool costs and gains: pgbench through it and directly, by the application's own files."""

from __future__ import annotations

import re
from statistics import median

from bench import app_node, meter, plot, report, server

CLIENTS = (1, 10, 100, 1000)
CONNECTING = "select-only, a connection for each transaction"
TESTS = {"select-only": ["--select-only"], "TPC-B": [], CONNECTING: ["--select-only", "--connect"]}
TRANSACTIONS = {
    "select-only": 20000,
    "TPC-B": 2000,
    CONNECTING: 200,
}  # of all clients together, where they suffice
WAYS = {"direct": f"{app_node.NAME}-direct", "pool": app_node.NAME}
SCALE, TURNS = 20, 3
MOST = 1200  # connections of the server's
COLOURS = {"direct": "#a50f15", "pool": "#08519c"}


def measure(directory, say) -> None:
    with server.running(max_connections=MOST) as running, app_node.running(running) as node:
        _pgbench(node, "direct", ["--initialize", "--quiet", f"--scale={SCALE}"])
        rows = [_row(node, test, clients, say) for test in TESTS for clients in CLIENTS]
        tables = {"load": _table(rows), "load-machine": node.machine()}
    report.save(directory, tables, {"load": _panels(rows)})


def _row(node, test: str, clients: int, say) -> dict:
    """Both ways in turns, so that a noisy moment meets both. What fails once, fails."""
    row = {"test": test, "clients": clients}
    for _ in range(TURNS):
        for way in WAYS:
            row.setdefault(way, []).append(_turn(node, way, test, clients))
    for way in WAYS:
        row[way] = _settled(row[way])
        say(f"{test}, {clients} clients, {way}: {row[way]}")
    return row


def _turn(node, way: str, test: str, clients: int) -> tuple[float, float] | str:
    """Transactions a second, and milliseconds that one takes; or why there are none."""
    each = max(1, TRANSACTIONS[test] // clients)
    how = [f"--client={clients}", f"--jobs={min(clients, 2)}", f"--transactions={each}", "--no-vacuum"]
    try:
        said = _pgbench(node, way, [*TESTS[test], *how])
    except meter.Broken as broken:
        return re.findall(r"(?:FATAL|error): +(.*)", str(broken))[0]
    return tuple(float(re.search(rf"{what} = ([\d.]+)", said)[1]) for what in ("tps", "latency average"))


def _settled(turns: list) -> tuple[float, float] | str:
    failed = [turn for turn in turns if isinstance(turn, str)]
    return failed[0] if failed else tuple(map(median, zip(*turns, strict=True)))


def _pgbench(node, way: str, arguments: list[str]) -> str:
    output = node.minion.directory / "pgbench.out"
    command = [node.server.bindir / "pgbench", *arguments, f"service={WAYS[way]}"]
    meter.run(command, output, **node.environment)
    return output.read_text()


def _table(rows: list[dict]) -> list[list]:
    head = ["", "clients", "direct, tps", "pool, tps", "pool : direct", "direct, ms", "pool, ms"]
    return [head, *(_cells(row) for row in rows)]


def _cells(row: dict) -> list:
    ways = [row[way] for way in WAYS]
    failed = any(isinstance(found, str) for found in ways)
    ratio = "–" if failed else f"{row['pool'][0] / row['direct'][0]:.2f}"
    tps = [found if isinstance(found, str) else f"{found[0]:.0f}" for found in ways]
    took = ["–" if isinstance(found, str) else f"{found[1]:.2f}" for found in ways]
    return [row["test"], row["clients"], *tps, ratio, *took]


def _panels(rows: list[dict]) -> list[plot.Panel]:
    return [_panel(test, [row for row in rows if row["test"] == test]) for test in TESTS]


def _panel(test: str, rows: list[dict]) -> plot.Panel:
    lines = []
    for way, colour in COLOURS.items():
        points = [(row["clients"], row[way][0]) for row in rows if not isinstance(row[way], str)]
        lines.append(plot.Line(way, colour, points))
    return plot.Panel(test, "clients (logarithmic)", "transactions a second (logarithmic)", lines, True)
