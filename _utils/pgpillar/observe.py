"""A live cluster as a model: its catalogs, the inside of its databases, and whether passwords fit."""

from __future__ import annotations

import traceback
from collections import defaultdict
from collections.abc import Container, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing, contextmanager
from dataclasses import replace
from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from typing import NamedTuple

import psycopg2

from pgpillar import catalog, handover, scram
from pgpillar.connect import ClusterError, Gateway, explained
from pgpillar.model import ABSENT, BOOTSTRAP_LOGIN, PRESENT, Cluster, Database, Grant, Role, Server
from pgpillar.plan import Change, outside_of, to_act_for, with_its_groups

READERS = 4
LOGINS = 8
# What an answer that nobody foresaw leads to
UNREADABLE = (ArithmeticError, AttributeError, LookupError, TypeError, ValueError)


class Sight(NamedTuple):
    """A cluster as it is, what pillar wants of the part that could be seen, and why another could not."""

    current: Cluster
    wanted: Cluster
    unseen: dict[str, str]
    unproven: dict[str, str]  # the roles whose passwords could not be tried, and why
    healing: list[Change]  # from outside, of databases that could not be seen


def read(gateway: Gateway, wanted: Cluster) -> Sight:
    """The cluster as it is, as far as pillar has a say in it."""
    with closing(gateway.open()) as connection:
        return read_on(connection, gateway, wanted)


def is_replica(gateway: Gateway) -> bool:
    """Whether the server follows another, by its own words."""
    opened, telling = closing(gateway.open()), _failing_well(gateway.endpoint.host)
    with opened as connection, telling, connection.cursor() as cursor:
        cursor.execute("select pg_is_in_recovery()")
        return cursor.fetchone()[0]


def read_on(connection, gateway: Gateway, wanted: Cluster) -> Sight:
    """The same, beginning on a connection that is open already."""
    leaving = [BOOTSTRAP_LOGIN, *(name for name, role in wanted.roles.items() if role.state == ABSENT)]
    scope = catalog.scope_of(wanted)
    connection.set_session(isolation_level="REPEATABLE READ", readonly=True)
    with _failing_well(gateway.endpoint.host):
        current = catalog.read_cluster(connection, scope)
        connection.rollback()
        current = with_leavers(connection, current, scope, leaving)
    with ThreadPoolExecutor(READERS) as pool:
        looked_into = dict(pool.map(partial(_try_to_look, gateway, wanted), _readable(current, wanted)))
    unseen = {name: str(found) for name, found in looked_into.items() if isinstance(found, ClusterError)}
    seen = {name: found for name, found in {**current.databases, **looked_into}.items() if name not in unseen}
    healing = [
        change
        for name in sorted(unseen)
        for change in outside_of(current.databases[name], wanted.databases[name], wanted.roles)
    ]
    if healing:
        healing += to_act_for(current, _with_databases(wanted, unseen))
    current = replace(current, name=wanted.name, databases=seen)
    roles, unproven = proven(gateway, current, wanted)
    current = replace(current, roles={**current.roles, **roles})
    visible = _with_databases(wanted, wanted.databases.keys() - unseen.keys())
    return Sight(current, visible, unseen, unproven, healing)


def _with_databases(cluster: Cluster, names: Container[str]) -> Cluster:
    some = {name: database for name, database in cluster.databases.items() if name in names}
    return replace(cluster, databases=some)


def with_leavers(connection, current: Cluster, scope: catalog.Scope, leaving: Iterable[str]) -> Cluster:
    """With what roles that leave have. Where that cannot be read, it concerns that role alone."""
    dependents, kept_by = {}, {}
    for name in filter({*current.roles, *_login_of_scripts(current)}.__contains__, leaving):
        try:
            dependents[name], kept_by[name] = catalog.read_leaver(connection, name, scope)
        except (psycopg2.Error, *UNREADABLE) as error:
            if connection.closed:
                raise
            kept_by[name] = (("unknown", "", _why(error)),)
        connection.rollback()
    return replace(current, server=replace(current.server, dependents=dependents, kept_by=kept_by))


def _login_of_scripts(current: Cluster) -> list[str]:
    return [BOOTSTRAP_LOGIN] if current.server.has_login_of_scripts else []


