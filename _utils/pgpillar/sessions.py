"""Ends the sessions of a role or of a database, and waits until they are gone."""

from __future__ import annotations

import time
from contextlib import suppress

from psycopg2 import errors
from psycopg2.sql import SQL, Identifier

_PAUSE = 0.05  # seconds between two looks
_SHOWN = 3

OF_ROLE, OF_DATABASE = "usename", "datname"


def ended(connection, column: str, name: str, patience: float) -> str:
    """End them. Returns a description of those that are still there after so many seconds, or nothing.

    What runs without a user, such as autovacuum, ends by itself. From 14 on pg_terminate_backend can wait,
    but for one session at a time, and 13 cannot: two ways would be more code than this one.
    """
    until, refused = time.monotonic() + patience, set()
    with connection.cursor() as cursor:
        while found := _found(cursor, column, name):
            refused |= {pid for pid in found if not _terminate(cursor, pid)}
            if refused >= found.keys() or time.monotonic() > until:
                break
            time.sleep(_PAUSE)
    return _described(found)


def _found(cursor, column: str, name: str) -> dict[int, tuple[str, str]]:
    cursor.execute(_FOUND.format(Identifier(column)), [name])
    return {pid: (_readable(user), _readable(database)) for pid, user, database in cursor.fetchall()}


def _readable(name: memoryview | None) -> str:
    """It may be in the encoding of another database."""
    return bytes(name or b"").decode(errors="backslashreplace")


_FOUND = SQL("""
    select pid, textsend(usename::text), textsend(datname::text) from pg_catalog.pg_stat_activity
    where {} = %s and usesysid is not null and pid <> pg_backend_pid() order by pid""")


def _terminate(cursor, pid: int) -> bool:
    """False where the admin may not end a session, which is then left alone."""
    with suppress(errors.InsufficientPrivilege):
        cursor.execute("SELECT pg_catalog.pg_terminate_backend(%s)", [pid])
        return True
    return False


def _described(found: dict[int, tuple[str, str]]) -> str:
    first = [
        f"backend {pid} of {repr(user) if user else 'a dropped role'}{_place(database)}"
        for pid, (user, database) in found.items()
    ]
    more = f" and {len(first) - _SHOWN} more" if len(first) > _SHOWN else ""
    return ", ".join(first[:_SHOWN]) + more


def _place(database: str) -> str:
    return f" in database {database!r}" if database else ""
