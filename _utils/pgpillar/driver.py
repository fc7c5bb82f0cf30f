"""psycopg2, which may have been put into Salt's own Python a moment ago."""

from __future__ import annotations

import importlib
import importlib.util

from pgpillar.model import Trouble


def is_there() -> bool:
    importlib.invalidate_caches()
    return importlib.util.find_spec("psycopg2") is not None


def insist() -> None:
    """Go no further without it."""
    if not is_there():
        raise Trouble(
            "psycopg2 is missing in Salt's own Python; apply the state postgresql.psycopg2 to put it there"
        )
