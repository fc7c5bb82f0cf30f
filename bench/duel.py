"""pgpillar, Salt's own states and the floor, at several sizes, on one server in one run."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from statistics import median
from tempfile import TemporaryDirectory

from bench import contestants, server
from bench.contestants import OWN, WAYS, Ours, Place, Times
from bench.workload import WORKLOADS

FIRSTS, AGAINS = 3, 5  # Salt's own states take long, and are run once


def run(place_server, sizes: dict[str, dict[str, Iterable[int]]], say) -> list[dict]:
    """A row for each workload and size: the times of each contestant that is run at that size."""
    rows = []
    for name, by_contestant in sizes.items():
        for n in sorted({n for some in by_contestant.values() for n in some}):
            chosen = [contestant for contestant, some in by_contestant.items() if n in some]
            rows.append({"workload": name, "n": n, "times": dict(_cell(place_server, name, n, chosen, say))})
    return rows


def _cell(place_server, name: str, n: int, chosen: list[str], say) -> Iterator[tuple[str, Times]]:
    workload = WORKLOADS[name]
    for contestant in chosen:
        with clean(place_server) as place:
            if contestant in OWN:
                some = {contestant: contestants.own_states(place, workload, n, contestant)}
            else:
                some = against_the_floor(Ours(place, workload.pillar(n), contestant), place_server)
        for who, times in some.items():
            say(f"{name} {n}: {who}: first {times.first:.2f} s, again {times.again:.2f} s")
            yield who, times


def against_the_floor(ours: Ours, place_server) -> dict[str, Times]:
    """Medians of turns, so that a noisy moment meets both."""
    writes, firsts, floors = ours.plan(), [], []
    for _ in range(FIRSTS):
        floors.append(ours.empty_run() + ours.script(writes))
        server.wipe(place_server)
        firsts.append(ours.first().seconds)
        if len(firsts) < FIRSTS:
            server.wipe(place_server)
    reads, agains, bare = ours.reads(), [], []
    for _ in range(AGAINS):
        bare.append(ours.empty_run() + ours.script(reads))
        agains.append(ours.again().seconds)
    way = ours.directory.name
    return {
        way: Times(median(firsts), median(agains)),
        f"floor {way}": Times(median(floors), median(bare)),
    }


@contextmanager
def clean(place_server) -> Iterator[Place]:
    """The server as it was new, before and after, and a directory that is gone afterwards."""
    with TemporaryDirectory(prefix="pgpillar-bench-") as directory:
        server.wipe(place_server)
        yield Place(place_server, Path(directory))
        server.wipe(place_server)


def _each(*whos: tuple[Iterable[str], tuple[int, ...]]) -> dict[str, tuple[int, ...]]:
    return {who: sizes for some, sizes in whos for who in some}


# Where Salt's own states would take many minutes and would show nothing new, they are left out
FULL = {
    "grants": _each((OWN, (10, 50, 200)), (WAYS, (10, 50, 200))),
    "full": _each((OWN, (10, 50)), (["socket"], (10, 50, 200))),
}
QUICK = {"grants": _each((OWN, (10, 50)), (WAYS, (10, 50))), "full": _each((OWN, (10,)), (["socket"], (10,)))}
