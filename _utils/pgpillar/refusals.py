"""What a server cannot become as pillar wants it, by the database or role that it concerns. Pure."""

from __future__ import annotations

from collections.abc import Container, Iterable, Iterator, Mapping
from dataclasses import replace
from difflib import get_close_matches
from typing import NamedTuple

from pgpillar import scram
from pgpillar.model import (
    ABSENT,
    LATEST,
    PRESENT,
    QUARANTINED,
    Cluster,
    Database,
    Extension,
    Membership,
    Role,
    Server,
)
from pgpillar.plan import refused_inside, there


class Possible(NamedTuple):
    """Two clusters without what the first cannot become, and why it cannot."""

    current: Cluster
    wanted: Cluster
    databases: Mapping[str, list[str]] = {}
    roles: Mapping[str, list[str]] = {}
    missing: frozenset[str] = frozenset()  # the refused roles that are not there, or are not to be changed

    def without(self, databases: Mapping[str, list[str]]) -> Possible:
        """The same, with more databases that cannot become as wanted."""
        current, wanted = (_without(of, databases) for of in (self.current, self.wanted))
        return self._replace(current=current, wanted=wanted, databases={**self.databases, **databases})


def possible(current: Cluster, wanted: Cluster) -> Possible:
    """What can be planned for. What is refused of one database or role concerns no other."""
    current = there(current)
    roles = {
        name: refusals
        for name, role in wanted.roles.items()
        if (refusals := [*_of_role(current.roles.get(name), role, current.server)])
    }
    founder = {current.server.founder} if current.server else set()
    missing = frozenset(name for name in roles if name in founder or name not in current.roles)
    kept, rest = _with_roles_kept(current, wanted, roles, missing), not_of(current, missing)
    return Possible(rest, kept, roles=roles, missing=missing).without(_refused(current, wanted, missing))


def _refused(current: Cluster, wanted: Cluster, missing: frozenset[str]) -> dict[str, list[str]]:
    found = {
        name: [
            *of_database(current.databases.get(name), database, wanted, current.server),
            *waits(database, missing),
        ]
        for name, database in wanted.databases.items()
    }
    return {name: refusals for name, refusals in found.items() if refusals}


def of_database(now: Database | None, wanted: Database, cluster: Cluster, server: Server | None) -> list[str]:
    """Why one database cannot become as it is wanted, by all that is known of it."""
    found = [*_unchangeable(wanted.name, now, wanted, server)] if now else []
    if server and wanted.state == PRESENT:
        found += _extensions(wanted, now, server)
        found += _settings(f"databases:{wanted.key}", now, wanted, server)
    return found + (refused_inside(now, wanted, cluster, server) if now else [])


def waits(database: Database, missing: Iterable[str]) -> list[str]:
    """That a database names roles that are not as they are wanted."""
    named = sorted(roles_in(database).intersection(missing)) if database.state == PRESENT else []
    what = ", ".join(map(repr, named))
    return [f"it waits for role {what}, whose own failure is reported"] if named else []


def waits_to_join(database: Database, unjoined: Iterable[str], admin: str) -> list[str]:
    """That the admin cannot act for owners in a database."""
    what = ", ".join(map(repr, sorted(owners_in(database).intersection(unjoined))))
    why = f"it waits for {admin!r} to join {what}; why that fails is reported for role {admin!r}"
    return [why] if what else []


def roles_in(database: Database) -> set[str]:
    """The roles without which a database cannot be as it is wanted."""
    return owners_in(database) | {one.grantee for one in (*database.grants, *database.default_grants)}


def owners_in(database: Database) -> set[str]:
    """The owners of a database and of its schemas, and whoever else may create in it."""
    return {database.owner, *database.creators, *(schema.owner for schema in database.schemas.values())}


# What is left of two clusters


def _without(cluster: Cluster, databases: Container[str]) -> Cluster:
    rest = {name: database for name, database in cluster.databases.items() if name not in databases}
    return replace(cluster, databases=rest)


