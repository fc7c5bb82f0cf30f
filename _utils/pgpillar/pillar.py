"""Pillar to model: every fault found in one pass, each with its path and what would be right."""

from __future__ import annotations

import dataclasses
import re
from collections import defaultdict
from collections.abc import Iterable, Mapping
from functools import cached_property
from typing import NamedTuple

from pgpillar import access as levels
from pgpillar.access import Access, Layout
from pgpillar.model import (
    ABSENT,
    PRESENT,
    Cluster,
    Consul,
    Database,
    Endpoint,
    Membership,
    Place,
    Role,
    Schema,
    Trouble,
)
from pgpillar.paths import Paths
from pgpillar.shape import Notes, Path, Problem, nearest
from pgpillar.tree import ADMIN, CLUSTER, DATABASE, ROOT, TREE

SPEAKERS = {
    "mine": "any minion could say in the mine",
    "consul": "whoever may register a service could say in Consul",
}

BY_SOCKET = {
    "host": Paths().sockets,
    "hostaddr": None,
    "user": "postgres",
    "database": "postgres",
    "password": None,
    "run_as": "postgres",
}


class PillarError(Trouble):
    """The pillar cannot be used; ``problems`` says all that is wrong with it."""

    def __init__(self, problems: Iterable[Problem]):
        self.problems = sorted(set(problems))
        count = len(self.problems)
        head = "1 problem" if count == 1 else f"{count} problems"
        super().__init__(
            "\n".join([f"pillar has {head}; nothing was applied", *(f"- {p}" for p in self.problems)])
        )


class Declared(NamedTuple):
    endpoint: Endpoint
    cluster: Cluster


def read(tree: Mapping, common: dict | None = None) -> dict[str, Declared]:
    """Each declared cluster, by name. ``tree`` is what stands under ``postgresql`` in pillar."""
    notes = Notes(common=common)
    declared = Reader(TREE.read(tree, ROOT, notes), notes).clusters()
    if notes.problems:
        raise PillarError(notes.problems)
    return declared


def one_cluster(tree: Mapping, cluster: str | None = None) -> tuple[str, Endpoint]:
    """A cluster, by its name or as the only one that this pillar can mean, and how to reach it."""
    notes = Notes()
    reader = Reader(TREE.read(tree, ROOT, notes), notes)
    name = reader.known_cluster(cluster or peek(reader.tree["server"], "cluster"), ROOT / "clusters")
    endpoint = reader.endpoint(name) if name else None
    if notes.problems:
        raise PillarError(notes.problems)
    return name, endpoint


def authorities(tree: Mapping) -> tuple[str, ...]:
    """The authorities that the minion which is the CA is to have, the one that signs first."""
    notes = Notes()
    named = TREE.read(tree, ROOT, notes)["authorities"]
    if not named:
        notes.add(ROOT / "authorities", "nobody would sign", "name one, for example [ca-1]")
    if notes.problems:
        raise PillarError(notes.problems)
    return named


GIVEN = "it comes from the master (salt-call --local asks none), for minions with a role in pillar/roles.yaml"


def given(tree: Mapping | None) -> Mapping:
    """What a minion was given under ``postgresql``. To be given nothing is not to want nothing."""
    if tree is None:
        notes = Notes()
        notes.add(ROOT, "this minion was given no pillar", GIVEN)
        raise PillarError(notes.problems)
    return tree


def problems_of_a_part(tree: object, common: dict | None = None) -> list[Problem]:
    """What is wrong with the values of a part of pillar, where nothing can be said of the whole."""
    notes = Notes(of_a_part=True, common=common)
    TREE.read(tree, ROOT, notes)
    return sorted(set(notes.problems))


def administered(tree: object, minion: str) -> list[str]:
    """The clusters that a minion administers. Nothing is checked here: ``read`` can say it well."""
    free = {name for name, named in named_minions(tree).items() if not named or minion in named}
    return sorted(free | served(tree))


def served(tree: object) -> set[str]:
    """The clusters that the minion with this pillar is itself the server of."""
    server, clusters = peek(tree, "server"), set(entries(tree, "clusters"))
    if not isinstance(server, Mapping):
        return set()
    named = peek(server, "cluster")
    return clusters & {named} if named else clusters if len(clusters) == 1 else set()


def entered(tree: object, minion: str) -> list[str]:
    """Those of them that it can enter: by the admin's password, or by the socket."""
    clusters, own = entries(tree, "clusters"), served(tree)
    return [name for name in administered(tree, minion) if name in own or _has_way_in(clusters[name])]


