"""Logins, tried: to the primary and to every replica, as an application would."""

from __future__ import annotations

from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing

from pgpillar import scram
from pgpillar.connect import ClusterError, gateway
from pgpillar.faults import IN
from pgpillar.logins import Login

AT_ONCE = 8


def tried(logins: Sequence[Login]) -> list[dict[str, str]]:
    """What came of each: ``ok``, or why it was refused."""
    with ThreadPoolExecutor(AT_ONCE) as threads:
        verdicts = threads.map(_verdict, logins)
        return [login.told(verdict) for login, verdict in zip(logins, verdicts, strict=True)]


def _verdict(login: Login) -> str:
    if scram.is_verifier(login.endpoint.password.reveal()):
        return "pillar gives a verifier, by which nobody can log in"
    try:
        with (
            gateway(login.endpoint, "pgpillar login check") as way,
            closing(way.open()) as connection,
            connection.cursor() as cursor,
        ):
            cursor.execute("select pg_is_in_recovery()")
            is_replica = cursor.fetchone()[0]
    except ClusterError as error:
        return str(error)
    return IN if is_replica == login.is_replica else f"it is {'a' if is_replica else 'no'} replica"
