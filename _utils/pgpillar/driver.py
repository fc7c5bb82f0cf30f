"""psycopg2, which may have been put into Salt's own Python a moment ago."""

from __future__ import annotations

import importlib
import importlib.util


def is_there() -> bool:
    importlib.invalidate_caches()
    return importlib.util.find_spec("psycopg2") is not None


def insist(error: type[Exception]) -> None:
    """Go no further without it. A kind of error of its own tells states that another may bring it."""
    if not is_there():
        raise error(
            "psycopg2 is missing in Salt's own Python; the state postgresql.psycopg2 puts it there,"
            " and then this can be told and done"
        )
