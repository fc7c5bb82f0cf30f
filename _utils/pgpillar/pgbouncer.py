"""What pgbouncer is given to read, and what its console says. Pure: texts in, texts out."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Mapping
from hashlib import sha256
from ipaddress import ip_address
from typing import NamedTuple

from pgpillar import scram
from pgpillar.model import Place, Secret
from pgpillar.node import CONSOLE, Node, Pool
from pgpillar.tables import compared

FILES = INI, USERLIST, HBA, CA = "pgbouncer.ini", "userlist.txt", "hba.conf", "ca.pem"

DEFAULTS = {
    "listen_addr": "127.0.0.1",
    "pool_mode": "transaction",
    "max_client_conn": "1000",
    "default_pool_size": "20",
    "ignore_startup_parameters": "extra_float_digits",
    "server_login_retry": "1",
    "log_connections": "0",
    "log_disconnections": "0",
}


class Home(NamedTuple):
    """Where one instance lives."""

    files: str  # the directory of its generation
    sockets: str
    log: str
    pid: str
    port: int
    listens: bool = True


def texts(
    node: Node,
    servers: Mapping[str, Place],
    passwords: Mapping[str, Secret],
    cas: Iterable[str],
    place: Home,
    hide: bool = False,
) -> dict[str, str]:
    """What stands in the files of one generation. ``hide``: keep verifiers of this node's passwords."""
    return {
        INI: ini(node, servers, place),
        USERLIST: userlist(passwords, hide),
        HBA: hba(node.pools.values(), place.listens),
        CA: bundle(cas),
    }


def fingerprint(texts: Mapping[str, str]) -> str:
    """A name for a generation. The random passwords in it make it tell nothing of the others."""
    return sha256(repr(sorted(texts.items())).encode()).hexdigest()[:20]


def ini(node: Node, servers: Mapping[str, Place], place: Home) -> str:
    pools = [f"{pool.name} = {_leads_to(pool, servers[pool.name])}" for pool in _sorted(node.pools)]
    settings = [f"{name} = {value}" for name, value in settings_of(node, place).items()]
    return "\n".join(["[databases]", *pools, "", "[pgbouncer]", *settings, ""])


def settings_of(node: Node, place: Home) -> dict[str, str]:
    """Every setting that is written: defaults, pillar's, and above them pgpillar's own.

    Those stand first, for a pgbouncer that stumbles over a line has taken up what stands before it, and set
    what follows to its own defaults: where its logins come from matters most then.
    """
    ours = {
        "auth_type": "hba",
        "dns_max_ttl": "0",  # who dials a server looks up its address, so that a new one is found at once
        "auth_file": f"{place.files}/{USERLIST}",
        "auth_hba_file": f"{place.files}/{HBA}",
        "listen_port": str(place.port),
        "unix_socket_dir": place.sockets,
        "logfile": place.log,
        "pidfile": place.pid,
        "server_tls_sslmode": next((e.sslmode for e in node.endpoints.values()), "verify-full"),
        "server_tls_ca_file": f"{place.files}/{CA}",
    }
    others = sorted({**DEFAULTS, **node.settings}.items())
    return {**ours, **dict(others), **ours} | ({} if place.listens else {"listen_addr": ""})


def _leads_to(pool: Pool, server: Place) -> str:
    pairs = {
        "host": server.host,
        "port": server.port,
        "dbname": pool.database,
        "user": pool.user,
        "password": pool.password.reveal(),
        "pool_mode": pool.mode,
        "pool_size": pool.size,
    }
    return " ".join(f"{key}={literal(value)}" for key, value in pairs.items() if value is not None)


def userlist(passwords: Mapping[str, Secret], hide: bool) -> str:
    """Who may log in to this pgbouncer. The salt comes from the password: the same gives the same."""
    lines = []
    for user, secret in sorted(passwords.items()):
        text = secret.reveal()
        kept = scram.verifier(text, salt=sha256(b"pgpillar" + text.encode()).digest()[:16]) if hide else text
        lines.append(f"{quoted(user)} {quoted(kept)}")
    return "\n".join([*lines, ""])


