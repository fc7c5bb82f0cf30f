"""What a PostgreSQL server of one's own is to be: its settings, and who may come in from where. Pure."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping
from difflib import get_close_matches
from typing import NamedTuple

from pgpillar import scram
from pgpillar.model import BOOTSTRAP_LOGIN, PRESENT, Endpoint
from pgpillar.paths import Paths
from pgpillar.pillar import PillarError, Reader, given
from pgpillar.replication import DATABASE, Following, Login
from pgpillar.shape import Notes, nearest
from pgpillar.tree import ROOT, SERVER, TREE

HEAD = "# Written by pgpillar, from pillar. What is changed here is taken back by the next highstate.\n"

# What pgpillar says itself, and where pillar says it instead
ELSEWHERE = {
    "config_file": "leave the place of its files to Debian",
    "data_directory": "leave the place of its files to Debian",
    "hba_file": "leave the place of its files to Debian",
    "ident_file": "leave the place of its files to Debian",
    "listen_addresses": "say who may come in postgresql:server:networks",
    "password_encryption": "pgpillar takes scram-sha-256 alone",
    "port": "say it in postgresql:clusters",
    "primary_conninfo": "say it in postgresql:server:replication",
    "primary_slot_name": "say it in postgresql:server:replication",
    "ssl": "pgpillar serves nobody without TLS",
    "ssl_cert_file": "leave it to the state postgresql.server",
    "ssl_key_file": "leave it to the state postgresql.server",
}


# How much a replica may be behind before the primary gives it up, rather than fill its own disk
KEPT = {"max_slot_wal_keep_size": "4GB"}


class Rule(NamedTuple):
    """Who may log in to what, and where from."""

    database: str
    user: str
    network: str
    is_word: bool = False  # of pg_hba.conf, and no database

    def __str__(self) -> str:
        database = self.database if self.is_word else quoted(self.database)
        return f"hostssl {database} {quoted(self.user)} {self.network} scram-sha-256\n"


class Server(NamedTuple):
    cluster: str
    settings: Mapping[str, str]
    rules: tuple[Rule, ...]
    port: int
    may_restart: bool
    endpoint: Endpoint
    login: Login | None = None  # of replicas
    following: Following | None = None

    def follows(self, following: Following) -> Server:
        """The same as a replica."""
        return self._replace(settings={**self.settings, **following.settings}, following=following)

    def conf(self) -> str:
        lines = [f"{name} = {literal(value)}\n" for name, value in sorted(self.settings.items())]
        return HEAD + "".join(lines)

    def hba(self) -> str:
        """The rules, after those for the server's own system user and for the login of bootstrap scripts."""
        local = ["local all postgres peer\n", f"local all {BOOTSTRAP_LOGIN} scram-sha-256\n"]
        return HEAD + "".join([*local, *map(str, self.rules)])


def read(tree: Mapping | None, megabytes: int) -> Server:
    """The server that pillar wants on this minion, which has so much memory."""
    notes = Notes()
    reader = Reader(TREE.read(given(tree), ROOT, notes), notes)
    entry = reader.tree["server"] or SERVER.read({}, ROOT, Notes())
    cluster = reader.known_cluster(entry["cluster"], ROOT / "server" / "cluster")
    _check_settings(dict(entry["settings"]), notes)
    login = _login(reader, entry["replication"])
    rules = tuple(sorted([*_rules(reader, cluster, entry["networks"]), *_ways_in(login, entry["networks"])]))
    _check_names(rules, notes)
    endpoint = reader.endpoint(cluster) if cluster else None
    if notes.problems:
        raise PillarError(notes.problems)
    settings = sized_for(entry["memory"] or megabytes) | (KEPT if login else {}) | dict(entry["settings"])
    settings |= _ours(endpoint.port, bool(rules))
    return Server(cluster, settings, rules, endpoint.port, entry["restart"], endpoint, login)


def _login(reader: Reader, user: str | None) -> Login | None:
    """As whom replicas come in; what keeps that user from it is noted."""
    if user is None:
        return None
    entry, path = reader.tree["users"].get(user), ROOT / "users" / user
    if entry is None:
        known = nearest(user, reader.tree["users"])
        return reader.notes.add(ROOT / "server" / "replication", f"there is no user {user!r}", known)
    for is_wrong, message, fix in _LOGIN_FAULTS:
        if is_wrong(entry):
            return reader.notes.add(path, f"{user!r} is to replicate, and {message}", fix)
    return Login(user, entry["password"])


