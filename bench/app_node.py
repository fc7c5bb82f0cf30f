"""An app node beside the private server: a directory that stands for /, a minion, and a pgbouncer."""

from __future__ import annotations

import secrets
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory

from bench import report
from bench.minion import Minion
from devtools import postgres
from devtools.bouncer import Bouncer

NAME = "bench"  # of the user, and of its database and pool
# For every tree that is compared; where there is no service manager, it finds that out and is content
SERVICE = {"service": {"service.running": [{"name": "systemd-journald"}]}}
STATES = {"include": ["postgresql.client"]}
SETTINGS = {"max_client_conn": 2000, "listen_backlog": 2000}


class AppNode(Bouncer):
    def __init__(self, server: postgres.Server, directory: Path):
        super().__init__(directory / "root")
        self.server, self.password = server, secrets.token_urlsafe()
        self.make_room()
        states = {"pgpillar_root": str(directory / "root")}
        self.minion = Minion(directory / "minion", self.tree(), STATES, **states)

    def tree(self, **pools: dict) -> dict:
        """Pillar with these pools beside the usual one: what each is to be told beside where it leads."""
        to = {"database": NAME, "user": NAME}
        return {
            "clusters": {"main": {"host": "127.0.0.1", "port": self.server.port, "ca": self.server.ca_pem}},
            "databases": {NAME: NAME},
            "users": {NAME: {"password": self.password, "direct": True}},
            "pools": {name: {**to, **more} for name, more in {NAME: {}, **pools}.items()},
            "pgbouncer": {"settings": SETTINGS},
        }

    def machine(self) -> list[tuple]:
        """What it was measured on."""
        return [*report.machine(self.server), ("pgbouncer", self.console.ask("SHOW VERSION")[0]["version"])]

    @property
    def environment(self) -> dict[str, str]:
        """Where the application finds its services."""
        return {"PGSERVICEFILE": f"{self.paths.clients}/{NAME}/pg_service.conf"}


@contextmanager
def running(server: postgres.Server) -> Iterator[AppNode]:
    """A node that is converged and at work; it and its database are gone at the end."""
    with TemporaryDirectory(prefix="pgp-bench-", dir="/tmp") as directory:
        Path(directory).chmod(0o755)
        node = AppNode(server, Path(directory))
        create = f"create role {NAME} login password %s"
        server.query(create, [node.password], password="")
        server.query(f"create database {NAME} owner {NAME}", password="")
        node.minion.warm_up()
        node.minion.highstate(changing=True)
        node.start()
        try:
            yield node
        finally:
            node.stop()