def _has_way_in(cluster: object) -> bool:
    return bool(peek(peek(cluster, "admin"), "password")) or str(peek(cluster, "host")).startswith("/")


def named_minions(tree: object) -> dict[str, list[str]]:
    """The minions that each cluster names to administer it; none where all may that see it."""
    return {name: _named(entry) for name, entry in entries(tree, "clusters").items()}


def _named(cluster: object) -> list[str]:
    named = peek(peek(cluster, "admin"), "minion")
    return [one for one in (named if isinstance(named, list) else [named]) if isinstance(one, str)]


def entries(tree: object, section: str) -> dict[str, object]:
    """What stands in a section, by name, of a tree that need not have the right shape."""
    found = peek(tree, section)
    return (
        {name: entry for name, entry in found.items() if isinstance(name, str)}
        if isinstance(found, Mapping)
        else {}
    )


def peek(value: object, key: str) -> object:
    """What stands under a key, where that is a mapping at all."""
    return value.get(key) if isinstance(value, Mapping) else None


class Reader:
    """Reads a pillar whose values have the right shape: here is settled what they say of each other."""

    def __init__(self, tree: Mapping, notes: Notes):
        self.tree = tree or TREE.read({}, ROOT, Notes())
        self.notes = notes
        self.roles: Mapping = {**self.tree["groups"], **self.tree["users"]}
        self.cluster_of = {
            name: self._cluster_of(name, entry) for name, entry in self.tree["databases"].items()
        }
        self.access = self._all_access()

    def clusters(self) -> dict[str, Declared]:
        self._check_roles()
        self._check_databases()
        at = self._whereabouts()
        self._check_meetings(at)
        return {
            name: Declared(self._entrance(name), self._cluster(name, entry, at))
            for name, entry in self.tree["clusters"].items()
        }

    # Where a thing stands in pillar

    def _role_path(self, name: str) -> Path:
        return ROOT / ("users" if name in self.tree["users"] else "groups") / name

    def _database_path(self, name: str) -> Path:
        return ROOT / "databases" / name

    # Who is where

    def _cluster_of(self, name: str, entry: Mapping) -> str | None:
        """The cluster of a database."""
        return self.known_cluster(entry["cluster"], self._database_path(name) / "cluster")

    def known_cluster(self, cluster: str | None, path: Path) -> str | None:
        known = self.tree["clusters"]
        if cluster in known:
            return cluster
        if cluster is not None:
            return self.notes.add(path, f"there is no cluster {cluster!r}", nearest(cluster, known))
        if len(known) == 1:
            return next(iter(known))
        message = (
            f"there are {len(known)} clusters, so one is to be named" if known else "there is no cluster"
        )
        return self.notes.add(
            path, message, nearest("", known) if known else "declare one in postgresql:clusters"
        )

    def _all_access(self) -> dict[str, list[tuple[Access, Path]]]:
        """Each database's access entries, whether they stand with the database, a schema or a role."""
        found = defaultdict(list)
        for name, entry in self.tree["databases"].items():
            path = self._database_path(name)
            for role, level in entry["access"].items():
                found[name].append((Access(role, level), path / "access" / role))
            for schema, inner in entry["schemas"].items():
                for role, level in inner["access"].items():
                    found[name].append(
                        (Access(role, level, schema), path / "schemas" / schema / "access" / role)
                    )
        for role, entry in self.roles.items():
            for database, what in entry["access"].items():
                path = self._role_path(role) / "access" / database
                if database not in self.tree["databases"]:
                    known = nearest(database, self.tree["databases"])
                    self.notes.add(path, f"there is no database {database!r}", known)
                    continue
                for schema, level in what.items() if isinstance(what, Mapping) else [(None, what)]:
                    found[database].append((Access(role, level, schema), path / schema if schema else path))
        return found

    def _whereabouts(self) -> dict[str, set[str]]:
        """The clusters that each role is on."""
        used = defaultdict(set)
        for name, cluster in self.cluster_of.items():
            for role, _ in self._mentions(name):
                used[role].add(cluster)
        return {name: self._clusters_of_role(name, entry, used) for name, entry in self.roles.items()}

    def _mentions(self, database: str) -> Iterable[tuple[str, Path]]:
        """Every role that a declared database names, with the place where it does."""
        entry, path = self.tree["databases"][database], self._database_path(database)
        if entry["state"] != PRESENT:
            return
        if entry["owner"]:
            yield entry["owner"], path / "owner"
        for schema, inner in entry["schemas"].items():
            if inner["owner"]:
                yield inner["owner"], path / "schemas" / schema / "owner"
        for access, where in self.access[database]:
            yield access.role, where

    def _clusters_of_role(self, name: str, entry: Mapping, used: Mapping[str, set[str]]) -> set[str]:
        path, clusters = self._role_path(name), self.tree["clusters"]
        if entry["cluster"]:
            said = {self.known_cluster(cluster, path / "cluster") for cluster in entry["cluster"]} - {None}
            for cluster in used[name] - said - {None}:
                fix = f"add {cluster!r} to it"
                self.notes.add(path / "cluster", f"{name!r} is used on cluster {cluster!r} as well", fix)
            return said
        if entry["state"] == ABSENT or len(clusters) == 1:
            return set(clusters)
        found = used[name].union(*(used[group] for group in self.groups_above(name))) - {None}
        if not found and clusters:
            self.notes.add(
                path, f"nothing says which cluster {name!r} is on", "add cluster: " + " or ".join(clusters)
            )
        return found

    def groups_above(self, name: str) -> set[str]:
        above, todo = set(), [name]
        while todo:
            groups = set(self.roles.get(todo.pop(), {"groups": ()})["groups"]) - above
            above |= groups
            todo += groups
        return above

    def named(self, database: str) -> str:
        """What its server calls a database."""
        return self.tree["databases"][database]["name"] or database

    def usable_by(self, user: str) -> set[str]:
        """The databases that a user may connect to, by itself or through its groups."""
        return set().union(*(self._open_to[role] for role in (user, *self.groups_above(user))))

    @cached_property
    def _open_to(self) -> Mapping[str, set[str]]:
        """The databases that each role owns something in, or is given access to."""
        found = defaultdict(set)
        for database, entry in self.tree["databases"].items():
            owners = {entry["owner"], *(schema["owner"] for schema in entry["schemas"].values())}
            given = {access.role for access, _ in self.access.get(database, ())}
            for role in owners | given if entry["state"] == PRESENT else ():
                found[role].add(database)
        return found

    # What cannot be

    def _check_roles(self) -> None:
        for name in self.tree["users"].keys() & self.tree["groups"].keys():
            self.notes.add(
                ROOT / "groups" / name, f"{name!r} is a user as well", "give one of them another name"
            )
        for name, entry in self.roles.items():
            path = self._role_path(name)
            for group in entry["groups"]:
                self._check_group(name, group, path / "groups")
            if entry["state"] == PRESENT:
                self._check_secret(name, entry, path)
            if entry["reassign_to"]:
                self._check_reassign(name, entry, path)

    def _check_secret(self, name: str, entry: Mapping, path: Path) -> None:
        if name in self.tree["users"] and not entry["password"] and not self.notes.has(path / "password"):
            self.notes.add(
                path, f"user {name!r} has no password", "put one in a secrets file that this minion sees"
            )

    def _check_reassign(self, name: str, entry: Mapping, path: Path) -> None:
        path = path / "reassign_to"
        if entry["state"] == PRESENT:
            self.notes.add(
                path, f"{name!r} stays, so nothing is reassigned", "add state: absent, or take it out"
            )
        self._check_exists(entry["reassign_to"], path)

    def _check_group(self, name: str, group: str, path: Path) -> None:
        if group.startswith("pg_"):
            return
        if group not in self.tree["groups"]:
            known = nearest(group, self.tree["groups"])
            self.notes.add(path, f"there is no group {group!r}", f"declare it in postgresql:groups ({known})")
        elif self.tree["groups"][group]["state"] == ABSENT:
            self.notes.add(path, f"group {group!r} is to be absent", "take it out, or let the group stay")
        elif name in {group, *self.groups_above(group)}:
            self.notes.add(
                path, f"{name!r} would be a member of itself through {group!r}", "take one of the two out"
            )

    def _check_meetings(self, at: Mapping[str, set[str]]) -> None:
        for name, entry in self.roles.items():
            for group in entry["groups"]:
                if at.get(group) and at[name] and not at[group] & at[name]:
                    message = f"{name!r} is on no cluster that group {group!r} is on"
                    self.notes.add(self._role_path(name) / "groups", message, "take it out, or add a cluster")

    def _check_names(self) -> None:
        """A server has one database of a name."""
        taken: dict[tuple, str] = {}
        for database in sorted(self.tree["databases"], key=lambda one: (one != self.named(one), one)):
            place = self.cluster_of[database], self.named(database)
            if taken.setdefault(place, database) != database and place[0]:
                other = self._database_path(taken[place])
                message = f"cluster {place[0]!r} has a database {place[1]!r} already: {other}"
                self.notes.add(self._database_path(database) / "name", message, "give this one another name")

    def _check_databases(self) -> None:
        self._check_names()
        for name, entry in self.tree["databases"].items():
            path = self._database_path(name)
            if entry["state"] == PRESENT and not entry["owner"] and not self.notes.has(path / "owner"):
                self.notes.add(path, "'owner' is missing", f"add 'owner': {DATABASE.keys['owner'].help}")
            for role, where in self._mentions(name):
                self._check_exists(role, where)
            for extension in entry["extensions"].values():
                if extension.schema not in {None, "public", *entry["schemas"]}:
                    where = path / "extensions" / extension.name / "schema"
                    self.notes.add(
                        where,
                        f"there is no schema {extension.schema!r}",
                        nearest(extension.schema, ("public", *entry["schemas"])),
                    )
            for one, where in self.access[name]:
                self._check_access(entry, one, where)

    def _check_exists(self, role: str, path: Path) -> None:
        if any(self.notes.has(ROOT / section / role) for section in ("users", "groups")):
            return  # it may be declared, and unread
        if role not in self.roles:
            fix = "add it to postgresql:users (in a secrets file) or postgresql:groups"
            self.notes.add(path, f"there is no user or group {role!r}", f"{fix}; {nearest(role, self.roles)}")
        elif self.roles[role]["state"] == ABSENT:
            self.notes.add(path, f"{role!r} is to be absent", "name another role, or let it stay")

    def _check_access(self, entry: Mapping, one: Access, path: Path) -> None:
        if one.schema is None:
            return
        if one.schema not in {"public", *entry["schemas"]}:
            self.notes.add(
                path, f"there is no schema {one.schema!r}", nearest(one.schema, ("public", *entry["schemas"]))
            )
        elif one.level == levels.OWNER and self._schema_owner(entry, one.schema) == entry["owner"]:
            reason = f"for {entry['owner']!r} owns both"
            message = f"owning schema {one.schema!r} would mean owning the database, {reason}"
            self.notes.add(path, message, "give the schema an owner of its own")

    def _schema_owner(self, entry: Mapping, schema: str) -> str | None:
        return entry["schemas"].get(schema, {"owner": None})["owner"] or entry["owner"]

    # The model

    def _entrance(self, name: str) -> Endpoint:
        """How the admin comes in: on the server itself by its socket, whatever others do."""
        endpoint = self.endpoint(name)
        return dataclasses.replace(endpoint, **BY_SOCKET) if name in served(self.tree) else endpoint

    def endpoint(self, name: str) -> Endpoint:
        entry, path = self.tree["clusters"][name], ROOT / "clusters" / name
        admin = entry["admin"] or ADMIN.read({}, path, Notes())
        socket = (entry["host"] or "").startswith("/")
        self._check_tls(entry, path, socket)
        self._check_home(name, admin)
        self._check_discovery(entry, path)
        for role in (r for r in self.roles if r == admin["user"]):
            self.notes.add(
                self._role_path(role), f"{role!r} is the admin of cluster {name!r}", "choose another name"
            )
        keys = {field.name for field in dataclasses.fields(Endpoint)} & set(CLUSTER.keys)
        replicas = tuple(Place(**replica) for replica in entry["replicas"])
        made = {"replicas": replicas, "consul": Consul(**entry["consul"])}
        return Endpoint(**{**{key: entry[key] for key in keys}, **made}, **admin)

    def _check_discovery(self, entry: Mapping, path: Path) -> None:
        speaker = SPEAKERS.get(entry["discovery"])
        if speaker and not entry["minions"]:
            message = f"{speaker} that it is a server of this cluster"
            self.notes.add(path / "minions", message, "name the minions of its servers")
        url = entry["consul"]["url"]
        if entry["consul"]["token"] and not re.match(r"https:|http://(127\.|localhost\b)", url):
            message = "the token would go through the network in plain text"
            self.notes.add(path / "consul" / "url", message, "take https, or an agent on this machine")

    def _check_home(self, cluster: str, admin: Mapping) -> None:
        home = admin["database"]
        for database, entry in self.tree["databases"].items():
            is_home = (self.cluster_of[database], self.named(database)) == (cluster, home)
            if is_home and entry["state"] != PRESENT:
                message = f"the admin of cluster {cluster!r} connects to it first, so it is to stay"
                path = self._database_path(database) / "state"
                self.notes.add(path, message, "name another admin:database before")

    def _check_tls(self, entry: Mapping, path: Path, socket: bool) -> None:
        if socket and entry["hostaddr"]:
            self.notes.add(
                path / "hostaddr", "a socket has no address", "take hostaddr out, or make host a name"
            )
        if entry["ca"] and entry["ca_file"]:
            self.notes.add(path / "ca_file", "the CA is given twice", "keep either ca or ca_file")
        if not socket and entry["sslmode"] != "verify-full" and not entry["sslmode_reason"]:
            message = f"{entry['sslmode']} does not verify who the server is"
            self.notes.add(path / "sslmode", message, "use verify-full, or say why not in sslmode_reason")

    def _cluster(self, name: str, entry: Mapping, at: Mapping[str, set[str]]) -> Cluster:
        here = {role for role, clusters in at.items() if name in clusters}
        databases = {
            db: self.tree["databases"][db] for db, cluster in self.cluster_of.items() if cluster == name
        }
        layouts = {
            db: self._layout(db, entry) for db, entry in databases.items() if entry["state"] == PRESENT
        }
        joins = self._memberships(here, layouts.values())
        members = _members(joins)
        self._check_circles(members)
        logins = here & set(self.tree["users"])
        inside = Inside(logins, members, _inverted(members))
        return Cluster(
            name=name,
            roles={role: self._role(role) for role in sorted(here)},
            memberships=joins,
            databases={
                self.named(db): _database(db, entry, layouts.get(db), inside)
                for db, entry in sorted(databases.items())
            },
        )

    def _role(self, name: str) -> Role:
        entry = self.roles[name]
        same = ("state", "reassign_to", "settings")
        role = Role(name, **{key: entry[key] for key in same})
        if name not in self.tree["users"]:
            return role
        same = ("password", "valid_until", "connection_limit")
        attributes = frozenset(entry["attributes"])
        return dataclasses.replace(
            role, login=True, attributes=attributes, **{key: entry[key] for key in same}
        )

    def _layout(self, name: str, entry: Mapping) -> Layout:
        owner = entry["owner"] or ""
        schemas = {"public": Schema("public", None, required=False)}
        for schema, inner in entry["schemas"].items():
            schemas[schema] = Schema(schema, inner["owner"] or owner)
        known = tuple(one for one, _ in self.access[name] if one.schema is None or one.schema in schemas)
        return Layout(owner, schemas, entry["extensions"], known)

    def _memberships(self, here: set[str], layouts: Iterable[Layout]) -> frozenset[Membership]:
        joins = {
            Membership(group, role)
            for role in here
            if self.roles[role]["state"] == PRESENT
            for group in self.roles[role]["groups"]
            if group in here or group.startswith("pg_")
        }
        return frozenset(joins.union(*map(levels.memberships, layouts)))

    def _check_circles(self, members: Mapping[str, set[str]]) -> None:
        for role, inside in members.items():
            if role in inside and role not in self.groups_above(role):
                message = f"{role!r} would be a member of itself through what it owns"
                self.notes.add(self._role_path(role), message, "take out one of the accesses")