def hba(pools: Iterable[Pool], listens: bool = True) -> str:
    """Each pool is for its own user alone."""
    lines = []
    for pool in sorted(pools, key=lambda pool: pool.name):
        who = f"{quoted(pool.name)} {quoted(pool.user)}"
        lines.append(f"local {who} scram-sha-256")
        lines += [f"host {who} {net} scram-sha-256" for net in ("127.0.0.1/32", "::1/128") if listens]
    return "\n".join([*lines, ""])


def bundle(cas: Iterable[str]) -> str:
    """The CAs of all clusters of this node, and of each its old and its new one while it changes."""
    return "\n".join([*sorted({ca.strip() for ca in cas}), ""])


def changed_pools(old: Mapping[str, str], new: Mapping[str, str], node: Node) -> list[Pool]:
    """The pools that a new generation may have broken, and that are to be tried."""
    if not old or _around_pools(old) != _around_pools(new):
        return _sorted(node.pools)
    lines = {part: set(old[part].splitlines()) ^ set(new[part].splitlines()) for part in (INI, USERLIST, HBA)}
    return [
        pool
        for pool in _sorted(node.pools)
        if any(line.startswith(f"{pool.name} =") for line in lines[INI])
        or any(line.startswith(f"{quoted(pool.user)} ") for line in lines[USERLIST])
        or any(f" {quoted(pool.name)} " in line for line in lines[HBA])
    ]


def _around_pools(texts: Mapping[str, str]) -> tuple:
    """What all pools share."""
    return _setting_lines(texts), texts[CA]


def moved_pools(old: Mapping[str, str], new: Mapping[str, str]) -> list[str]:
    """The pools whose open server connections belong to what was before."""
    before, now = _pool_lines(old), _pool_lines(new)
    return sorted(name for name in before.keys() & now.keys() if before[name] != now[name])


def astray(wanted: Mapping[str, str], servers: Iterable[Mapping]) -> set[str]:
    """The pools that have, by SHOW SERVERS, a connection to another address than wanted, and keep it."""
    kept = [row for row in servers if row["state"] != "new" and not row["close_needed"]]
    addresses = {pool: str(ip_address(address)) for pool, address in wanted.items()}
    return {row["database"] for row in kept if row["addr"] != addresses.get(row["database"], row["addr"])}


WHERE = ("host", "port", "database", "force_user", "pool_size")
BUSY = ("cl_active", "cl_waiting", "maxwait", "sv_active", "sv_idle")


def pools(
    databases: Iterable[Mapping],
    pools: Iterable[Mapping],
    servers: Iterable[Mapping],
    addresses: Callable[[str], Iterable[str]],
) -> dict[str, dict]:
    """What SHOW DATABASES, POOLS and SERVERS tell of each pool. ``addresses``: of a name."""
    busy = {row["database"]: row for row in pools}
    connected: dict[str, set[str]] = {}
    for row in servers:
        connected.setdefault(row["database"], set()).add(row["addr"])
    return {
        row["name"]: {
            **{key: row[key] for key in WHERE},
            **{key: busy.get(row["name"], {}).get(key, 0) for key in BUSY},
            "leads_to": sorted(connected.get(row["name"]) or addresses(row["host"])),
        }
        for row in databases
        if row["name"] != CONSOLE
    }


def difference(old: Mapping[str, str], new: Mapping[str, str]) -> dict[str, dict]:
    """What changes from one generation to the next, without a secret in it."""
    if old and _without_paths(old) == _without_paths(new):
        return {}
    found = {
        "pools": compared(_pool_lines(old), _pool_lines(new), _told_pool),
        "settings": compared(_setting_lines(old), _setting_lines(new)),
        "users": compared(_user_lines(old), _user_lines(new), lambda before, now: "new password"),
        "files": {file: "new" for file in (HBA, CA) if old.get(file) != new[file]},
    }
    return {kind: items for kind, items in found.items() if items}


