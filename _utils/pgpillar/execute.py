"""Runs a plan under one lock, in one transaction for each database; keeps nothing that is not as asked."""

from __future__ import annotations

import re
import time
from collections import defaultdict
from collections.abc import Callable, Container, Iterable, Iterator, Mapping
from contextlib import closing, contextmanager, suppress
from dataclasses import replace
from functools import partial
from itertools import groupby
from typing import Any, NamedTuple

import psycopg2
from psycopg2 import errors
from psycopg2.sql import SQL, Composable, Identifier

from pgpillar import (
    bootstrap,
    catalog,
    dump,
    extension,
    handover,
    observe,
    refusals,
    run_lock,
    sessions,
    sql,
    text,
)
from pgpillar.connect import ClusterError, Gateway, explained
from pgpillar.model import BY_OWNER, PRESENT, Cluster, Database, Membership, Role, Secret, Trouble
from pgpillar.plan import (
    STEP,
    Change,
    Rights,
    closed_to_code,
    database_changes,
    impossible_farewells,
    impossible_leaves,
    kept_elsewhere,
    leaving_now,
    places,
    plan,
    would_fire,
)

ROUNDS = 3  # of changes that have no effect
ATTEMPTS = 50  # at what somebody else changes at the same time
NEXT_LOCK = "200ms"  # to wait with locks in hand: shorter than any deadlock check of an application

# Who reads the server's log or its statistics is not to find verifiers in it
_QUIET = (
    "log_statement = 'none'",
    "log_min_error_statement = 'panic'",
    "log_min_duration_statement = -1",
    "log_transaction_sample_rate = 0",
    "track_activities = off",
    "pg_stat_statements.track_utility = off",
)

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
    task = _possible(gateway, observe.read(gateway, wanted), fetch)
    changes = task.changes()
    version = task.current.server.version
    statements = [statement for change in changes for statement in sql.texts(change, version)]
    return Forecast(changes, statements, task.failures)


class _Task(NamedTuple):
    """What can be done of what is wanted, and why the rest cannot be done: where, and the reason."""

    current: Cluster
    wanted: Cluster
    failures: dict[str, str]
    missing: frozenset[str]  # the roles that are refused, and not there
    healing: list[Change]
    scripts: dict[str, str]

    def changes(self) -> list[Change]:
        """What is planned, and what heals databases from outside."""
        planned = plan(self.current, self.wanted)
        joins = [Change("join", Membership(role, self.current.server.admin)) for role in self.missing]
        return planned + [change for change in self.healing if change not in planned + joins]


def _possible(gateway: Gateway, sight: observe.Sight, fetch: Fetch) -> _Task:
    """Without what cannot become as wanted, each with all that stands in its way."""
    found = refusals.possible(sight.current, _without_passwords(sight.wanted, sight.unproven))
    scripts, missed = _scripts(found, fetch)
    found = found.without(missed)
    current = observe.with_waiting(found.current, found.wanted, {*found.databases, *sight.unseen})
    found = found._replace(current=observe.with_entrusted(gateway, current, found.wanted))
    failures = _by_place(
        ("database", {name: [why] for name, why in sight.unseen.items()}),
        ("database", found.databases),
        ("role", {name: [why] for name, why in sight.unproven.items()}),
        ("role", found.roles),
    )
    for impossible in (impossible_farewells, impossible_leaves):
        for where, why in impossible(found.current, found.wanted).items():
            failures[where] = _both(failures.get(where), why)
    return _Task(found.current, found.wanted, failures, found.missing, sight.healing, scripts)


def _without_passwords(wanted: Cluster, roles: Container[str]) -> Cluster:
    """The passwords of these roles stay as they are."""
    changed = {name: replace(role, password=None) for name, role in wanted.roles.items() if name in roles}
    return replace(wanted, roles={**wanted.roles, **changed})


def _by_place(*found: tuple[str, Mapping[str, list[str]]]) -> dict[str, str]:
    failures = {}
    for kind, refused in found:
        for name, sentences in refused.items():
            where = f"{kind} {name!r}"
            failures[where] = _both(failures.get(where), *sentences)
    return failures


def _both(*sentences: str | None) -> str:
    return "; ".join(filter(None, sentences))


def _scripts(found: refusals.Possible, fetch: Fetch) -> tuple[dict[str, str], dict[str, list[str]]]:
    """The bootstrap scripts that are to run, and why others cannot. One that is missing stops no other."""
    scripts, missed = {}, {}
    for name, database in found.wanted.databases.items():
        now = found.current.databases.get(name)
        if database.state == PRESENT and database.bootstrap and (now is None or now.unfinished):
            try:
                scripts[name] = fetch(database.bootstrap)
            except Trouble as trouble:
                missed[name] = [f"{trouble} (postgresql:databases:{database.key}:bootstrap)"]
    return scripts, missed


# Doing it


def converge(gateway: Gateway, wanted: Cluster, fetch: Fetch) -> Outcome:
    """Make the cluster as it is wanted, and say what that took. To look needs no lock."""
    task = _possible(gateway, observe.read(gateway, wanted), fetch)
    if not task.failures and not plan(task.current, task.wanted):
        return Outcome([], {})
    with run_lock.held(gateway) as lock, closing(gateway.open()) as connection:
        sight = observe.read_on(connection, gateway, wanted)
        connection.set_session(isolation_level="READ COMMITTED", readonly="DEFAULT", autocommit=True)
        task = _possible(gateway, sight, fetch)
        unseen = {name: wanted.databases[name] for name in sight.unseen}
        return _Run(connection, lock, gateway, task, unseen).run(task.changes())