_LOGIN_FAULTS = (
    (lambda user: user["state"] != PRESENT, "is to be absent", "let it stay"),
    (lambda user: "replication" not in user["attributes"], "may not", "add attributes: [replication]"),
    (lambda user: not user["password"], "has no password", "put one in a secrets file that servers see"),
    (
        lambda user: scram.is_verifier(user["password"].reveal()),
        "nobody can log in with a verifier",
        "put the password itself there",
    ),
)


def _ways_in(login: Login | None, networks: Iterable[str]) -> Iterator[Rule]:
    """Those of replicas: to follow, and to ask the primary how it is."""
    for network in networks if login else ():
        yield Rule("replication", login.user, network, is_word=True)
        yield Rule(DATABASE, login.user, network)


def _check_settings(settings: Iterable[str], notes: Notes) -> None:
    for name in ELSEWHERE.keys() & set(settings):
        notes.add(ROOT / "server" / "settings" / name, "this is not set here", ELSEWHERE[name])


def _check_names(rules: Iterable[Rule], notes: Notes) -> None:
    for name in {name for rule in rules for name in rule[:2] if name.startswith("/")}:
        notes.add(ROOT, f"{name!r} begins as a pattern does in pg_hba.conf", "choose another name")


def _rules(reader: Reader, cluster: str | None, networks: Iterable[str]) -> Iterator[Rule]:
    """Each user into the databases that it may use, and nobody else."""
    for user, entry in reader.tree["users"].items():
        for database in reader.usable_by(user) if entry["state"] == PRESENT else ():
            if reader.cluster_of[database] == cluster:
                yield from (Rule(reader.named(database), user, network) for network in networks)


def _ours(port: int, is_used: bool) -> dict[str, str]:
    return {
        "listen_addresses": "*" if is_used else "",
        "port": str(port),
        "password_encryption": "scram-sha-256",
        "ssl": "on",
        "ssl_cert_file": Paths().server_certificate,
        "ssl_key_file": Paths().server_certificate,
    }


def sized_for(megabytes: int) -> dict[str, str]:
    """Settings for a machine that does nothing else. Rounded, so that a few pages less ask for no restart."""
    quarter = max(megabytes // 4 // 32 * 32, 32)
    return {
        "shared_buffers": f"{quarter}MB",
        "effective_cache_size": f"{3 * quarter}MB",
        "maintenance_work_mem": f"{min(max(quarter // 4, 16), 2048)}MB",
        "work_mem": f"{min(max(quarter // 64, 4), 64)}MB",
    }


_LINE = re.compile(r"(\S+) = '((?:[^']|'')*)'")


def settings_in(conf: str) -> dict[str, str]:
    """The settings that a file of ours holds."""
    found = filter(None, map(_LINE.fullmatch, conf.splitlines()))
    return {line[1]: line[2].replace("''", "'").replace("\\\\", "\\") for line in found}


def rules_in(hba: str) -> dict[str, str]:
    """The lines of a file of ours, by themselves."""
    return {line: "" for line in hba.splitlines() if line and not line.startswith("#")}


def advice_on(complaints: str, known: Iterable[str]) -> list[str]:
    """What the server said of a configuration, by setting, with the nearest name that there is."""
    told = []
    for complaint in complaints.splitlines():
        if unknown := re.search(r'unrecognized configuration parameter "([^"]+)"', complaint):
            close = get_close_matches(unknown[1], known, n=1)
            fix = f"did you mean {close[0]!r}?" if close else "take it out"
            told.append(_of(unknown[1], f"there is no such setting; {fix}"))
        elif wrong := re.search(r'(?:for|parameter) "([^"]+)"(.*)', complaint):
            told.append(_of(wrong[1], re.sub(r"^.*?(?:LOG|FATAL):\s+", "", complaint)))
    return told


def _of(setting: str, what: str) -> str:
    return f"postgresql:server:settings:{setting}: {what}"


def literal(text: str) -> str:
    """A value as postgresql.conf wants it."""
    return "'" + text.replace("\\", "\\\\").replace("'", "''") + "'"


def quoted(name: str) -> str:
    """A name as pg_hba.conf wants it: one that is not taken for a word of its own."""
    return '"' + name.replace('"', '""') + '"'
