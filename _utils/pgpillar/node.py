"""Pillar of an app node to model: the pools of those users whose secrets the node has."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace

from pgpillar import scram
from pgpillar.model import PRESENT, Endpoint, Secret
from pgpillar.pillar import PillarError, Reader, given
from pgpillar.shape import Notes, Path, nearest
from pgpillar.tree import ROOT, TREE

CONSOLE = "pgbouncer"
DIRECT = "-direct"  # what follows the name of a pool where the application bypasses it
PLAIN = re.compile(r"[A-Za-z0-9_.-]+")

_WHO = "pgpillar says itself who may use which pool"
_WHERE = "pgpillar says itself where it is"

# Settings of pgbouncer that pillar does not give by this name, and where it says the same, or why it must not
ELSEWHERE = {
    "auth_dbname": _WHO,
    "auth_file": "pgpillar keeps the passwords of this node itself",
    "auth_hba_file": _WHO,
    "auth_ident_file": _WHO,
    "auth_ldap_options": _WHO,
    "auth_ldap_parameter": _WHO,
    "auth_query": _WHO,
    "auth_type": _WHO,
    "auth_user": _WHO,
    "conffile": "from the next reload on, pgbouncer would read that file and none of pgpillar's",
    "dns_max_ttl": "a server's address is looked up whenever it is dialled",
    "job_name": "it is for services of Windows",
    "listen_port": "say it in postgresql:pgbouncer:port",
    "logfile": _WHERE,
    "pidfile": _WHERE,
    "server_tls_ca_file": "say it in postgresql:clusters, as ca or ca_file",
    "server_tls_sslmode": "say it in postgresql:clusters, as sslmode",
    "service_name": "it is for services of Windows",
    "unix_socket_dir": _WHERE,
    "user": "say it in pgbouncer's systemd unit",
    "verbose": "at any but 0, pgbouncer writes the passwords of its pools into its log",
}


@dataclass(frozen=True)
class Pool:
    """A name under which an application of this node reaches a database, and as whom."""

    name: str
    cluster: str
    database: str
    user: str
    password: Secret = field(repr=False)
    target: str = "primary"
    mode: str | None = None
    size: int | None = None


@dataclass(frozen=True)
class Client:
    """A user of this node."""

    run_as: str | None  # the system user that may read its files
    direct: bool  # it may bypass the pool


@dataclass(frozen=True)
class Node:
    pools: Mapping[str, Pool]
    clients: Mapping[str, Client]
    endpoints: Mapping[str, Endpoint]
    port: int
    settings: Mapping[str, str]


def read(tree: Mapping | None, common: dict | None = None) -> Node:
    """What an app node is to have. That it does not know the secrets of other roles is no fault here."""
    notes = Notes(common=common)
    node = _Pools(Reader(TREE.read(given(tree), ROOT, notes), notes)).node()
    if notes.problems:
        raise PillarError(notes.problems)
    return node


class _Pools:
    """The pools of a node: those that pillar names, and one for each database that a user of it may use.

    One that is named and leads to the primary stands for that one.
    """

    def __init__(self, reader: Reader):
        self.reader, self.tree, self.notes = reader, reader.tree, reader.notes
        self.usable = {user: self.reader.usable_by(user) for user in self._users()}

    def node(self) -> Node:
        pools = {pool.name: pool for pool in self._all()}
        self._check(pools)
        return Node(
            pools={
                name: replace(pool, database=self.reader.named(pool.database)) for name, pool in pools.items()
            },
            clients={pool.user: self._client(pool.user) for pool in pools.values()},
            endpoints={
                name: self.reader.endpoint(name)
                for name in sorted({pool.cluster for pool in pools.values() if pool.cluster})
            },
            **self.tree["pgbouncer"],
        )

    def _client(self, user: str) -> Client:
        entry = self.tree["users"][user]
        return Client(entry["run_as"], entry["direct"])

    def _users(self) -> Iterator[str]:
        """Those whose password this node has; the others are of other nodes."""
        for user, entry in self.tree["users"].items():
            if entry["state"] == PRESENT and entry["password"]:
                yield user

    def _all(self) -> Iterator[Pool]:
        explicit = [pool for pool in map(self._explicit, self.tree["pools"]) if pool]
        yield from explicit
        covered = {(pool.database, pool.user) for pool in explicit if _replaces_default(pool)}
        taken = {pool.name: pool.user for pool in explicit}
        for user, databases in sorted(self.usable.items()):
            for database in sorted(databases):
                if (database, user) not in covered and self._is_free(database, user, taken):
                    yield self._pool(database, {"database": database, "user": user})

    def _is_free(self, name: str, user: str, taken: dict[str, str]) -> bool:
        if name not in taken:
            taken[name] = user
            return True
        both = " and ".join(map(repr, sorted((taken[name], user))))
        self.notes.add(
            ROOT / "pools",
            f"{both} would both have a pool called {name!r} on this node",
            f"name one, for example {name}_{user}: {{database: {name}, user: {user}}}",
        )
        return False

    def _explicit(self, name: str) -> Pool | None:
        entry, path = self.tree["pools"][name], ROOT / "pools" / name
        if entry["user"] not in self.usable:
            return None  # a pool of other nodes
        return self._pool(name, entry) if self._leads_somewhere(entry, path) else None

    def _leads_somewhere(self, entry: Mapping, path: Path) -> bool:
        """Whether its user may use its database. What could not be read of that is no fault of the pool."""
        database, user = entry["database"], entry["user"]
        where = ROOT / "databases" / database
        if self.notes.has(where):
            return database in self.usable[user]
        if database not in self.tree["databases"]:
            known = nearest(database, self.tree["databases"])
            self.notes.add(path / "database", f"there is no database {database!r}", known)
        elif database not in self.usable[user]:
            message = f"{user!r} has no access to database {database!r}"
            self.notes.add(path / "user", message, f"give it some in {where / 'access'}")
        return database in self.usable[user]

    def _pool(self, name: str, entry: Mapping) -> Pool:
        password = self.tree["users"][entry["user"]]["password"]
        if scram.is_verifier(password.reveal()):
            path = ROOT / "users" / entry["user"] / "password"
            self.notes.add(path, "pgbouncer cannot log in with a verifier", "put the password itself there")
        same = {key: entry.get(key) for key in ("mode", "size")}
        target = entry.get("target") or "primary"
        cluster = self.reader.cluster_of[entry["database"]] or ""
        return Pool(name, cluster, entry["database"], entry["user"], password, target, **same)

    def _check(self, pools: Mapping[str, Pool]) -> None:
        """What pgbouncer cannot be told."""
        self._check_sslmodes(pools)
        self._check_settings()
        for pool in pools.values():
            self._check_name(pool)
            self._check_direct(pool, pools)
            self._check_target(pool)
        for path, name in self._named(pools):
            if set(name) & set("\r\n"):
                self.notes.add(
                    path, f"{name!r} holds a line break, which no file of pgbouncer can", "take it out"
                )

    def _check_sslmodes(self, pools: Mapping[str, Pool]) -> None:
        modes = {self.tree["clusters"][p.cluster]["sslmode"]: p for p in pools.values() if p.cluster}
        if len(modes) > 1:
            told = " and ".join(f"{pool.name!r} ({mode})" for mode, pool in sorted(modes.items()))
            message = (
                f"pools {told} of this node differ in sslmode, and pgbouncer has one for all its servers"
            )
            self.notes.add(ROOT / "clusters", message, "use one sslmode, verify-full if you can")

    def _check_settings(self) -> None:
        for setting in self.tree["pgbouncer"]["settings"].keys() & ELSEWHERE.keys():
            path = ROOT / "pgbouncer" / "settings" / setting
            self.notes.add(path, "this is not set here", ELSEWHERE[setting])

    def _check_name(self, pool: Pool) -> None:
        fix = f"name it, for example app: {{database: {pool.database}, user: {pool.user}}}"
        if not PLAIN.fullmatch(pool.name):
            takes = "pgbouncer takes letters, digits, '_', '.' and '-' in the name of a pool"
            self.notes.add(ROOT / "pools", f"{takes}, not {pool.name!r}", fix)
        if pool.name == CONSOLE:
            self.notes.add(ROOT / "pools", f"{CONSOLE!r} is the name of pgbouncer's own console", fix)

    def _check_direct(self, pool: Pool, pools: Mapping[str, Pool]) -> None:
        """A user's direct ways stand beside its pools, in the same files."""
        other = pools.get(pool.name.removesuffix(DIRECT)) if pool.name.endswith(DIRECT) else None
        if other and other.user == pool.user and self._client(pool.user).direct:
            same = f"the way of {pool.user!r} around pool {other.name!r}"
            message = f"{pool.name!r} is also what {same} is called"
            fix = f"name it, for example app: {{database: {pool.database}, user: {pool.user}}}"
            self.notes.add(ROOT / "pools" / pool.name, message, fix)

    def _check_target(self, pool: Pool) -> None:
        """A pool of replicas that pillar is to name, and does not."""
        cluster = self.tree["clusters"].get(pool.cluster, {"discovery": None})
        replicas = ROOT / "clusters" / pool.cluster / "replicas"
        is_to_be_named = (pool.target, cluster["discovery"]) == ("replica", "static")
        if is_to_be_named and not cluster["replicas"] and not self.notes.has(replicas):
            message, fix = (
                f"cluster {pool.cluster!r} has no replica",
                f"name one in {replicas}, or take target out",
            )
            self.notes.add(ROOT / "pools" / pool.name / "target", message, fix)

    def _named(self, pools: Mapping[str, Pool]):
        for pool in pools.values():
            yield ROOT / "databases" / pool.database, self.reader.named(pool.database)
            yield ROOT / "users" / pool.user, pool.user


def _replaces_default(pool: Pool) -> bool:
    """Whether its user gets no pool of the database's own name beside it."""
    return pool.target == "primary" or pool.name == pool.database