def _why(error: Exception) -> str:
    return explained(error) if isinstance(error, psycopg2.Error) else fault(error)


def with_waiting(current: Cluster, wanted: Cluster, failed: Container[str]) -> Cluster:
    """With the roles that stay: an heir would get what is another's in a database that has failed."""
    kept_by = defaultdict(tuple)
    for role, kept in current.server.kept_by.items():
        kept_by[role] = tuple(one for one in kept if one[0] != "closed" or one[1] not in failed)
    for role in wanted.heirs:
        owned = [name for name, owns in current.server.dependents.get(role, ()) if owns]
        kept_by[role] += tuple(("waits", name, "") for name in owned if name in failed)
    return replace(current, server=replace(current.server, kept_by=kept_by))


def with_entrusted(gateway: Gateway, current: Cluster, wanted: Cluster) -> Cluster:
    """With what roles that leave have where pillar declares nothing: rights, and what no heir is given.

    No heir is given what would run with its rights.
    """
    kept_by = defaultdict(list, {role: [*some] for role, some in current.server.kept_by.items()})
    rights = {}
    for name, roles in sorted(_places_of_leavers(current, wanted).items()):
        rights[name], kept = _elsewhere(gateway, current.server, wanted, name, roles)
        for role, kind, what in kept:
            kept_by[role].append((kind, name, what))
    return replace(current, server=replace(current.server, kept_by=kept_by, rights_elsewhere=rights))


def _places_of_leavers(current: Cluster, wanted: Cluster) -> dict[str, dict[str, bool]]:
    """Where they have something, and whether they own it. What lets nobody in is refused already."""
    closed = {name for name, database in current.databases.items() if database.state != PRESENT}
    kept = {
        (role, place)
        for role, some in current.server.kept_by.items()
        for kind, place, _ in some
        if kind in ("closed", "waits")
    }
    found = defaultdict(dict)
    for role in (name for name, one in wanted.roles.items() if one.state == ABSENT):
        for name, owns in current.server.dependents.get(role, ()):
            if name not in closed and (role, name) not in kept:
                found[name][role] = owns
    return found


def _elsewhere(
    gateway: Gateway, server: Server, wanted: Cluster, name: str, roles: dict[str, bool]
) -> tuple[tuple[tuple[str, Grant], ...], list[tuple[str, str, str]]]:
    """Rights in one database, and what keeps roles from being dropped: role, kind of reason, what it is."""
    declared, owners = declared_schemas(wanted, name), [role for role, owns in roles.items() if owns]
    owners = [role for role in owners if role in wanted.heirs]
    try:
        with closing(gateway.open_to_read(name)) as connection, connection.cursor() as cursor:
            rights = handover.rights_elsewhere(cursor, roles, declared)
            return rights, _not_for_heirs(cursor, server, wanted, owners, declared) if owners else []
    except (ClusterError, psycopg2.Error, UnicodeError) as error:
        why = explained(error) if isinstance(error, psycopg2.Error) else str(error)
        return (), [(role, "unread", why) for role in roles]


def declared_schemas(wanted: Cluster, name: str) -> Iterable[str] | None:
    """The schemas that pillar names in a database, or None if it does not name the database."""
    database = wanted.databases.get(name)
    return None if database is None or database.state != PRESENT else database.schemas


def _not_for_heirs(
    cursor, server: Server, wanted: Cluster, owners: list[str], declared: Iterable[str] | None
) -> list[tuple[str, str, str]]:
    """What of one database cannot be given to the heirs of these roles."""
    entrusted = {}
    for role in owners:
        entrusted |= handover.entrusted(cursor, role, wanted.heirs[role], declared)
    heirs = [(role, one) for role in owners for one in with_its_groups(wanted.heirs[role], wanted)]
    stuck = {} if server.superuser else handover.without_a_place(cursor, heirs, wanted.heirs, declared)
    found = {"entrusted": entrusted, "without a place": stuck}
    return [(role, kind, things) for kind, some in found.items() for role, things in some.items()]


def _readable(current: Cluster, wanted: Cluster) -> list[Database]:
    return [
        database
        for name, database in current.databases.items()
        if database.state == PRESENT and wanted.databases[name].state == PRESENT
    ]