class _Failed(Exception):
    """A step that could not be made, as a sentence."""


class _Refused(_Failed):
    """One that the server does not want, and that stands in the way of no other."""


class _Blocked(Exception):
    """Somebody else holds what a change needs. The transaction can be tried again."""

    def __init__(self, change: Change, error: psycopg2.Error):
        self.change, self.error = change, error


class _Gone(_Blocked):
    """The object of a change does not exist any more, or somebody else has just changed it."""


_GONE = (
    errors.UndefinedTable,
    errors.UndefinedColumn,
    errors.UndefinedFunction,
    errors.UndefinedObject,
    errors.InvalidSchemaName,
)
_CONTENTION = (errors.LockNotAvailable, errors.DeadlockDetected, errors.SerializationFailure)
# These have no code of their own, and the server does not translate them
_INTERNAL = re.compile("concurrently|cache lookup failed|could not open relation|could not find tuple")

# By these the server refuses DROP DATABASE before it removes a file
_NOTHING_DROPPED = (
    psycopg2.NotSupportedError,
    psycopg2.ProgrammingError,
    errors.LockNotAvailable,
    errors.ObjectInUse,
)


class _Run:
    """One pass over a plan."""

    def __init__(
        self,
        connection,
        lock: run_lock.RunLock,
        gateway: Gateway,
        task: _Task,
        unseen: dict[str, Database],
    ):
        self.connection, self.lock, self.gateway = connection, lock, gateway
        self.current, self.healing, self.scripts = task.current, task.healing, task.scripts
        self.wanted = replace(task.wanted, databases={**task.wanted.databases, **unseen})
        self.version = self.current.server.version
        # Seconds to wait in vain, by owner: for all databases of one, so that many do not make a run long
        self.patience = defaultdict(lambda: float(gateway.endpoint.lock_timeout))
        self.waiting_for = ""
        self.outcome = Outcome([], {**task.failures})
        self.foretold: list[Change] = []
        self.held: set[tuple[str, str]] = set()  # (database, role): settings of that role there
        self.missing = task.missing
        self.amiss = {*task.missing}  # the roles that a database cannot do with as they are
        self.unjoined: set[str] = set()  # the roles that the admin cannot act for

    def run(self, changes: list[Change]) -> Outcome:
        self.foretold = changes
        for stage in _STAGES:
            work = [change for change in changes if stage in _stages(change)]
            for where, share in _shares(stage, work):
                self.waiting_for = next(filter(None, map(self._owner, share)), where)
                if not self._attempt(where, partial(_STAGES[stage], self, share)):
                    return self.outcome
        return self.outcome

    def _attempt(self, where: str, do: Callable[[], list[Change]]) -> bool:
        """Do one share of the work. False where nothing more can be done after it."""
        self.outcome.failures.pop(where, None)  # the database could not be seen, and may be mended now
        try:
            self.outcome.changes.extend(do())
        except (_Failed, ClusterError) as failure:
            self.outcome.failures[where] = str(failure)
        except _Blocked as blocked:
            self.outcome.failures[where] = self._sentence(blocked)
        except psycopg2.Error as error:
            self.outcome.failures[where] = explained(error)
        except observe.UNREADABLE as error:  # of this share alone, whatever it is
            self.outcome.failures[where] = observe.fault(error)
        return (where != ROLES_STAGE and self._has_lock()) or where not in self.outcome.failures

    def _owner(self, change: Change) -> str:
        found = self.current.databases.get(change.database)
        return found.owner if found else ""

    def _has_lock(self) -> bool:
        return not self.connection.closed and self.lock.is_held()

    # The login of scripts that an interrupted run left. No script of this run has begun yet.

    def _remove_login(self, changes: list[Change]) -> list[Change]:
        for change in changes:
            databases = change.detail or [self.gateway.endpoint.database]
            bootstrap.remove_login(self.gateway, databases)
        return changes

    # Roles: all of them in one transaction, but for those of which the server refuses something

    def _roles(self, changes: list[Change]) -> list[Change]:
        loud = [change for change in changes if change.kind != "set password"]
        quiet = [change for change in changes if change.kind == "set password"]
        with self._transaction(self.connection) as cursor:
            made = self._made_by_role(cursor, loud)
            if quiet:
                self._keep_out_of_the_log(cursor)
            new_passwords = self._made_by_role(cursor, quiet)
            undone = set(changes).difference(made, new_passwords)
            self._note_what_is_left([change for change in self._roles_left() if change not in undone])
            self._insist_on_the_lock(cursor)
        done = [change for change in changes if change not in undone]
        self.outcome.changes.extend(done)  # they are kept, whatever the logins say
        self._note_what_is_left(self._passwords_left(new_passwords))
        return []

    def _keep_out_of_the_log(self, cursor) -> None:
        """What follows in this transaction holds verifiers."""
        if self.current.server.superuser:
            for setting in _QUIET:
                cursor.execute(f"SET LOCAL {setting}")

    def _made_by_role(self, cursor, changes: list[Change]) -> list[Change]:
        """What could be made: of each role and each membership all, or nothing where the server refuses."""
        done = []
        for names, some in groupby(changes, _roles_of):
            if self.amiss.isdisjoint(names):
                done += self._made_or_refused(cursor, list(some))
        return done

    def _made_or_refused(self, cursor, changes: list[Change], attempts: int = ROUNDS) -> list[Change]:
        cursor.execute("SAVEPOINT unit")
        try:
            for change in changes:
                self._make(cursor, change)
        except (_Refused, _Blocked) as refusal:
            cursor.execute("ROLLBACK TO SAVEPOINT unit")
            if _is_race(refusal) and attempts > 1:
                return self._made_or_refused(cursor, changes, attempts - 1)
            self._note_refusal(changes, self._sentence(refusal))
            return []
        cursor.execute("RELEASE SAVEPOINT unit")
        return changes

    def _sentence(self, failure: _Refused | _Blocked) -> str:
        if isinstance(failure, _Refused):
            return str(failure)
        holders = self._suspects(failure.change.database)
        return f"{text.line(failure.change)}: {explained(failure.error)}{holders}"

    def _suspects(self, database: str | None) -> str:
        try:
            return self._holders(database)
        except (ClusterError, psycopg2.Error, UnicodeError):
            return ""  # who it is cannot be read, such as a name that is not UTF-8

    def _note_refusal(self, changes: list[Change], why: str) -> None:
        self._note(_where(changes[0]), why)
        for change in changes:
            if change.kind == "create role":
                self.amiss.add(change.object.name)
            if change.kind == "join" and change.object.member == self.current.server.admin:
                self.unjoined.add(change.object.role)

    def _note(self, where: str, why: str) -> None:
        self.outcome.failures[where] = _both(self.outcome.failures.get(where), why)

    def _note_what_is_left(self, changes: list[Change]) -> None:
        for change in changes:
            self._note(_where(change), f"it is not as asked after the change: {text.line(change)}")

    def _roles_left(self) -> list[Change]:
        scope = catalog.scope_of(self.wanted)._replace(databases=(), extensions=False)
        current = catalog.read_cluster(self.connection, scope)
        if current.server.sees_passwords:
            roles, _ = observe.proven(self.gateway, current, self.wanted)
            current = replace(current, roles={**current.roles, **roles})
        else:
            known = {
                name: replace(role, password=self._password(name)) for name, role in current.roles.items()
            }
            current = replace(current, roles=known)
        bare = replace(self.wanted, databases={}, roles=_staying(self.wanted))
        return [
            change
            for change in plan(refusals.not_of(current, self.missing), bare)
            if change.kind not in ("join", "keep member")
            or change.object in bare.memberships - current.memberships
        ]

    def _password(self, name: str) -> Secret | None:
        wanted = self.wanted.roles.get(name)
        return wanted.password if wanted else None

    def _passwords_left(self, changes: list[Change]) -> list[Change]:
        """Where verifiers cannot be read, the new passwords are tried once they are in force."""
        if self.current.server.sees_passwords:
            return []
        roles = [self.wanted.roles[change.object] for change in changes]
        verdicts = {r.name: observe.has_expired(r) or observe.try_login(self.gateway, r) for r in roles}
        for name, verdict in verdicts.items():
            if isinstance(verdict, ClusterError):
                self._note(f"role {name!r}", str(verdict))
        return [change for change in changes if verdicts[change.object] is False]

    # Databases: each is planned again right before it is changed, on a connection of its own

    def _database(self, foretold: list[Change]) -> list[Change]:
        name, done = foretold[0].database, []
        wanted = self.wanted.databases[name]
        waits = refusals.waits(wanted, self.amiss)
        waits += refusals.waits_to_join(wanted, self.unjoined, self.current.server.admin)
        if waits:
            raise _Failed("; ".join(waits))
        try:
            for change in foretold:
                if change.kind in _BEFORE_CONNECTING or change in self.healing:
                    self._alone(change, done)
            self._inside(name, done)
        except BaseException:
            self.outcome.changes.extend(_in_order(done, foretold))
            raise
        return _in_order(done, foretold)

    def _alone(self, change: Change, done: list[Change]) -> None:
        """A change that needs no connection to its database, and may be what makes one possible."""
        with self.connection.cursor() as cursor:
            cursor.execute(f"SET lock_timeout = '{self._longest_wait()}s'")  # a short one, again and again
            try:
                self._retried(partial(self._make, cursor, change))
            finally:
                with suppress(psycopg2.Error):
                    cursor.execute("RESET lock_timeout")
        done.append(change)

    def _inside(self, name: str, done: list[Change]) -> None:
        with self._entered(name) as connection:
            changes = self._left(connection, name)
            script = next((change for change in changes if change.kind == "bootstrap"), None)
            if script is None:
                self._settle(connection, name, changes, done)
                return
            admitted = self._retried(partial(self._prepare, connection, changes, script))
            done += [change for change in changes if not _lets_in(change)]
        finish = next(change for change in changes if change.kind == "finish database")
        ending = sql.statements(finish, self.version)
        bootstrap.run(self.gateway, self._script(script), admitted, ending)
        done += [script, finish]
        with self._entered(name) as connection:  # nothing of the script's session is left in this one
            self._settle(connection, name, self._left(connection, name), done)

    @contextmanager
    def _entered(self, name: str):
        """A way in on which no event trigger has fired before each was looked at."""
        quiet = self.gateway.without_event_triggers()
        with closing(self.gateway.open(name, **quiet)) as connection:
            _set_writable(connection)
            self._insist_that_nothing_fires(connection, name)
            if quiet:
                with connection.cursor() as cursor:
                    cursor.execute("SET event_triggers TO on")
            yield connection

    def _script(self, change: Change) -> bootstrap.Script:
        owner, url = change.detail
        if change.database not in self.scripts:  # it was not known to be unfinished when scripts were read
            raise _Failed("it is unfinished, and its bootstrap script was not foreseen; run this again")
        return bootstrap.Script(url, self.scripts[change.database], change.database, owner)

    def _prepare(self, connection, changes: list[Change], script: Change) -> Secret:
        """All that a bootstrap script finds there. Nobody else is let in before it has run."""
        bootstrap.remove_login(self.gateway, [script.database])
        with self._transaction(connection) as cursor:
            self._apply(cursor, [change for change in changes if not _lets_in(change)])
            self._keep_out_of_the_log(cursor)
            admitted = bootstrap.admit(cursor, self._script(script), self.current.server.superuser)
            self._insist_on_the_lock(cursor)
        return admitted

    def _settle(self, connection, name: str, changes: list[Change], done: list[Change]) -> None:
        """Many objects in steps, so that nobody waits for long; what is left in one transaction."""
        *steps, _ = _steps(changes)
        lent = self._retried(partial(self._lend, connection, name, changes)) if steps else []
        for step in steps:
            done += self._retried(partial(self._step, connection, step))
        done += self._retried(partial(self._whole, connection, name, lent))

    def _retried(self, work: Callable[[], Any]) -> Any:
        """Somebody who holds what is needed is waited for again and again, with nothing held in between."""
        for _ in range(ATTEMPTS):
            start = time.monotonic()
            try:
                return work()
            except _Blocked as blocked:
                last = blocked
            self.patience[self.waiting_for] -= time.monotonic() - start
            if self.patience[self.waiting_for] <= 0:
                break
        raise _Failed(self._sentence(last))

    def _step(self, connection, changes: list[Change]) -> list[Change]:
        with self._transaction(connection) as cursor:
            made = self._apply(cursor, changes)
            self._insist_on_the_lock(cursor)
        return made

    def _lend(self, connection, name: str, changes: list[Change]) -> list[Change]:
        """Let new owners create already, which an admin that is no superuser needs to give them anything."""
        if self.current.server.superuser:
            return []
        heirs = {(one.object.path[0], one.detail) for one in changes if one.kind == "own object"}
        with self._transaction(connection) as cursor:
            cursor.execute(_MAY_NOT_CREATE, [[schema for schema, _ in heirs], [heir for _, heir in heirs]])
            lent = [
                Change("grant", Rights(kind, (tuple(path),), ("CREATE",), heir, acting=owner), database=name)
                for kind, path, owner, heir in cursor
            ]
            for change in lent:
                self._make(cursor, change)
            self._insist_on_the_lock(cursor)
        return [replace(change, kind="revoke") for change in lent]

    def _revoke_lent(self, cursor, change: Change) -> None:
        """Where a step has changed the owner, what was lent is the new owner's, or the next look finds it."""
        kind, name, owner = change.object.kind, [*change.object.paths[0], ""][0], change.object.acting
        cursor.execute(_BELONGS, {"kind": kind, "name": name, "owner": owner})
        if cursor.rowcount:
            self._make(cursor, change)

    def _whole(self, connection, name: str, lent: list[Change] = ()) -> list[Change]:
        """Make what is left and look again, in the same transaction: what is not as asked is not kept."""
        done = []
        with self._transaction(connection) as cursor:
            for change in lent:
                self._revoke_lent(cursor, change)
            todo = self._left(connection, name)
            for change in todo:
                if change.kind == "bootstrap":  # it was not there before, or has run
                    raise _Failed("it has become unfinished meanwhile; run this again")
            rounds = ROUNDS
            for _ in range(ATTEMPTS):
                made = self._apply(cursor, todo)
                done += made
                todo = todo and self._left(connection, name)
                if not todo:
                    self._insist_on_the_lock(cursor)
                    return done
                rounds -= any(change in todo for change in made)  # what others add meanwhile is no failure
                if not rounds:
                    break
            said = "".join(f"; the server said: {notice.strip()}" for notice in connection.notices[-3:])
            left = "; ".join(map(text.line, todo[:5]))
            raise _Failed(f"it is not as asked after the change: {left}{said}")

    def _apply(self, cursor, changes: list[Change]) -> list[Change]:
        """Make changes. After the first, no lock is waited for so long that an application would notice."""
        made = []
        for number, change in enumerate(changes):
            if change.kind in _ON_OBJECTS:
                made += self._on_objects(cursor, change)
            elif change.kind in _OF_A_ROLE:
                made += self._of_a_role(cursor, change)
            else:
                self._make(cursor, change)
                made.append(change)
            if not number:
                cursor.execute(f"SET LOCAL lock_timeout = '{NEXT_LOCK}'")
        return made

    def _on_objects(self, cursor, change: Change) -> list[Change]:
        """An object that somebody drops or changes meanwhile is passed over. The next look finds the rest."""
        cursor.execute("SAVEPOINT objects")
        try:
            self._hold(cursor, change)
            self._make(cursor, change)
        except _Gone:
            cursor.execute("ROLLBACK TO SAVEPOINT objects")
            parts = _parts(change, 1)
            return [made for part in parts for made in self._on_objects(cursor, part)] if parts[1:] else []
        cursor.execute("RELEASE SAVEPOINT objects")
        return [change]

    def _of_a_role(self, cursor, change: Change) -> list[Change]:
        """A role can hold its own settings in any database. Then it alone is not as asked there."""
        cursor.execute("SAVEPOINT role")
        try:
            self._make(cursor, change)
        except _Blocked as blocked:
            cursor.execute("ROLLBACK TO SAVEPOINT role")
            role = change.detail[0]
            self.held.add((change.database, role))
            self._note(f"role {role!r}", f"in database {change.database!r}, {self._sentence(blocked)}")
            return []
        cursor.execute("RELEASE SAVEPOINT role")
        return [change]

    def _hold(self, cursor, change: Change) -> None:
        """Keep objects from being dropped before the end of the transaction.

        GRANT takes no lock on them, so that whoever drops one at the same time would get an error.
        """
        try:
            for statement in _locks(cursor, change):
                _try(cursor, statement)
        except psycopg2.Error as error:
            raise _kind_of_failure(change, error) from None

    def _insist_on_the_lock(self, cursor) -> None:
        """Without it another run may be at work in the same place."""
        if not self.lock.is_seen_by(cursor):
            raise _Failed("the connection that holds the lock on the cluster was lost; run this again")

    def _left(self, connection, name: str) -> list[Change]:
        wanted = self.wanted.databases[name]
        now, server = catalog.read_database(connection, wanted), self.current.server
        if refused := refusals.of_database(now, wanted, self.wanted, server):
            raise _Failed(_both(*refused))
        changes = database_changes(now, wanted, self.wanted, server)
        return [change for change in changes if not self._is_held(change)]

    def _is_held(self, change: Change) -> bool:
        return change.kind in _OF_A_ROLE and (change.database, change.detail[0]) in self.held

    # Farewells: each on its own

    def _farewell(self, changes: list[Change]) -> list[Change]:
        for change in changes:
            _FAREWELLS[change.kind](self, change)
        return []

    def _quarantine(self, change: Change) -> None:
        close, _ = sql.statements(change, self.version)
        self._execute(change, close)
        self.outcome.changes.append(change)  # it is closed, whatever the sessions do
        self._vacate(change.object)

    def _end_what_goes_on(self, change: Change) -> None:
        self._vacate(change.object)
        self.outcome.changes.append(change)

    def _vacate(self, database: str) -> None:
        if left := self._end_sessions(sessions.OF_DATABASE, database):
            raise _Failed(
                f"it is closed, but sessions go on in it, which the admin cannot end: {left}; "
                "have a superuser end them, or wait until they end, and run this again"
            )

    def _execute(self, change: Change, *statements: Composable) -> None:
        try:
            with self.connection.cursor() as cursor:
                for statement in statements:
                    cursor.execute(statement)
        except psycopg2.Error as error:
            raise _kind_of_failure(change, error) from None

    def _drop_role(self, change: Change) -> None:
        self._shut_out([change])
        self._disown(change)
        self._execute(change, *sql.statements(change, self.version))
        self.outcome.changes.append(change)

    def _drop_database(self, change: Change) -> None:
        now, wanted = (of.databases[change.object] for of in (self.current, self.wanted))
        known = replace(now, alias=wanted.alias)
        self._vacate(change.object)
        try:
            written = dump.before_drop(self.connection, self.gateway, known, self.version)
        except dump.Blocked as blocked:
            suspects = self._suspects(now.name)
            raise _Failed(f"{blocked}{suspects}; end that session, and run this again") from None
        try:
            self._execute(change, *sql.statements(change, self.version))
        except _Failed as failure:
            if not isinstance(failure.__context__, _NOTHING_DROPPED):
                raise
            written.unlink()
            raise _Failed(f"{failure}; it is there as before, and the new dump was removed") from None
        self.outcome.changes.append(change)

    # Roles that leave: shut out before anything that they own is given to others

    def _shut_out(self, changes: list[Change]) -> list[Change]:
        """The sessions end first, since one may hold a lock on the role."""
        for change in changes:
            role = change.object.name
            self._end_sessions(sessions.OF_ROLE, role, patience=0)
            no_login, _ = sql.shut_out(role)
            self._execute(change, no_login)
            if left := self._end_sessions(sessions.OF_ROLE, role):
                raise _Failed(f"its sessions do not end: {left}; end them, and run this again")
            self._hand_over_schemas(change)
        return []

    def _hand_over_schemas(self, change: Change) -> None:
        """All of them before anything that is in them, whichever of several roles has that."""
        if change.object.reassign_to and not self.current.server.superuser:
            for database in (name for name, owns in change.detail if owns):
                wanted = self.wanted.databases.get(database)
                declared = wanted.schemas if wanted else ()
                with self._entered(database) as connection:
                    here = replace(change, database=database)
                    self._retried(partial(self._hand_over_some_schemas, connection, here, declared))

    def _hand_over_some_schemas(self, connection, change: Change, declared: Iterable[str]) -> None:
        with self._parting(connection, change) as cursor:
            handover.hand_over_schemas(cursor, change.object, declared)

    def _end_sessions(self, column: str, name: str, patience: float | None = None) -> str:
        patience = self.gateway.endpoint.lock_timeout if patience is None else patience
        return sessions.ended(self.connection, column, name, patience)

    def _disown(self, change: Change) -> None:
        """In each database in two turns: DROP OWNED takes back rights on all databases, wherever it runs."""
        its_places = self._places_now(change.object)
        for database in its_places:
            done = []
            try:
                self._disown_in(database, change, done)
            finally:
                self.outcome.changes.extend(_in_order(done, self.foretold))
        for database in its_places:
            with self._entered(database) as connection:
                self._retried(partial(self._let_go, connection, replace(change, database=database)))

    def _disown_in(self, database: str, change: Change, done: list[Change]) -> None:
        with self._entered(database) as connection:
            here = replace(change, database=database)
            if change.object.reassign_to:
                self._hand_over_tables(connection, here, done)
            done += self._retried(partial(self._part, connection, here))

    def _hand_over_tables(self, connection, change: Change, done: list[Change]) -> None:
        """What the plan did not name, in steps: each is locked until the end of its transaction."""
        with self._parting(connection, change) as cursor:
            found = [*handover.tables(cursor, change.object)]
        for start in range(0, len(found), STEP):
            some = found[start : start + STEP]
            done += self._retried(partial(self._hand_over_some, connection, change, some))

    def _hand_over_some(self, connection, change: Change, some: list[int]) -> list[Change]:
        with self._parting(connection, change) as cursor:
            handover.hand_over_tables(cursor, change.object, some)
            return self._close_to_code(cursor, change)

    def _part(self, connection, change: Change) -> list[Change]:
        """What is left goes to the heir, and what the role passed on stays with others."""
        role, made = change.object, []
        with self._parting(connection, change) as cursor:
            if role.reassign_to:  # before any GRANT, which would make rows look as if they were given
                handover.hand_over(cursor, role, self.current.server.superuser)
                made += self._close_to_code(cursor, change)
            made += self._keep_elsewhere(cursor, change)
        return made

    def _let_go(self, connection, change: Change) -> None:
        """The rights of the role go, and its default privileges."""
        role = change.object.name
        with self._parting(connection, change) as cursor:
            handover.take_back(cursor, role)
            handover.insist_on_nothing_owned(cursor, role)
            cursor.execute(sql.drop_owned(role))

    def _keep_elsewhere(self, cursor, change: Change) -> list[Change]:
        """What others that leave passed on as well: it may go in the cascade of what this one gave them."""
        declared = observe.declared_schemas(self.wanted, change.database)
        going = leaving_now(self.current, self.wanted)
        rights = handover.rights_elsewhere(cursor, going, declared)
        kept = [
            one
            for role in going
            for one in kept_elsewhere(role, change.database, rights, self.current, self.wanted)
        ]
        for one in kept:
            self._make(cursor, one)
        return kept

    def _close_to_code(self, cursor, change: Change) -> list[Change]:
        """Nobody else may add code to the tables that this transaction gave to an heir."""
        heir, declared = change.object.reassign_to, observe.declared_schemas(self.wanted, change.database)
        rights = handover.rights_elsewhere(cursor, [heir], declared, given=True)
        revoked = closed_to_code(heir, heir, change.database, rights, self.current)
        for one in (one for one in revoked if one.object.grantor == BY_OWNER):  # the rest goes in the cascade
            self._make(cursor, one)
        handover.insist_that_nobody_adds_code(cursor, change.object, declared)
        return revoked

    @contextmanager
    def _parting(self, connection, change: Change):
        """A transaction that may lock many things, and waits for none of them for long."""
        try:
            with self._transaction(connection) as cursor:
                cursor.execute(f"SET LOCAL lock_timeout = '{NEXT_LOCK}'")
                yield cursor
                self._insist_on_the_lock(cursor)
        except _GONE as error:
            raise _Gone(change, error) from None
        except psycopg2.Error as error:
            raise _kind_of_failure(change, error) from None

    def _places_now(self, role: Role) -> list[str]:
        """Where a role has something, asked again: it may have made more after the plan was made."""
        scope = catalog.scope_of(self.wanted)._replace(databases=(), passwords=False, extensions=False)
        now = catalog.read_cluster(self.connection, scope)
        now = observe.with_leavers(self.connection, now, scope, [role.name])
        current = replace(self.current, roles=now.roles, server=now.server)
        its_places = [name for name, _ in current.server.dependents.get(role.name, ())]
        failed = [name for name in its_places if f"database {name!r}" in self.outcome.failures]
        current = observe.with_waiting(current, self.wanted, failed)
        current = observe.with_entrusted(self.gateway, current, self.wanted)
        if why := impossible_farewells(current, self.wanted).get(f"role {role.name!r}"):
            raise _Failed(why)
        return [database for database, _ in places(role, current, self.wanted)]

    def _insist_that_nothing_fires(self, connection, database: str) -> None:
        for trigger in catalog.event_triggers(connection):
            raise _Failed(f"in database {database!r}, {would_fire(trigger)}")

    # One statement

    @contextmanager
    def _transaction(self, connection):
        connection.autocommit = False
        try:
            with connection.cursor() as cursor:
                cursor.execute(f"SET LOCAL lock_timeout = '{self._longest_wait()}s'")
                yield cursor
        except BaseException:
            with suppress(psycopg2.Error):  # a connection that was cut says why only once
                connection.rollback()
                connection.autocommit = True
            raise
        connection.commit()
        connection.autocommit = True

    def _longest_wait(self) -> int:
        """Whoever comes after us waits for as long as we wait for a lock."""
        endpoint = self.gateway.endpoint
        return min(endpoint.lock_timeout, endpoint.blocking_limit)

    def _make(self, cursor, change: Change) -> None:
        try:
            for statement in self._statements(cursor, change):
                cursor.execute(statement)
        except psycopg2.Error as error:
            raise _kind_of_failure(change, error) from None

    def _statements(self, cursor, change: Change) -> list[Composable]:
        if change.kind in extension.CHANGES:
            return extension.statements(cursor, change, self.version, self.current.server.superuser)
        return sql.statements(change, self.version)

    def _holders(self, database: str | None) -> str:
        """Who has held locks for longer than we waited. Our own session may have failed, so another asks."""
        with closing(self.gateway.open()) as connection, connection.cursor() as cursor:
            ours = [*self.gateway.backends]
            cursor.execute(_HOLDERS, [database, ours, self.gateway.endpoint.lock_timeout])
            found = [_holder(*row) for row in cursor]
            cursor.execute(_PREPARED)
            found += [
                f"prepared transaction {gid!r} of {owner!r} in database {name!r}"
                for gid, owner, name in cursor
            ]
        return f"; the holder may be {' or '.join(found)}" if found else ""


