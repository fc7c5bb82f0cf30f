"""How time and memory grow with the databases, and what it brings to read several at once."""

from __future__ import annotations

from statistics import median
from time import perf_counter

from bench import server
from bench.contestants import WAYS, Ours
from bench.duel import clean
from bench.workload import ROLES_EACH, scale
from pgpillar import connect, observe, pillar

FULL, QUICK = (250, 500, 1000), (25, 50, 100)
READERS = (1, 2, 4, 8)
TURNS = 3


def run(place_server, sizes, say) -> tuple[list[dict], list[dict]]:
    """A row for each size, and at the smallest a row for each way in and each number of readers."""
    rows, readers = [], []
    for n in sizes:
        with clean(place_server) as place:
            ours = Ours(place, scale(n), "socket")
            row = {"n": n, "roles": n * ROLES_EACH, "empty": ours.empty_run()}
            row |= {"first": ours.first(), "again": min(ours.again() for _ in range(TURNS))}
            say(f"{n} databases: first {row['first'].seconds:.1f} s, again {row['again'].seconds:.2f} s")
            rows.append(row)
            readers = readers or [_read(place_server, n, way, say) for way in WAYS]
    return rows, readers


def _read(place_server, n: int, way: str, say) -> dict:
    """The seconds of reading alone, in this process."""
    tree = {"clusters": {"main": server.endpoint(place_server, way)}, **scale(n)}
    declared = pillar.read(tree)["main"]
    times = {count: [] for count in READERS}
    usual = observe.READERS
    with connect.gateway(declared.endpoint) as gateway:
        for _ in range(TURNS):
            for count in READERS:
                observe.READERS = count
                begun = perf_counter()
                observe.read(gateway, declared.cluster)
                times[count].append(perf_counter() - begun)
    observe.READERS = usual
    found = {count: median(some) for count, some in times.items()}
    say(f"reading {n} databases over {way}: " + ", ".join(f"{k} at once {v:.2f} s" for k, v in found.items()))
    return {"n": n, "way": way, "times": found}
