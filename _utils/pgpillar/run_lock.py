"""One run at a time on a cluster. The lock is the row of the admin's settings, which no other role writes."""

from __future__ import annotations

from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor, wait
from contextlib import closing, contextmanager, suppress

import psycopg2
from psycopg2 import errors

from pgpillar.connect import ClusterError, Gateway, explained

# Never committed: the end of the transaction releases the lock and leaves nothing behind
_LOCK = "ALTER ROLE CURRENT_USER SET application_name TO 'pgpillar'"
_LOOKS = 1.0  # seconds between two looks at who holds the lock


class RunLock:
    """The lock as held by an open transaction, which no timeout for idle sessions ends."""

    def __init__(self, connection):
        self._connection, self.pid = connection, connection.info.backend_pid

    def is_held(self) -> bool:
        try:
            with self._connection.cursor() as cursor:
                cursor.execute("select 1")
        except psycopg2.Error:
            return False
        return True

    def is_seen_by(self, cursor) -> bool:
        """The same, asked on another connection, in whose transaction the answer counts."""
        cursor.execute(
            "select 1 from pg_catalog.pg_locks where pid = %s and granted"
            " and locktype = 'transactionid' and mode = 'ExclusiveLock'",
            [self.pid],
        )
        return cursor.fetchone() is not None


@contextmanager
def held(gateway: Gateway) -> Iterator[RunLock]:
    """Wait for other runs on this cluster, then keep them waiting for as long as the block lasts."""
    with closing(gateway.open()) as connection:
        _wait_for_turn(connection, gateway)
        yield RunLock(connection)


def _wait_for_turn(connection, gateway: Gateway) -> None:
    patience = gateway.endpoint.wait_for_others
    holder = ""
    with connection.cursor() as cursor, ThreadPoolExecutor(1) as pool:
        cursor.execute(f"SET lock_timeout = {max(patience * 1000, 1)}; SET statement_timeout = 0")
        waiting = pool.submit(cursor.execute, _LOCK)
        while not _is_done(waiting, min(_LOOKS, patience / 2)):
            holder = _holder(gateway, connection.info.backend_pid) or holder
        try:
            waiting.result()
        except errors.LockNotAvailable:
            raise ClusterError(
                f"another run has been working on this cluster for more than {patience} s{holder}; "
                "wait for it, or end it, and run this again"
            ) from None
        except psycopg2.Error as error:
            raise ClusterError(f"cannot take the lock of this cluster: {explained(error)}") from None


def _is_done(future: Future, seconds: float) -> bool:
    return bool(wait([future], seconds).done)


def _holder(gateway: Gateway, waiting: int) -> str:
    """Who holds the lock, as far as that can be found out. Not to know it is no reason to give up."""
    with suppress(ClusterError, psycopg2.Error, UnicodeError):
        return _blocking(gateway, waiting)
    return ""


def _blocking(gateway: Gateway, waiting: int) -> str:
    with closing(gateway.open()) as connection, connection.cursor() as cursor:
        cursor.execute(
            "select application_name, usename, pid from pg_catalog.pg_stat_activity"
            " where pid = any (pg_blocking_pids(%s))",
            [waiting],
        )
        return "".join(f" ({name}, user {user!r}, backend {pid})" for name, user, pid in cursor.fetchall())
