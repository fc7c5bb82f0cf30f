"""Runs a database's bootstrap script in a session that has the owner's rights and no way to any others."""

from __future__ import annotations

import secrets
from collections.abc import Callable, Iterable
from concurrent.futures import Future, ThreadPoolExecutor, wait
from contextlib import closing, suppress
from typing import NamedTuple

import psycopg2
from psycopg2 import errors
from psycopg2.sql import SQL, Composable, Identifier, Literal

from pgpillar import catalog, scram, sessions, sql
from pgpillar.connect import ClusterError, Gateway, explained
from pgpillar.model import BOOTSTRAP_LOGIN, Secret

AGAIN = 1  # seconds between two attempts to end a session
GRACE = 5  # seconds beyond statement_timeout, after which the session of a script is ended
_LOGIN = Identifier(BOOTSTRAP_LOGIN)
_FUNCTION = (
    "CREATE FUNCTION pg_temp.bootstrap(script text) RETURNS void LANGUAGE plpgsql SECURITY DEFINER"
    " AS 'BEGIN EXECUTE script; END'"  # here a script can neither end the transaction nor change the role
)
_NOT_IN_A_SCRIPT = "; a script may hold neither BEGIN, COMMIT or ROLLBACK nor COPY FROM stdin"


class Script(NamedTuple):
    """A script that runs once in a new database, and the owner that it acts as."""

    url: str
    text: str
    database: str
    owner: str


class ScriptFailed(ClusterError):
    """The script did not run to its end, and nothing of it was kept."""


def admit(cursor, script: Script, superuser: bool) -> Secret:
    """Make the login of the script, and close the database to everybody else. Returns its password."""
    password = Secret(secrets.token_urlsafe(32))
    for statement in _admission(script, password, superuser):
        cursor.execute(statement)
    return password


def _admission(script: Script, password: Secret, superuser: bool) -> Iterable[Composable]:
    database, owner = Identifier(script.database), Identifier(script.owner)
    verifier = Literal(scram.verifier(password.reveal()))
    yield sql.mark(script.database)  # in the transaction that gives the database to its owner
    yield SQL("CREATE ROLE {} LOGIN NOINHERIT PASSWORD {}").format(_LOGIN, verifier)
    yield SQL("GRANT {} TO {}").format(owner, _LOGIN)
    yield SQL("REVOKE CONNECT ON DATABASE {} FROM {}").format(database, owner)
    yield SQL("GRANT CONNECT ON DATABASE {} TO {}").format(database, _LOGIN)
    if not superuser:  # it came in by the owner's right, and acts for the login only as its member
        yield SQL("GRANT CONNECT ON DATABASE {} TO CURRENT_USER").format(database)
        yield SQL("GRANT {} TO CURRENT_USER").format(_LOGIN)


def run(gateway: Gateway, script: Script, password: Secret, ending: Iterable[Composable]) -> None:
    """Run the script and, in its transaction, the statements that mark the database as finished.

    From then on the admin's mark says nothing, since the owner has another connection limit.
    """
    try:
        _run_as_login(gateway, script, password, ending)
    except ClusterError:
        with suppress(ClusterError, psycopg2.Error):  # the next run removes it
            remove_login(gateway, [script.database])
        raise
    _as_admin(gateway, sql.unmark(script.database))
    remove_login(gateway, [script.database])


def _run_as_login(gateway: Gateway, script: Script, password: Secret, ending: Iterable[Composable]) -> None:
    with closing(gateway.open_as(BOOTSTRAP_LOGIN, password, script.database, script.owner)) as session:
        pid = session.info.backend_pid
        _shut_out_others(gateway)
        try:
            _within(
                gateway.endpoint.statement_timeout + GRACE,
                lambda: _run_in(session, gateway, script, ending),
                lambda: _terminate(gateway, pid),
            )
        except psycopg2.Error as error:
            advice = _NOT_IN_A_SCRIPT if isinstance(error, errors.FeatureNotSupported) else ""
            raise ScriptFailed(
                f"{script.url} failed and left nothing behind: {explained(error, detail=False)}{advice}"
            ) from None


def _shut_out_others(gateway: Gateway) -> None:
    """The one session that is needed is there. Nobody else logs in, whatever the script does."""
    _as_admin(gateway, _NOLOGIN)


def _as_admin(gateway: Gateway, statement: Composable) -> None:
    with closing(gateway.open()) as connection, connection.cursor() as cursor:
        cursor.execute(statement)
        connection.commit()


