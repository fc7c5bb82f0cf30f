"""What an application is given to reach its pools with. Pure: texts out."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import NamedTuple
from urllib.parse import quote

from pgpillar.model import SYSTEM_CAS, Endpoint, Place, Secret
from pgpillar.node import DIRECT, Node, Pool


class Way(NamedTuple):
    """One way to a database: through the pool of this node, or directly."""

    service: str
    host: str
    port: int
    database: str
    user: str
    password: Secret
    hostaddr: str | None = None
    sslmode: str | None = None
    sslrootcert: str | None = None

    @property
    def parameters(self) -> dict[str, object]:
        """libpq's parameters, but the password."""
        given = {
            "host": self.host,
            "hostaddr": self.hostaddr,
            "port": self.port,
            "dbname": self.database,
            "user": self.user,
            "sslmode": self.sslmode,
            "sslrootcert": self.sslrootcert,
        }
        return {name: value for name, value in given.items() if value is not None}


def ways(
    node: Node, user: str, secret: Secret, sockets: str, servers: Mapping[str, Place], certs: str
) -> list[Way]:
    """Every way that a user of this node has: through its pools, and directly where pillar lets it."""
    pools = [node.pools[name] for name in sorted(node.pools) if node.pools[name].user == user]
    pooled = [Way(pool.name, sockets, node.port, pool.name, user, secret) for pool in pools]
    if not node.clients[user].direct:
        return pooled
    return pooled + [_direct(pool, node.endpoints[pool.cluster], servers[pool.name], certs) for pool in pools]


def _direct(pool: Pool, endpoint: Endpoint, server: Place, certs: str) -> Way:
    way = Way(pool.name + DIRECT, server.host, server.port, pool.database, pool.user, pool.password)
    if endpoint.is_socket:
        return way
    ca = ca_path(pool.cluster, certs) if endpoint.ca else endpoint.ca_file or SYSTEM_CAS
    return way._replace(hostaddr=server.hostaddr, sslmode=endpoint.sslmode, sslrootcert=ca)


def ca_path(cluster: str, certs: str) -> str:
    return f"{certs}/pgpillar-{quote(cluster, safe='')}.pem"


def texts(directory: str, ways: list[Way]) -> dict[str, str]:
    """The files of one user, by path."""
    held = f"{directory}/pgpass"
    environments = {f"{directory}/{way.service}.env": environment(way) for way in ways}
    return {f"{directory}/pg_service.conf": services(ways, held), held: passfile(ways), **environments}


def services(ways: Iterable[Way], passfile: str) -> str:
    """A pg_service.conf with a section for each way."""
    return "\n".join(_section(way, passfile) for way in ways)


def _section(way: Way, passfile: str) -> str:
    lines = [f"{name}={value}" for name, value in {**way.parameters, "passfile": passfile}.items()]
    return "\n".join([f"[{way.service}]", *lines, ""])


def passfile(ways: Iterable[Way]) -> str:
    return "".join(":".join(map(_escaped, line)) + "\n" for way in ways for line in _lines(way))


def _lines(way: Way) -> list[tuple[object, ...]]:
    """A libpq looks for the directory of its own sockets under another name; each is built with its own."""
    hosts = [way.host, "localhost"] if way.host.startswith("/") else [way.host]
    return [(host, way.port, way.database, way.user, way.password.reveal()) for host in hosts]


def _escaped(part: object) -> str:
    return str(part).replace("\\", "\\\\").replace(":", "\\:")


def environment(way: Way) -> str:
    """Variables for systemd's EnvironmentFile and for a shell's ``set -a; . file``."""
    return "".join(f"{name}={_in_quotes(value)}\n" for name, value in _variables(way).items())


def _variables(way: Way) -> dict[str, object]:
    secret = way.password.reveal()
    own = {
        "DATABASE_URL": url(way),
        "DB_HOST": way.host,
        "DB_PORT": way.port,
        "DB_NAME": way.database,
        "DB_USER": way.user,
        "DB_PASSWORD": secret,
    }
    names = {
        "host": "PGHOST",
        "hostaddr": "PGHOSTADDR",
        "port": "PGPORT",
        "dbname": "PGDATABASE",
        "user": "PGUSER",
    }
    names |= {"sslmode": "PGSSLMODE", "sslrootcert": "PGSSLROOTCERT"}
    return {**own, **{names[key]: value for key, value in way.parameters.items()}, "PGPASSWORD": secret}


def url(way: Way) -> str:
    """The way as one address. A socket's directory goes into the query, for libpq and SQLAlchemy."""
    who = f"{_part(way.user)}:{_part(way.password.reveal())}"
    extras: Mapping[str, object] = {
        name: value
        for name, value in way.parameters.items()
        if name in ("hostaddr", "sslmode", "sslrootcert")
    }
    where = f"{way.host}:{way.port}"
    if way.host.startswith("/"):
        where, extras = "", {"host": way.host, "port": way.port, **extras}
    query = "&".join(f"{name}={quote(str(value), safe='/')}" for name, value in extras.items())
    return f"postgresql://{who}@{where}/{_part(way.database)}" + (f"?{query}" if query else "")


def _part(text: str) -> str:
    return quote(text, safe="")


def _in_quotes(value: object) -> str:
    text = str(value)
    for char in '\\"$`':
        text = text.replace(char, "\\" + char)
    return f'"{text}"'