# A backend that has written, or has a lock on a table of this database or on one that all databases share
_HOLDERS = """
    select distinct a.pid, a.usename, a.datname,
           coalesce(nullif(a.application_name, ''), 'no application_name'),
           coalesce(a.state, 'what it does is hidden'),
           to_char(a.xact_start at time zone 'UTC', 'YYYY-MM-DD HH24:MI:SS "UTC"')
    from pg_stat_activity a join pg_locks l on l.pid = a.pid and l.granted
    left join pg_database d on d.datname = %s
    where (l.locktype = 'transactionid' or l.locktype = 'relation' and l.database in (0, d.oid))
      and a.pid <> all (%s)
      and coalesce(a.xact_start < now() - make_interval(secs => %s), true)"""


# They keep their locks after the session that prepared them has ended
_PREPARED = "select gid, owner, database from pg_catalog.pg_prepared_xacts order by prepared limit 5"


def _holder(pid: int, user: str, database: str, application: str, state: str, since: str | None) -> str:
    doing = f"{state}, in a transaction since {since}" if since else state
    return f"backend {pid} of {user!r} in database {database!r} ({application}, {doing})"


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


def _kind_of_failure(change: Change, error: psycopg2.Error) -> Exception:
    said = error.diag.message_primary or ""
    is_race = isinstance(error, errors.InternalError_) and bool(_INTERNAL.search(said))
    if change.kind in _ON_OBJECTS and (is_race or isinstance(error, _GONE)):
        return _Gone(change, error)
    if is_race or isinstance(error, _CONTENTION):
        return _Blocked(change, error)
    if _is_refusal(error):
        return _Refused(f"{text.line(change)}: {explained(error)}")
    return _Failed(f"{_told(change)}: {explained(error)}")


