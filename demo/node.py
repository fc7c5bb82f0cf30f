"""The demo's app nodes: each is a directory that stands for /, with a minion and a pgbouncer of its own."""

import os
import pwd
from pathlib import Path
from typing import NamedTuple

from demo.minion import Minion
from devtools.bouncer import Bouncer
from pgpillar import node, node_secret
from pgpillar.paths import file_name

NAMES = ("app-1", "app-2")


class Way(NamedTuple):
    """What a user of a node reaches its database by."""

    pool: str
    user: str
    account: pwd.struct_passwd  # the application's system user
    services: Path
    real: str  # the password that the server knows


class Node(Bouncer):
    def __init__(self, place, name):
        super().__init__(root=Path(place, name))
        self.name = name
        self.minion = Minion(place, name, pgpillar_root=str(Path(place, name)))

    def prepare(self):
        self.make_room()
        self.minion.configure()

    def ways(self):
        """Every pool that pillar gives the node."""
        wanted = node.read(self.minion.pillar())
        return [self._way(pool, wanted.clients[pool.user]) for pool in wanted.pools.values()]

    def _way(self, pool, client):
        services = Path(self.paths.clients, file_name(pool.user), "pg_service.conf")
        account = application(client.run_as or "root")
        return Way(pool.name, pool.user, account, services, pool.password.reveal())

    def password(self, user):
        """The password that exists on this node alone."""
        return node_secret.read(user, self.paths.secrets).reveal()


def application(name):
    """The account of an application; without root's rights, nobody can be anybody else."""
    return pwd.getpwuid(os.geteuid()) if os.geteuid() else pwd.getpwnam(name)
