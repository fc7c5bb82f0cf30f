"""Runs a plan under one lock, in one transaction for each database; keeps nothing that is not as asked."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from contextlib import closing, contextmanager, suppress
from dataclasses import replace
from functools import partial
from itertools import groupby
from typing import NamedTuple

import psycopg2
from psycopg2 import errors

from pgpillar import catalog, dump, observe, sql, text
from pgpillar.connect import ClusterError, Gateway, explained
from pgpillar.model import PRESENT, Cluster, Database, Membership, Role, Secret
from pgpillar.plan import Change, database_changes, plan

LOCK = (0x70677069, 0x6C6C6172)  # "pgpi", "llar"
ROUNDS = 3  # a bootstrap or a template may leave what only a second look shows

# Who reads the server's log or its statistics is not to find verifiers in it
_QUIET = (
    "log_statement = 'none'",
    "log_min_error_statement = 'panic'",
    "log_min_duration_statement = -1",
    "log_transaction_sample_rate = 0",
    "track_activities = off",
    "pg_stat_statements.track_utility = off",
)

_NOT_IN_A_SCRIPT = "; a script may hold neither BEGIN, COMMIT or ROLLBACK nor COPY FROM stdin"

Fetch = Callable[[str], str]


class Outcome(NamedTuple):
    """What a run did, and what it could not do: where, and why."""

    changes: list[Change]
    failures: dict[str, str]


# What would be done


class Forecast(NamedTuple):
    """What a run would do, the statements for it with all secrets hidden, and what it could not look into."""

    changes: list[Change]
    statements: list[str]
    failures: dict[str, str]


def preview(gateway: Gateway, wanted: Cluster, fetch: Fetch) -> Forecast:
    """What ``converge`` would do now. Nothing is written."""
    sight = observe.read(gateway, wanted)
    changes = plan(sight.current, sight.wanted)
    _scripts(changes, fetch)
    version = sight.current.server.version
    statements = [statement for change in changes for statement in sql.texts(change, version)]
    return Forecast(changes, statements, _failures(sight))


def _failures(sight: observe.Sight) -> dict[str, str]:
    return {f"database {name!r}": reason for name, reason in sight.unseen.items()}


def _scripts(changes: Iterable[Change], fetch: Fetch) -> dict[str, str]:
    """The bootstrap scripts that a plan needs. One that is missing is missed before anything is done."""
    return {change.database: fetch(change.detail[1]) for change in changes if change.kind == "bootstrap"}


# Doing it


def converge(gateway: Gateway, wanted: Cluster, fetch: Fetch) -> Outcome:
    """Make the cluster as it is wanted, and say what that took."""
    with closing(gateway.open()) as connection:
        _wait_for_turn(connection, gateway)
        sight = observe.read_on(connection, gateway, wanted)
        connection.set_session(isolation_level="READ COMMITTED", readonly="DEFAULT", autocommit=True)
        changes = plan(sight.current, sight.wanted)
        return _Run(connection, gateway, sight, _scripts(changes, fetch)).run(changes)


def _wait_for_turn(connection, gateway: Gateway) -> None:
    """Two highstates at once come one after the other. The lock goes with the connection."""
    wait = gateway.endpoint.wait_for_others
    connection.autocommit = True
    with connection.cursor() as cursor:
        cursor.execute("select set_config('lock_timeout', %s, false)", [f"{max(wait * 1000, 1)}ms"])
        cursor.execute("set statement_timeout = 0")
        try:
            cursor.execute("select pg_advisory_lock(%s, %s)", LOCK)
        except errors.LockNotAvailable:
            raise ClusterError(
                f"another run has been working on this cluster for more than {wait} s{_holder(cursor)}; "
                "wait for it, or end it, and run this again"
            ) from None
        except psycopg2.Error as error:
            raise ClusterError(f"the wait for another run was cut short: {explained(error)}") from None
        cursor.execute("reset lock_timeout")
        cursor.execute("reset statement_timeout")
    connection.autocommit = False


def _holder(cursor) -> str:
    cursor.execute(
        "select a.application_name, a.pid from pg_locks l join pg_stat_activity a using (pid)"
        " where l.locktype = 'advisory' and l.granted and (l.classid, l.objid) = (%s, %s)",
        LOCK,
    )
    return "".join(f" ({name}, backend {pid})" for name, pid in cursor.fetchall())


class _Failed(Exception):
    """A step that could not be made, as a sentence."""


class _Refused(_Failed):
    """One that the server does not want, and that stands in the way of no other."""


_REFUSALS = (
    psycopg2.DataError,
    psycopg2.IntegrityError,
    psycopg2.NotSupportedError,
    psycopg2.ProgrammingError,
    errors.ActiveSqlTransaction,  # these two, of settings that no role can have
    errors.CantChangeRuntimeParam,
)


class _Run:
    """One pass over a plan."""

    def __init__(self, connection, gateway: Gateway, sight: observe.Sight, scripts: dict[str, str]):
        self.connection, self.gateway, self.scripts = connection, gateway, scripts
        self.current, self.wanted = sight.current, sight.wanted
        self.version = self.current.server.version
        self.outcome = Outcome([], _failures(sight))
        self.amiss: set[str] = set()  # the roles that a database cannot do with as they are

    def run(self, changes: list[Change]) -> Outcome:
        for stage, some in groupby(changes, _stage):
            work = list(some)
            for where, share in _shares(stage, work):
                if not self._attempt(where, partial(_STAGES[stage], self, share)):
                    return self.outcome
        return self.outcome

    def _attempt(self, where: str, do: Callable[[], list[Change]]) -> bool:
        """Do one share of the work. False where nothing more can be done after it."""
        try:
            self.outcome.changes.extend(do())
        except (_Failed, ClusterError) as failure:
            self.outcome.failures[where] = str(failure)
        except psycopg2.Error as error:
            self.outcome.failures[where] = explained(error)
        return (where != ROLES_STAGE and self._has_lock()) or where not in self.outcome.failures

    def _has_lock(self) -> bool:
        return not self.connection.closed

    # Roles: all of them in one transaction, but for those of which the server refuses something

    def _roles(self, changes: list[Change]) -> list[Change]:
        loud = [change for change in changes if change.kind != "set password"]
        quiet = [change for change in changes if change.kind == "set password"]
        with self._transaction(self.connection) as cursor:
            made = self._made_by_role(cursor, loud)
            if quiet and self.current.server.superuser:
                for setting in _QUIET:
                    cursor.execute(f"SET LOCAL {setting}")
            new_passwords = self._made_by_role(cursor, quiet)
            undone = set(changes).difference(made, new_passwords)
            self._insist([change for change in self._roles_left() if change not in undone], "roles")
        done = [change for change in changes if change not in undone]
        self.outcome.changes.extend(done)  # they are kept, whatever the logins say
        self._insist(self._passwords_left(new_passwords), "passwords")
        return []

    def _made_by_role(self, cursor, changes: list[Change]) -> list[Change]:
        """What could be made: of each role and each membership all, or nothing where the server refuses."""
        done = []
        for names, some in groupby(changes, _roles_of):
            if self.amiss.isdisjoint(names):
                done += self._made_or_refused(cursor, list(some))
        return done

    def _made_or_refused(self, cursor, changes: list[Change]) -> list[Change]:
        cursor.execute("SAVEPOINT unit")
        try:
            for change in changes:
                self._make(cursor, change)
        except _Refused as refusal:
            cursor.execute("ROLLBACK TO SAVEPOINT unit")
            self._note_refusal(changes, str(refusal))
            return []
        cursor.execute("RELEASE SAVEPOINT unit")
        return changes

    def _note_refusal(self, changes: list[Change], why: str) -> None:
        where = _where(changes[0])
        self.outcome.failures[where] = "; ".join(filter(None, [self.outcome.failures.get(where), why]))
        for change in changes:
            if change.kind == "create role":
                self.amiss.add(change.object.name)
            if change.kind == "join" and change.object.member == self.current.server.admin:
                self.amiss.add(change.object.role)

    def _roles_left(self) -> list[Change]:
        scope = catalog.scope_of(self.wanted)._replace(databases=(), extensions=False)
        current = catalog.read_cluster(self.connection, scope)
        if current.server.sees_passwords:
            current = replace(
                current, roles={**current.roles, **observe.proven(self.gateway, current, self.wanted)}
            )
        else:
            known = {
                name: replace(role, password=self._password(name)) for name, role in current.roles.items()
            }
            current = replace(current, roles=known)
        bare = replace(self.wanted, databases={}, roles=_staying(self.wanted))
        return [
            change
            for change in plan(current, bare)
            if change.kind != "join" or change.object in bare.memberships
        ]

    def _password(self, name: str) -> Secret | None:
        wanted = self.wanted.roles.get(name)
        return wanted.password if wanted else None

    def _passwords_left(self, changes: list[Change]) -> list[Change]:
        """Where verifiers cannot be read, the new passwords are tried once they are in force."""
        if self.current.server.sees_passwords:
            return []
        roles = [self.wanted.roles[change.object] for change in changes]
        refused = {
            r.name for r in roles if not (observe.has_expired(r) or self.gateway.lets_in(r.name, r.password))
        }
        return [change for change in changes if change.object in refused]

    def _insist(self, left: list[Change], what: str) -> None:
        if left:
            raise _Failed(f"the {what} are not as asked after the change: " + "; ".join(map(_told, left[:5])))

    # Databases: one transaction for each

    def _database(self, changes: list[Change]) -> list[Change]:
        name, done = changes[0].database, []
        if missed := self.amiss & _roles_in(self.wanted.databases[name]):
            raise _Failed(f"it waits until {', '.join(map(repr, sorted(missed)))} is as asked")
        outside = [change for change in changes if change.kind in _BEFORE_CONNECTING]
        for change in outside:
            with self.connection.cursor() as cursor:
                self._make(cursor, change)
            done.append(change)
        inside = [change for change in changes if change.kind not in _BEFORE_CONNECTING]
        try:
            with closing(self.gateway.open(name)) as connection:
                _set_writable(connection)
                with self._transaction(connection) as cursor:
                    done += self._settle(cursor, name, inside)
        except BaseException:
            self.outcome.changes.extend(outside)
            raise
        return done

    def _settle(self, cursor, name: str, todo: list[Change]) -> list[Change]:
        """Make the changes and look again, in the same transaction: what is not as asked is not kept."""
        done = []
        for _ in range(ROUNDS):
            for change in todo:
                self._make(cursor, change)
            done += todo
            todo = self._left(cursor.connection, name)
            if not todo:
                self._insist_on_the_lock(cursor)
                return done
        said = "".join(f"; the server said: {notice.strip()}" for notice in cursor.connection.notices[-3:])
        raise _Failed("it is not as asked after the change: " + "; ".join(map(text.line, todo[:5])) + said)

    def _insist_on_the_lock(self, cursor) -> None:
        """Without it another run may be at work in the same place."""
        cursor.execute(
            "select 1 from pg_locks where locktype = 'advisory' and granted and pid = %s",
            [self.connection.info.backend_pid],
        )
        if not cursor.fetchone():
            raise _Failed("the connection that holds the lock on the cluster was lost; run this again")

    def _left(self, connection, name: str) -> list[Change]:
        wanted = self.wanted.databases[name]
        now = catalog.read_database(connection, wanted)
        return database_changes(now, wanted, self.wanted, self.current.server)

    def _bootstrap(self, cursor, change: Change) -> None:
        for statement in sql.statements(change, self.version):
            cursor.execute(statement)
        try:
            cursor.execute("SELECT pg_temp.bootstrap(%s)", [self.scripts[change.database]])
        except psycopg2.Error as error:
            advice = _NOT_IN_A_SCRIPT if isinstance(error, errors.FeatureNotSupported) else ""
            raise _Failed(
                f"{change.detail[1]} failed and left nothing behind: {explained(error, detail=False)}{advice}"
            ) from None
        cursor.execute("RESET ROLE; RESET ALL")  # a script may SET what it likes

    # Farewells: each on its own

    def _farewell(self, changes: list[Change]) -> list[Change]:
        for change in changes:
            if change.kind == "drop database":
                now, wanted = (of.databases[change.object] for of in (self.current, self.wanted))
                dump.before_drop(
                    self.connection, self.gateway, replace(now, alias=wanted.alias), self.version
                )
            if change.kind == "drop role":
                self._disown(change)
            with self.connection.cursor() as cursor:
                self._make(cursor, change)
        return changes

    def _disown(self, change: Change) -> None:
        for database, _ in change.detail:
            with closing(self.gateway.open(database)) as connection, self._transaction(connection) as cursor:
                for statement in sql.disown(change.object.name, change.object.reassign_to):
                    cursor.execute(statement)

    # One statement

    @contextmanager
    def _transaction(self, connection):
        connection.autocommit = False
        try:
            with connection.cursor() as cursor:
                yield cursor
        except BaseException:
            with suppress(psycopg2.Error):  # a connection that was cut says why only once
                connection.rollback()
            raise
        connection.commit()
        connection.autocommit = True

    def _make(self, cursor, change: Change) -> None:
        if change.kind == "bootstrap":
            self._bootstrap(cursor, change)
            return
        try:
            for statement in sql.statements(change, self.version):
                cursor.execute(statement)
        except errors.LockNotAvailable as error:
            raise _Failed(f"{_told(change)}: {explained(error)}{self._holders(change.database)}") from None
        except _REFUSALS as error:
            raise _Refused(f"{text.line(change)}: {explained(error)}") from None
        except psycopg2.Error as error:
            raise _Failed(f"{_told(change)}: {explained(error)}") from None

    def _holders(self, database: str | None) -> str:
        """Who has held locks for longer than we waited. Our own session may have failed, so another asks."""
        with closing(self.gateway.open()) as connection, connection.cursor() as cursor:
            cursor.execute(_HOLDERS, [database, self.gateway.endpoint.lock_timeout])
            found = [f"backend {pid} of {user!r} ({name}, {state})" for pid, user, name, state in cursor]
        return f"; it may be {' or '.join(found)}" if found else ""


# A backend that has written, or has a lock on a table of this database or on one that all databases share
_HOLDERS = """
    select distinct a.pid, a.usename, coalesce(nullif(a.application_name, ''), 'unnamed'),
           coalesce(a.state, 'what it does is hidden')
    from pg_stat_activity a join pg_locks l on l.pid = a.pid and l.granted
    left join pg_database d on d.datname = %s
    where (l.locktype = 'transactionid' or l.locktype = 'relation' and l.database in (0, d.oid))
      and a.pid <> pg_backend_pid()
      and coalesce(a.xact_start < now() - make_interval(secs => %s), true)"""


def _set_writable(connection) -> None:
    """A database or role that is set read-only is so for its users. A server that is stays as it is."""
    connection.autocommit = True
    with connection.cursor() as cursor:
        cursor.execute("show default_transaction_read_only")
        if cursor.fetchone() == ("on",):  # where this comes from takes longer to ask
            cursor.execute(_WRITABLE)


_WRITABLE = """
    select set_config('default_transaction_read_only', 'off', false) from pg_settings
    where name = 'default_transaction_read_only' and source in ('database', 'user', 'database user')"""


def _staying(wanted: Cluster) -> dict[str, Role]:
    return {name: role for name, role in wanted.roles.items() if role.state == PRESENT}


_BEFORE_CONNECTING = ("create database", "open database")
_FAREWELLS = ("quarantine database", "drop database", "drop role")
ROLES_STAGE, DATABASE_STAGE, FAREWELL_STAGE = "roles", "database", "farewell"
_STAGES = {ROLES_STAGE: _Run._roles, DATABASE_STAGE: _Run._database, FAREWELL_STAGE: _Run._farewell}


def _stage(change: Change) -> str:
    if change.kind in _FAREWELLS:
        return FAREWELL_STAGE
    return DATABASE_STAGE if change.database else ROLES_STAGE


def _shares(stage: str, changes: list[Change]) -> Iterator[tuple[str, list[Change]]]:
    """The pieces of a stage that succeed or fail on their own, with what to call them."""
    if stage == ROLES_STAGE:
        yield ROLES_STAGE, changes
        return
    for where, some in groupby(changes, _where):
        yield where, list(some)


def _where(change: Change) -> str:
    group, name = text.place(change)
    return f"{group.removesuffix('s')} {name!r}"


def _told(change: Change) -> str:
    """A change, with the role that it is about, where that is not said already."""
    return text.line(change) if _stage(change) != ROLES_STAGE else f"{_where(change)}: {text.line(change)}"


def _roles_of(change: Change) -> tuple[str, ...]:
    """The roles that a change of the first stage is about: one, or the two of a membership."""
    one = change.object
    return (one.role, one.member) if isinstance(one, Membership) else (text.place(change)[1],)


def _roles_in(database: Database) -> set[str]:
    """The roles without which a database cannot be as it is wanted."""
    owners = {database.owner, *database.creators, *(schema.owner for schema in database.schemas.values())}
    return owners | {one.grantee for one in (*database.grants, *database.default_grants)}