def _is_refusal(error: psycopg2.Error) -> bool:
    """Whether the server has said no and goes on. A list of the ways to do so would miss some."""
    ends_more = isinstance(error, psycopg2.OperationalError | psycopg2.InterfaceError)
    return not ends_more or isinstance(error, errors.CantChangeRuntimeParam)


def _is_race(failure: Exception) -> bool:
    """Somebody else has changed the same thing and is done. Now it can be changed again."""
    return isinstance(failure, _Blocked) and not isinstance(failure.error, errors.LockNotAvailable)


def _lets_in(change: Change) -> bool:
    """What has to wait until a bootstrap script has run: it opens the database, or ends its making."""
    opens = change.kind == "grant" and change.object.kind == "database"
    return opens or change.kind in ("bootstrap", "finish database")


def _in_order(done: list[Change], foretold: list[Change]) -> list[Change]:
    """What was done, in the order in which it was foretold; then what nobody could foretell."""
    order = {text.line(change): place for place, change in enumerate(foretold)}
    return sorted(_whole_again(done), key=lambda change: order.get(text.line(change), len(order)))


# Steps: changes that touch few objects each


def _steps(changes: list[Change]) -> list[list[Change]]:
    """Objects follow the owner of their database or schema, so they go first: the next run can go on."""
    if any(change.kind in ("own database", "own schema") for change in changes):
        changes = sorted(changes, key=lambda change: change.kind != "own object")
    return _of_few_objects(changes)


