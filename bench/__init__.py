"""Measures pgpillar beside Salt's own states and the bare floor, and writes what docs/benchmarks.rst shows.

    python -m bench          all of the cluster, into docs/benchmarks
    python -m bench quick    small numbers only, into build/bench
    python -m bench node     the highstate of an app node, into docs/benchmarks
    python -m bench load     pgbench through a pool and without, into docs/benchmarks

Every figure is the time of a whole process, or says that it is not.
"""

import sys
from pathlib import Path

sys.path.append(str(Path(__file__).resolve().parent.parent / "_utils"))  # where Salt has the core from too