def _run_in(session, gateway: Gateway, script: Script, ending: Iterable[Composable]) -> None:
    with session.cursor() as cursor:
        cursor.execute(_FUNCTION)
        cursor.execute("SELECT pg_temp.bootstrap(%s)", [script.text])
        # What the script left for COMMIT, such as deferred triggers, gets no more time than the script
        cursor.execute(f"SET statement_timeout = '{gateway.endpoint.statement_timeout}s'")
        for statement in ending:
            cursor.execute(statement)
    session.commit()


def _within(seconds: float, work: Callable[[], None], end: Callable[[], None]) -> None:
    """A script can ignore statement_timeout. It cannot ignore the end of its session.

    The end is tried again and again: on a full server there may be no connection for it at first.
    """
    with ThreadPoolExecutor(1) as pool:
        running: Future = pool.submit(work)
        while not wait([running], seconds).done:
            seconds = AGAIN
            with suppress(ClusterError, psycopg2.Error):
                end()
        running.result()


def _terminate(gateway: Gateway, pid: int) -> None:
    with closing(gateway.open()) as connection, connection.cursor() as cursor:
        cursor.execute("SELECT pg_catalog.pg_terminate_backend(%s)", [pid])


def remove_login(gateway: Gateway, databases: Iterable[str]) -> None:
    """Remove the login of a script and what it left in these databases, also after a run that was killed.

    What it owns goes, and never to anybody else: its functions would run with the rights of their new owner.
    """
    with closing(gateway.open()) as connection, connection.cursor() as cursor:
        connection.autocommit = True
        cursor.execute("SELECT 1 FROM pg_catalog.pg_roles WHERE rolname = %s", [BOOTSTRAP_LOGIN])
        if not cursor.fetchone():
            return
        cursor.execute(_NOLOGIN)
        _end_sessions(connection, gateway)
        try:
            for database in databases:
                _drop_owned(gateway, database)
            cursor.execute(SQL("DROP ROLE {}").format(_LOGIN))
        except (ClusterError, psycopg2.Error):
            _put_aside(cursor)


def _end_sessions(connection, gateway: Gateway) -> None:
    """One that goes on could make more meanwhile."""
    patience = gateway.endpoint.lock_timeout
    if left := sessions.ended(connection, sessions.OF_ROLE, BOOTSTRAP_LOGIN, patience):
        raise ClusterError(
            f"the sessions of {BOOTSTRAP_LOGIN!r}, the login of bootstrap scripts, do not end: {left}; "
            "end them, and run this again"
        )


def _put_aside(cursor) -> None:
    """Others can grant the login a right elsewhere, so that it cannot be dropped.

    The role then stays under another name, without a login and in no other role; ``unmanaged`` lists it.
    """
    cursor.execute(_LEAVE)
    aside = Identifier(f"{BOOTSTRAP_LOGIN}_{secrets.token_hex(4)}")
    cursor.execute(SQL("ALTER ROLE {} RENAME TO {}").format(_LOGIN, aside))


# Whoever runs as the login could give it another password
_NOLOGIN = SQL("ALTER ROLE {} NOLOGIN PASSWORD NULL").format(_LOGIN)
# On the server, since a name may not be UTF-8. From 16 on each grantor has a membership of its own to revoke;
# before that there is one, and who granted it may be gone.
_LEAVE = """DO $$ DECLARE one record; BEGIN
    FOR one IN SELECT r.rolname AS role,
                      CASE WHEN current_setting('server_version_num')::int >= 160000
                           THEN format(' GRANTED BY %I', pg_get_userbyid(m.grantor)) END AS granted
               FROM pg_catalog.pg_auth_members m
               JOIN pg_catalog.pg_roles r ON r.oid = m.roleid JOIN pg_catalog.pg_roles l ON l.oid = m.member
               WHERE l.rolname = 'pgpillar_bootstrap'
    LOOP EXECUTE format('REVOKE %I FROM pgpillar_bootstrap%s CASCADE', one.role, one.granted); END LOOP;
    END $$"""


def _drop_owned(gateway: Gateway, database: str) -> None:
    quiet = gateway.without_event_triggers()
    with closing(gateway.open(database, **quiet)) as connection, connection.cursor() as cursor:
        if catalog.event_triggers(connection):
            raise ClusterError("an event trigger would run a function of others")
        cursor.execute(SQL("DROP OWNED BY {}").format(_LOGIN))
        connection.commit()
