"""Where the parts of an app node have their files. ``root`` stands for / in the demo and in tests."""

from __future__ import annotations

import re
from typing import NamedTuple
from urllib.parse import quote


def file_name(name: str) -> str:
    """A name of PostgreSQL's as that of a file, which leads nowhere else and is no hidden one."""
    return re.sub(r"^\.", "%2E", quote(name, safe=""))


class Paths(NamedTuple):
    root: str = ""

    def __getattr__(self, name: str) -> str:
        try:
            return self.root + _PLACES[name]
        except KeyError:
            raise AttributeError(name) from None


_PLACES = {
    "pgbouncer": "/etc/pgbouncer",
    "sockets": "/var/run/postgresql",
    "log": "/var/log/postgresql/pgbouncer.log",
    "pid": "/var/run/postgresql/pgbouncer.pid",
    "lock": "/var/lib/pgpillar/lock",
    "secrets": "/var/lib/pgpillar/secrets",
    "clients": "/etc/pgpillar/clients",
    "certs": "/etc/ssl/certs",
    "hosts": "/etc/hosts",
    "server_certificate": "/etc/pgpillar/server/tls.pem",  # with its key
    "authorities": "/etc/pki/pgpillar",
    "replication_passfile": "/etc/pgpillar/server/replication.pgpass",
    "replication_ca": "/etc/pgpillar/server/replication-ca.pem",
}