def _told_pool(before: Mapping, now: Mapping) -> str:
    keys = [key for key in {**before, **now} if before.get(key) != now.get(key)]
    return ", ".join(
        "password" if key == "password" else f"{key} {before.get(key)} → {now.get(key)}" for key in keys
    )


_PAIR = re.compile(r"(\w+)='((?:[^']|'')*)'")


def _section(texts: Mapping[str, str], name: str) -> list[tuple[str, str]]:
    text = texts.get(INI, "").partition(f"[{name}]\n")[2].partition("\n[")[0]
    return [tuple(line.split(" = ", 1)) for line in text.splitlines() if " = " in line]


def _pool_lines(texts: Mapping[str, str]) -> dict[str, dict[str, str]]:
    return {name: dict(_PAIR.findall(value)) for name, value in _section(texts, "databases")}


def port(texts: Mapping[str, str]) -> int | None:
    """The port that these files have pgbouncer listen on."""
    written = _setting_lines(texts).get("listen_port")
    return int(written) if written and written.isdecimal() else None


_OF_A_GENERATION = ("auth_file", "auth_hba_file", "server_tls_ca_file")


def _setting_lines(texts: Mapping[str, str]) -> dict[str, str]:
    return {name: value for name, value in _section(texts, "pgbouncer") if name not in _OF_A_GENERATION}


def _user_lines(texts: Mapping[str, str]) -> dict[str, str]:
    lines = [line.rpartition(' "') for line in texts.get(USERLIST, "").splitlines()]
    return {name[1:-1].replace('""', '"'): kept for name, _, kept in lines}


def _without_paths(texts: Mapping[str, str]) -> tuple:
    return _pool_lines(texts), _setting_lines(texts), *(texts[file] for file in (USERLIST, HBA, CA))


def deviations(
    node: Node, servers: Mapping[str, Place], place: Home, databases, settings, told: Mapping[str, str] = {}
) -> list[str]:
    """Where the console's SHOW DATABASES and SHOW CONFIG tell something else than the files.

    ``told`` is how pgbouncer shows settings that it tells otherwise than they are written.
    """
    there = {name: row for name, row in databases.items() if name != "pgbouncer"}
    faults = [f"pool {name!r} is still there" for name in sorted(there.keys() - node.pools.keys())]
    for pool in _sorted(node.pools):
        wanted = _shown(pool, servers[pool.name])
        row = there.get(pool.name, {})
        faults += [
            f"pool {pool.name!r} has {key} {row.get(key)!r}, not {value!r}"
            for key, value in wanted.items()
            if str(row.get(key)) != str(value)
        ]
    return faults + differing(
        node, place, {name: settings.get(name) for name in settings_of(node, place)}, told
    )


def differing(
    node: Node, place: Home, shown: Mapping[str, str | None], told: Mapping[str, str] = {}
) -> list[str]:
    """Of the settings that are shown, those that are not as written. A whole generation is told by one."""
    written = {**settings_of(node, place), **told}
    found = [name for name, value in written.items() if name in shown and not _same(shown[name], value)]
    first, *others = _OF_A_GENERATION
    once = set(others) if {first, *others} <= set(found) else ()
    return [f"{name} is {shown[name]!r}, not {written[name]!r}" for name in found if name not in once]


def _shown(pool: Pool, server: Place) -> dict[str, object]:
    wanted = {"host": server.host, "port": server.port, "database": pool.database, "force_user": pool.user}
    return wanted | {
        key: value for key, value in {"pool_mode": pool.mode, "pool_size": pool.size}.items() if value
    }


def _same(shown: str | None, written: str) -> bool:
    if shown == written:
        return True
    try:
        return shown is not None and float(shown) == float(written)
    except ValueError:
        return False


def quoted(name: str) -> str:
    return '"' + name.replace('"', '""') + '"'


def literal(value: object) -> str:
    return "'" + str(value).replace("'", "''") + "'"


def _sorted(pools: Mapping[str, Pool]) -> list[Pool]:
    return [pools[name] for name in sorted(pools)]
