"""``python -m bench``: see the package."""

from __future__ import annotations

import argparse
import sys
from functools import partial
from pathlib import Path

import bench
from bench import duel, load, meter, node, report, scale, server
from bench.minion import REPO
from devtools.embedded import Failed

SIZES = {"full": (duel.FULL, scale.FULL), "quick": (duel.QUICK, scale.QUICK)}
DOCS, QUICK = REPO / "docs" / "benchmarks", REPO / "build" / "bench"


def main(arguments: list[str] | None = None) -> None:
    parser = argparse.ArgumentParser(
        prog="python -m bench",
        description=bench.__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("how", nargs="?", choices=MEASURES, default="full")
    how = parser.parse_args(arguments).how
    target = QUICK if how == "quick" else DOCS
    MEASURES[how](target, say)
    say(f"written: {Path(target).relative_to(REPO)}")


def _cluster(how: str, target: Path, say) -> None:
    duel_sizes, scale_sizes = SIZES[how]
    with server.running() as running:
        rows = duel.run(running, duel_sizes, say)
        sizes, readers = scale.run(running, scale_sizes, say)
        report.write(target, running, rows, sizes, readers)


MEASURES = {how: partial(_cluster, how) for how in SIZES} | {"node": node.measure, "load": load.measure}


def say(line: str) -> None:
    print(line, flush=True)


if __name__ == "__main__":
    try:
        main()
    except (Failed, meter.Broken) as failure:
        sys.exit(f"bench: {failure}")