def _of_few_objects(changes: list[Change]) -> list[list[Change]]:
    steps, touched = [[]], 0
    for part in (part for change in changes for part in _parts(change, STEP)):
        size = _size(part)
        if touched + size > STEP:
            steps, touched = [*steps, []], 0
        steps[-1].append(part)
        touched += size
    return steps


def _size(change: Change) -> int:
    if change.kind not in _ON_OBJECTS:
        return 0
    return len(change.object.paths) if isinstance(change.object, Rights) else 1


def _parts(change: Change, size: int) -> list[Change]:
    """The same change as several of at most so many objects."""
    rights = change.object
    if not isinstance(rights, Rights) or len(rights.paths) <= size:
        return [change]
    starts = range(0, len(rights.paths), size)
    return [replace(change, object=rights._replace(paths=rights.paths[at : at + size])) for at in starts]


def _locks(cursor, change: Change) -> list[Composable]:
    """The weakest locks that hold up DROP. What is granted on a whole schema names no object."""
    rights = change.object
    if not isinstance(rights, Rights) or not rights.paths[0][1:]:
        return []
    if rights.kind == "routine":
        return [SQL(_LOCK_ROUTINE).format(sql.object_of(path), Identifier(path[0])) for path in rights.paths]
    if rights.kind not in ("table", "column", "sequence"):
        return []
    cursor.execute(_LOCKABLE, [list(found) for found in zip(*_tables(rights), strict=True)])
    return [SQL("LOCK TABLE ONLY {} IN ACCESS SHARE MODE").format(Identifier(*path)) for path in cursor]