def _with_roles_kept(
    current: Cluster, wanted: Cluster, refused: Container[str], missing: Container[str]
) -> Cluster:
    """A refused role is to stay as it is. One that is not there is not to be made."""
    roles = {
        name: replace(current.roles[name], password=None) if name in refused else role
        for name, role in wanted.roles.items()
        if name not in missing
    }
    return not_of(replace(wanted, roles=roles), missing)


def not_of(cluster: Cluster, missing: Container[str]) -> Cluster:
    """Without the memberships of these roles, which are neither given nor taken."""

    def is_left(join: Membership) -> bool:
        return join.role not in missing and join.member not in missing

    return replace(cluster, memberships=frozenset(filter(is_left, cluster.memberships)))


# Roles


def _of_role(now: Role | None, role: Role, server: Server | None) -> Iterator[str]:
    if server is None:
        return
    if role.name == server.founder:
        yield (
            f"{role.name!r} is the superuser that the cluster was made with, "
            "and not for pillar to change; give the user in pillar another name"
        )
    if role.state == PRESENT:
        path = f"{'users' if role.login else 'groups'}:{role.name}"
        yield from _settings(path, now, role, server)
        if role.password and not server.sees_passwords and scram.is_verifier(role.password.reveal()):
            yield (
                f"cannot tell whether {role.name!r} has the verifier that pillar gives: {server.admin!r} "
                f"may not read pg_authid; give the password itself in postgresql:{path}:password"
            )


# Databases


def _unchangeable(name: str, now: Database, database: Database, server: Server | None) -> Iterator[str]:
    path = f"postgresql:databases:{database.key}"
    if database.state == ABSENT and now.state != QUARANTINED and _lets_in(now, server):
        yield (
            f"database {name!r} is still open, and only a quarantined one is dropped; "
            f"set {path}:state to quarantined first, and to absent when nobody missed it"
        )
    for key in ("encoding", "locale"):
        had, asked = getattr(now, key), getattr(database, key)
        if database.state == PRESENT and had and asked and _spelled(had) != _spelled(asked):
            yield (
                f"database {name!r} has {key} {had}, and PostgreSQL cannot change it to {asked} in place; "
                f"dump it into a new database, or set {path}:{key} to {had}"
            )


def _lets_in(now: Database, server: Server | None) -> bool:
    """Whether anybody but the admin may connect. Nobody may while a database is dumped to be dropped."""
    admin = server.admin if server else None
    holders = {
        grant.grantee for grant in now.grants if (grant.kind, grant.privilege) == ("database", "CONNECT")
    }
    return now.owner in holders or bool(holders - {admin})


def _spelled(word: str) -> str:
    return word.lower().replace("-", "").replace("_", "")


def _extensions(database: Database, now: Database | None, server: Server) -> Iterator[str]:
    for name, wanted in sorted(database.extensions.items()):
        offered = server.extensions.get(name)
        path = f"postgresql:databases:{database.key}:extensions:{name}"
        if _is_as_wanted(now, wanted):
            continue
        if not offered:
            yield f"the server has no extension {name!r} ({path}); install its package there, or take it out"
        elif wanted.version not in (None, LATEST, *offered):
            yield (
                f"the server has no version {wanted.version} of extension {name!r} ({path}); "
                f"it has {', '.join(offered[1:])}"
            )


def _is_as_wanted(now: Database | None, wanted: Extension) -> bool:
    """Whether an extension is there already. Of a closed database that is not known before it is open."""
    if now and now.state == QUARANTINED:
        return True
    there = now and now.extensions.get(wanted.name)
    return bool(there) and wanted.version in (None, there.version)


def _settings(
    path: str, now: Role | Database | None, wanted: Role | Database, server: Server
) -> Iterator[str]:
    """Settings that are to be made and that the server does not know. One that it has kept is no fault."""
    for name, _ in sorted(wanted.settings - (now.settings if now else frozenset())):
        if name in server.unknown_settings:
            close = get_close_matches(name, server.unknown_settings[name], n=1)
            advice = f"did you mean {close[0]!r}?" if close else "take it out"
            yield f"the server has no setting {name!r} (postgresql:{path}:settings); {advice}"
