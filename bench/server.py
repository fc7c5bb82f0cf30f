"""The private server that every contestant meets, with Debian's way in and with the fastest there is."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path

from psycopg2 import sql

from devtools import postgres
from devtools.embedded import Failed

HOST = "postgresql.example.internal"

# As Debian sets it up; and root may be the superuser as well, so that no program need become postgres first
HBA = (
    "local all postgres peer map=admins",
    "local all all scram-sha-256",
    "hostssl all all 127.0.0.1/32 scram-sha-256",
)
IDENT = ("admins postgres postgres", "admins root postgres")


@contextmanager
def running(**settings) -> Iterator[postgres.Server]:
    """A server of the newest major that Debian installed; it and all it held are gone at the end."""
    if os.geteuid():
        raise Failed("run this as root: Salt's own states become the user postgres, as they do on Debian")
    major = [major for major in postgres.majors() if postgres.installed(major)][-1]
    directory = Path(tempfile.mkdtemp(prefix="pgpillar-"))
    directory.chmod(0o755)
    server = postgres.Server(
        directory / "server", postgres.binaries(major), settings=postgres.FAST | settings
    )
    ident = server.configuration / "pg_ident.conf"
    server.settings |= {
        "ident_file": ident,
        "unix_socket_directories": f"{server.socket_dir},{abstract_socket(server)}",
    }
    try:
        server.create()
        server.hba(HBA)
        ident.write_text("".join(f"{line}\n" for line in IDENT))
        ident.chmod(0o644)
        yield server.start()
    finally:
        server.remove()
        directory.rmdir()


def abstract_socket(server: postgres.Server) -> str:
    """A socket outside of the file system, whose name begins with no slash."""
    return f"@pgpillar-bench-{server.port}"


def endpoint(server: postgres.Server, way: str) -> dict:
    """How pillar says that pgpillar reaches it."""
    if way == "socket":
        return {"host": str(server.socket_dir), "port": server.port, "admin": "postgres"}
    return {
        "host": HOST,
        "hostaddr": "127.0.0.1",
        "port": server.port,
        "ca": server.ca_pem,
        "admin": {"user": server.superuser, "password": server.password},
    }


def wipe(server: postgres.Server) -> None:
    """Leave the server as it was new."""
    with closing(server.connect(password="")) as session, session.cursor() as cursor:
        session.autocommit = True
        cursor.execute(
            "select datname from pg_database where datname not in ('postgres', 'template0', 'template1')"
        )
        for (name,) in cursor.fetchall():
            cursor.execute(sql.SQL("drop database {} with (force)").format(sql.Identifier(name)))
        cursor.execute("select rolname from pg_roles where rolname !~ '^pg_' and rolname <> current_user")
        for (name,) in cursor.fetchall():
            cursor.execute(sql.SQL("drop role {}").format(sql.Identifier(name)))