def _try(cursor, statement: Composable) -> None:
    """Do without what is not permitted, such as to lock a table that a view reads."""
    cursor.execute("SAVEPOINT lock")
    try:
        cursor.execute(statement)
    except (errors.InsufficientPrivilege, errors.WrongObjectType, errors.UndefinedObject):
        cursor.execute("ROLLBACK TO SAVEPOINT lock")


# There is no LOCK for routines. This changes nothing, and locks.
_LOCK_ROUTINE = "ALTER ROUTINE {} SET SCHEMA {}"


def _whole_again(changes: list[Change]) -> list[Change]:
    """The changes with their parts put together, as they were planned."""
    together = defaultdict(list)
    for change in changes:
        together[_aim(change)].append(change)
    return [_joined(parts) if parts[1:] else parts[0] for parts in together.values()]


def _aim(change: Change) -> object:
    """What the parts of one change have in common, and no other change has."""
    rights = change.object
    if not isinstance(rights, Rights):
        return id(change)
    whole = rights.paths[0][: 2 if rights.kind == "column" else 1]
    return change.kind, change.database, rights._replace(paths=(whole,))


def _joined(parts: list[Change]) -> Change:
    rights = parts[0].object
    paths = {path for part in parts for path in part.object.paths}
    return replace(parts[0], object=rights._replace(paths=tuple(sorted(paths))))


