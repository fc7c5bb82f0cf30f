"""The core of pgpillar: pure values and functions, no Salt import.

``pillar`` reads what is wanted, ``observe`` what is there, ``plan`` compares the two, ``sql`` writes the
statements and ``execute`` runs them.
"""

import sys
from pathlib import Path

__version__ = "0.1.0"


def _files() -> dict[Path, int]:
    return {path: path.stat().st_mtime_ns for path in Path(__file__).parent.glob("*.py")}


_READ = _files()


def make_way_for_new_code() -> None:
    """Let the next import read the package again, where its files have changed since it was imported.

    Salt loads a module anew when it has synced it. A package is imported once in the life of a daemon.
    """
    if _files() != _READ:
        for name in [name for name in sys.modules if name.partition(".")[0] == __name__]:
            del sys.modules[name]
