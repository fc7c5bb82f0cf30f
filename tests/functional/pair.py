"""A primary and its replica, each on an address of its own, and what a node's pools see of them."""

import shutil
import tempfile
from contextlib import contextmanager
from pathlib import Path

from devtools import postgres
from tests.functional.conftest import HOST

HBA = (
    "local all postgres peer",
    "local replication all scram-sha-256",
    "hostssl all all 127.0.0.0/8 scram-sha-256",
)
ADDRESSES = {"db-1": "127.0.0.1", "db-2": "127.0.0.2"}
FIRST, SECOND = [("127.0.0.1", False)], [("127.0.0.2", False)]
FIRST_AS_REPLICA, SECOND_AS_REPLICA = [("127.0.0.1", True)], [("127.0.0.2", True)]


class Pair:
    """Two servers of one cluster, each on an address of its own."""

    def __init__(self, directory):
        self.directory, self.port = directory, postgres.free_port()
        self.first, self.second = self._server("db-1"), self._server("db-2")
        self._open(self.first.create())
        self.first.query("create role shop_app login password 'secret'", over="tls")
        self.first.query("create database shop owner shop_app", over="tls")
        self._open(self.second.follow(self.first))

    def _server(self, name):
        bindir = next(filter(None, map(postgres.installed, reversed(postgres.majors()))))
        names = (f"{name}.example.internal", HOST)
        where = {"port": self.port, "names": names, "addresses": (ADDRESSES[name],)}
        return postgres.Server(self.directory / name, bindir, settings=postgres.FAST, **where)

    def _open(self, server):
        server.hba(HBA)
        server.start()

    def bring_first_back(self):
        """As a replica of the second."""
        self.first.remove()
        self.first = self._server("db-1")
        self._open(self.first.follow(self.second))

    def remove(self):
        self.first.remove()
        self.second.remove()

    def tree(self, **known):
        """The pillar that an app node sees, which knows so much of where the servers are."""
        return tree(port=self.port, ca=self.first.ca_pem, **known)


def tree(**known):
    """The pillar of an app node, with a pool for the primary and one for a replica."""
    pools = {name: {"database": "shop", "user": "shop_app"} for name in ("shop", "shop_ro")}
    pools["shop_ro"]["target"] = "replica"
    return {
        "clusters": {"main": {"host": HOST, **known}},
        "databases": {"shop": "shop_app"},
        "users": {"shop_app": {"password": "secret"}},
        "pools": pools,
    }


@contextmanager
def servers():
    """Such a pair, for as long as the block lasts."""
    directory = Path(tempfile.mkdtemp(prefix="pgp-", dir="/tmp"))
    directory.chmod(0o755)
    made = Pair(directory)
    try:
        yield made
    finally:
        made.remove()
        shutil.rmtree(directory)


def seen(node, pool):
    return node.query("select host(inet_server_addr()), pg_is_in_recovery()", pool)