def _tables(rights: Rights) -> set[tuple[str, str]]:
    return {path[:2] for path in rights.paths}


_ON_OBJECTS = ("own object", "keep", "revoke", "grant")

# Tables and views, and the tables that sequences belong to
_LOCKABLE = """
    select distinct n.nspname, t.relname
    from unnest(%s::text[], %s::text[]) as wanted (schema, name)
    join pg_catalog.pg_namespace s on s.nspname = wanted.schema
    join pg_catalog.pg_class c on c.relnamespace = s.oid and c.relname = wanted.name
    left join pg_catalog.pg_depend d on c.relkind = 'S' and d.classid = 'pg_catalog.pg_class'::regclass
         and d.objid = c.oid and d.deptype in ('a', 'i') and d.refclassid = d.classid
    join pg_catalog.pg_class t on t.oid = coalesce(d.refobjid, c.oid)
    join pg_catalog.pg_namespace n on n.oid = t.relnamespace
    where t.relkind in ('r', 'p', 'v') and has_table_privilege(t.oid, 'select') order by 1, 2"""

# Where one who is to own something may not create yet: in a schema, or in the database what is in no schema
_MAY_NOT_CREATE = """
    with wanted (schema, heir) as (select * from unnest(%s::text[], %s::text[]))
    select 'schema', array[n.nspname::text], pg_get_userbyid(n.nspowner), heir
    from wanted join pg_catalog.pg_namespace n on n.nspname = schema
    where not has_schema_privilege(heir, n.oid, 'create')
    union all
    select 'database', '{}', pg_get_userbyid(d.datdba), heir
    from wanted join pg_catalog.pg_database d on d.datname = current_database()
    where schema = '' and not has_database_privilege(heir, d.oid, 'create') order by 1, 2, 4"""

