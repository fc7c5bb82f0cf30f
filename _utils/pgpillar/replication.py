"""How one server of a cluster follows another: the names, the files, and who is left behind. Pure."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import replace
from hashlib import sha256
from typing import NamedTuple

from pgpillar.client import Way, passfile
from pgpillar.model import SYSTEM_CAS, Endpoint, Place, Secret
from pgpillar.paths import Paths

PREFIX = "pgpillar_"  # of the slots that are ours
DATABASE = "postgres"  # where a replica asks its primary, and pg_rewind reads
# What pg_rewind asks of its source; whoever may replicate can read the same files by a base backup
FOR_REWIND = (
    "pg_ls_dir(text, boolean, boolean)",
    "pg_stat_file(text, boolean)",
    "pg_read_binary_file(text)",
    "pg_read_binary_file(text, bigint, bigint, boolean)",
)


class Login(NamedTuple):
    """As whom replicas come in."""

    user: str
    password: Secret


class Standing(NamedTuple):
    """What a server says of itself."""

    in_recovery: bool
    timeline: int
    system: str  # the same on all servers of a cluster, and on no other

    @classmethod
    def told(cls, said: Mapping) -> Standing:
        """By what ``vitals`` asks."""
        return cls(said["role"] == "replica", said["timeline"], said["system"])


class Following(NamedTuple):
    """How a server follows its primary."""

    conninfo: str
    slot: str
    endpoint: Endpoint  # the primary, as its replicas come in
    texts: Mapping[str, str]  # what it needs for that, by path

    @property
    def settings(self) -> dict[str, str]:
        return {"primary_conninfo": self.conninfo, "primary_slot_name": self.slot}


def following(primary: Place, cluster: Endpoint, login: Login, minion: str) -> Following:
    """How a minion's server follows this primary, which is verified as the cluster's."""
    paths = Paths()
    ca = paths.replication_ca if cluster.ca else cluster.ca_file or SYSTEM_CAS
    way = Way("", primary.host, primary.port, "*", *login, primary.hostaddr, cluster.sslmode, ca)
    words = {name: value for name, value in way.parameters.items() if name != "dbname"}
    words |= {"passfile": paths.replication_passfile, "application_name": minion, "gssencmode": "disable"}
    texts = {paths.replication_passfile: passfile([way])} | ({ca: cluster.ca} if cluster.ca else {})
    there = {"user": login.user, "password": login.password, "database": DATABASE}
    endpoint = replace(cluster, **primary._asdict(), **there)
    return Following(conninfo(words), slot_of(minion), endpoint, texts)


def conninfo(words: Mapping[str, object]) -> str:
    return " ".join(f"{name}={_word(value)}" for name, value in words.items())


def _word(value: object) -> str:
    return "'" + re.sub(r"(['\\])", r"\\\1", str(value)) + "'"


def place_in(conninfo: str | None) -> Place | None:
    """The server that a conninfo of ours leads to."""
    said = dict(re.findall(r"(\w+)='((?:[^'\\]|\\.)*)'", conninfo or ""))
    return Place(said["host"], int(said["port"]), said.get("hostaddr")) if "port" in said else None


def slot_of(minion: str) -> str:
    """The slot of a minion's server. Two minions never share one."""
    if re.fullmatch(r"[a-z0-9-]{1,54}", minion):
        return PREFIX + minion.replace("-", "_")
    plain = re.sub(r"[^a-z0-9]", "_", minion.lower())[:45]
    return f"{PREFIX}{plain}_{sha256(minion.encode()).hexdigest()[:8]}"


def successor(minion: str, own: Standing, announced: Mapping[str, Mapping]) -> str | None:
    """Who is the primary since this one was left behind by a promotion, if so.

    A server that is still announced as a primary itself was not left behind: then there are two, and nobody
    chooses between them.
    """
    if own.in_recovery or _is_primary(announced.get(minion, {})):
        return None
    later = [name for name, said in announced.items() if _is_primary(said) and _is_later(said, own)]
    return later[0] if later else None


def _is_primary(said: object) -> bool:
    return isinstance(said, Mapping) and said.get("in_recovery") is False


def _is_later(said: Mapping, own: Standing) -> bool:
    timeline = said.get("timeline")
    return said.get("system") == own.system and isinstance(timeline, int) and timeline > own.timeline


# What people are told


def position(lsn: str) -> int:
    high, low = lsn.split("/")
    return (int(high, 16) << 32) + int(low, 16)


TORN = "a rewind of its data was cut off, so they are of no use; copy them anew: pg_server.rebuild"


def left_behind(successor: str) -> str:
    return (
        f"{successor} was promoted in its place, so this server is the primary no more and is kept down;"
        " bring it back as a replica: pg_server.rejoin"
    )


def unreachable(trouble: str) -> str:
    if "password authentication failed" in trouble:
        return f"{trouble}; where pillar has a new one, the primary is to have it first: highstate there"
    return f"it does not follow: {trouble}"


def not_following(own: Standing, primary: Standing, slots: list[Mapping], last_words: str) -> str:
    """Why a replica does not follow a primary that answers, and the remedy."""
    if primary.system != own.system:
        return "its data are of another cluster; see what they are, move them away, and run highstate"
    if primary.in_recovery:
        return "the server that it is to follow is a replica itself; highstate there, then here"
    if not slots:
        return "it has no slot on its primary; highstate makes it"
    if slots[0]["wal_status"] == "lost" or re.search("has already been removed", last_words):
        return (
            "it is too far behind: its primary keeps no more than max_slot_wal_keep_size, and has given up"
            " what it needs next; copy the data anew: pg_server.rebuild"
        )
    if re.search("forked off|is not in this server's history|ahead of|is behind recovery", last_words):
        return f"it has gone another way than its primary ({last_words}); pg_server.rejoin"
    return f"it does not follow yet; its log said last: {last_words or 'nothing'}"


def end_of(timeline: int, history: str) -> str | None:
    """Where a timeline ended, by the history of a later one; None, if it is not over."""
    for line in history.splitlines():
        if (fields := line.split("\t")) and fields[0].strip() == str(timeline):
            return fields[1]
    return None


def loss(commits: list[str], primary: str) -> str:
    """What giving up the log of a server would lose."""
    count = "1 transaction" if len(commits) == 1 else f"{len(commits)} transactions"
    return (
        f"{count} committed here, the first at {commits[0]}, the last at {commits[-1]}, are not on {primary};"
        " nothing was done, and this server is down. To look at them, start it: pg_ctlcluster. To give them"
        " up: pg_server.rejoin discard=True. To follow with the data kept beside: pg_server.rebuild"
    )