def _try_to_look(
    gateway: Gateway, wanted: Cluster | None, database: Database
) -> tuple[str, Database | ClusterError]:
    """Read one database. An error concerns this database alone, so it is returned and not raised."""
    try:
        return _look_into(gateway, wanted, database)
    except ClusterError as error:
        return database.name, error


def _look_into(gateway: Gateway, wanted: Cluster | None, database: Database) -> tuple[str, Database]:
    with (
        closing(gateway.open_to_read(database.name)) as connection,
        _failing_well(f"database {database.name!r}"),
    ):
        connection.autocommit = True  # one question is one snapshot, and one round trip
        asked = wanted.databases[database.name] if wanted else None
        return database.name, catalog.read_inside(connection, database, asked)


@contextmanager
def _failing_well(where: str) -> Iterator[None]:
    try:
        yield
    except psycopg2.Error as error:
        raise ClusterError(f"cannot read {where}: {explained(error)}") from None
    except UNREADABLE as error:
        raise ClusterError(f"cannot read {where}: {fault(error)}") from None


def fault(error: Exception) -> str:
    """What a person who repairs this needs, and nothing of what the server holds."""
    at = traceback.extract_tb(error.__traceback__)[-1]
    where = f"{Path(at.filename).name}:{at.lineno}"
    return f"what the server holds is not understood ({type(error).__name__} in {where}); report this"


def proven(gateway: Gateway, current: Cluster, wanted: Cluster) -> tuple[dict[str, Role], dict[str, str]]:
    """Each role whose password fits holds it, the others hold none; and why some could not be tried.

    A login is the proof of last resort.
    """
    asked = [role for name, role in wanted.roles.items() if role.password and name in current.roles]
    there = [current.roles[role.name] for role in asked]
    verdict = _by_verifier if current.server.sees_passwords else partial(_by_login, gateway)
    with ThreadPoolExecutor(LOGINS) as pool:
        verdicts = [*pool.map(verdict, asked, there)]
    roles = {
        role.name: replace(now, password=role.password if fits is True else None)
        for role, now, fits in zip(asked, there, verdicts, strict=True)
    }
    failed = zip(asked, verdicts, strict=True)
    return roles, {role.name: str(why) for role, why in failed if isinstance(why, ClusterError)}


def _by_verifier(wanted: Role, now: Role) -> bool:
    return scram.fits(wanted.password.reveal(), now.password)


def _by_login(gateway: Gateway, wanted: Role, now: Role) -> bool | ClusterError:
    if scram.is_verifier(wanted.password.reveal()):
        return False  # nobody can log in by it, and the role is refused
    if has_expired(now):
        return has_expired(wanted)  # nobody gets in, so nothing can be told, and nothing depends on it
    return try_login(gateway, wanted)


def try_login(gateway: Gateway, role: Role) -> bool | ClusterError:
    """Whether a password fits. An error concerns this role alone, so it is returned and not raised."""
    try:
        return gateway.lets_in(role.name, role.password)
    except ClusterError as error:
        return error


def has_expired(role: Role) -> bool:
    return role.valid_until is not None and role.valid_until <= datetime.now(UTC)


def survey(gateway: Gateway, wanted: Cluster) -> Cluster:
    """All that the cluster holds, and the inside of what pillar names, or why that cannot be read."""
    with closing(gateway.open()) as connection, _failing_well(gateway.endpoint.host):
        connection.set_session(isolation_level="REPEATABLE READ", readonly=True)
        current = catalog.read_cluster(connection, catalog.Scope(passwords=False, extensions=False))
    named = [current.databases[name] for name in wanted.databases if name in current.databases]
    looker = partial(_try_to_look, gateway, None)
    with ThreadPoolExecutor(READERS) as pool:
        looked_into = dict(pool.map(looker, [database for database in named if database.state == PRESENT]))
    seen = {name: _noted(current.databases[name], found) for name, found in looked_into.items()}
    return replace(current, name=wanted.name, databases={**current.databases, **seen})


def _noted(database: Database, found: Database | ClusterError) -> Database:
    return replace(database, unseen=str(found)) if isinstance(found, ClusterError) else found