_BELONGS = """
    select 1 from pg_catalog.pg_namespace
    where %(kind)s = 'schema' and nspname = %(name)s and pg_get_userbyid(nspowner) = %(owner)s
    union all
    select 1 from pg_catalog.pg_database
    where %(kind)s = 'database' and datname = current_database() and pg_get_userbyid(datdba) = %(owner)s"""

_OF_A_ROLE = ("set role setting here", "reset role setting here")
_BEFORE_CONNECTING = (
    "create database",
    "open database",
    "set database setting",
    "reset database setting",
    "limit database",
)
_FAREWELLS = {
    "quarantine database": _Run._quarantine,
    "end sessions": _Run._end_what_goes_on,
    "drop database": _Run._drop_database,
    "drop role": _Run._drop_role,
}
LOGIN_STAGE, ROLES_STAGE, LEAVING_STAGE = "login of scripts", "roles", "leaving"
DATABASE_STAGE, FAREWELL_STAGE = "database", "farewell"
_STAGES = {
    LOGIN_STAGE: _Run._remove_login,
    ROLES_STAGE: _Run._roles,
    LEAVING_STAGE: _Run._shut_out,
    DATABASE_STAGE: _Run._database,
    FAREWELL_STAGE: _Run._farewell,
}
# A role that leaves is shut out before the databases are changed, and dropped after them
_STAGES_OF = {
    "remove login": (LOGIN_STAGE,),
    **dict.fromkeys(("keep elsewhere", "revoke elsewhere"), ()),  # made when the role is dropped
    "drop role": (LEAVING_STAGE, FAREWELL_STAGE),
    **dict.fromkeys(_FAREWELLS.keys() - {"drop role"}, (FAREWELL_STAGE,)),
}


def _stages(change: Change) -> tuple[str, ...]:
    return _STAGES_OF.get(change.kind, (DATABASE_STAGE if change.database else ROLES_STAGE,))


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
    return (
        text.line(change) if ROLES_STAGE not in _stages(change) else f"{_where(change)}: {text.line(change)}"
    )


def _roles_of(change: Change) -> tuple[str, ...]:
    """The roles that a change of the first stage is about: one, or the two of a membership."""
    one = change.object
    return (one.role, one.member) if isinstance(one, Membership) else (text.place(change)[1],)