class Inside(NamedTuple):
    """Who is in whom on a cluster, at any depth, seen from either side; and who logs in."""

    logins: set[str]
    members: Mapping[str, set[str]]
    above: Mapping[str, set[str]]


def _inverted(members: Mapping[str, set[str]]) -> dict[str, set[str]]:
    above = defaultdict(set)
    for role, inside in members.items():
        for member in inside:
            above[member].add(role)
    return above


def _database(key: str, entry: Mapping, layout: Layout | None, inside: Inside) -> Database:
    same = ("state", "connection_limit", "encoding", "locale", "template", "bootstrap", "settings")
    name, owner = entry["name"] or key, entry["owner"] or ""
    database = Database(name, owner, alias=key, **{one: entry[one] for one in same})
    if layout is None:
        return database
    return dataclasses.replace(
        database,
        schemas=layout.schemas,
        extensions=layout.extensions,
        grants=levels.grants(layout),
        default_grants=levels.default_grants(layout, inside.members),
        creators_in=levels.creators(layout, inside.members),
        writers=levels.writers(layout, inside.members),
        role_settings=levels.acts_as(layout, inside.logins, inside.above, inside.members),
    )


def _members(joins: Iterable[Membership]) -> dict[str, set[str]]:
    """Who is in each role, at any depth."""
    direct = defaultdict(set)
    for join in joins:
        direct[join.role].add(join.member)
    return {role: _reached(role, direct) for role in list(direct)}


def _reached(role: str, direct: Mapping[str, set[str]]) -> set[str]:
    found, todo = set(), list(direct[role])
    while todo:
        member = todo.pop()
        if member not in found:
            found.add(member)
            todo += direct.get(member, ())
    return found
