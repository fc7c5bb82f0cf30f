"""
What the applications of this node reach their databases with
=============================================================

For each user of the node a ``pg_service.conf``, a passfile, and an environment file for each way to a
database, which only its own system user may read; for each cluster the CA of its servers.
"""

from pathlib import Path

from salt.exceptions import CommandExecutionError

import pgpillar

pgpillar.make_way_for_new_code()

from pgpillar import client, discovery, keep, lock, node, node_secret, pillar  # noqa: E402
from pgpillar.files import Guard  # noqa: E402
from pgpillar.model import told_as  # noqa: E402
from pgpillar.paths import Paths, file_name  # noqa: E402

__virtualname__ = "pg_client"


def __virtual__():
    return __virtualname__


def users():
    """
    The users that this node has the secrets of and pools for.

    CLI Example:

    .. code-block:: bash

        salt app-1 pg_client.users
    """
    with told_as(CommandExecutionError):
        return sorted(_node().clients)


def plan(root=""):
    """
    The files that ``configure`` would write or remove, and why; and what could not be looked into, by where
    pillar speaks of it. Nothing of what is in the files is told.

    CLI Example:

    .. code-block:: bash

        salt app-1 pg_client.plan
    """
    with told_as(CommandExecutionError):
        return _keeper(root).faults()._asdict()


def configure(root=""):
    """
    Write the files of every user of this node, and remove those of users that it has no more. Returns what
    was changed, and what could not be: what fails for one user keeps no other waiting.

    CLI Example:

    .. code-block:: bash

        salt app-1 pg_client.configure
    """
    with told_as(CommandExecutionError), lock.held(Paths(root).lock):
        keeper = _keeper(root)
        wrong, failures = keeper.faults().changes, keeper.mend()
        left = keeper.faults()
        done = {path: what for path, what in wrong.items() if path not in left.changes}
        return {"changes": done, "failures": failures | left.failures or _still(left.changes)}


def _still(left):
    """What is not as asked right after it was made so: somebody changes it all the time."""
    return {path: f"not as asked after the change: {what}" for path, what in left.items()}


def servers(cluster):
    """
    Where the servers of a cluster are now, by its ``discovery``: for the configuration of an application.

    Without a replica the primary stands in for one.

    CLI Example:

    .. code-block:: bash

        salt app-1 pg_client.servers main
    """
    with told_as(CommandExecutionError):
        name, endpoint = pillar.one_cluster(__pillar__.get("postgresql", {}), cluster)
        found = discovery.of_cluster(name, endpoint, __salt__)
        if found.primary is None:
            raise CommandExecutionError(found.without)
        return {"primary": _shown(found.primary), "replicas": [_shown(one) for one in found.replicas]}


def _shown(place):
    return {"host": place.host, "address": place.hostaddr or place.host, "port": place.port}


def _node():
    return node.read(__pillar__.get("postgresql"))


def _keeper(root):
    paths, wanted = Paths(root), _node()
    parts = {
        f"postgresql:clusters:{name}:ca": _file(client.ca_path(name, paths.certs), endpoint.ca)
        for name, endpoint in wanted.endpoints.items()
        if endpoint.ca
    }
    servers = discovery.of_pools(wanted, __grains__["id"], __salt__)
    parts |= {f"postgresql:users:{user}": _files(user, wanted, servers, paths) for user in wanted.clients}
    return keep.Keeper(paths.clients, parts)


def _file(path, text):
    return keep.Part(Guard(0o644), {Path(path): text})


def _files(user, wanted, servers, paths):
    """The files of a user, which root alone may read where pillar does not say who."""
    folder, guard = Path(paths.clients, file_name(user)), Guard(0o400, wanted.clients[user].run_as or "root")
    secret = node_secret.read(user, paths.secrets)
    ways = client.ways(wanted, user, secret, paths.sockets, servers, paths.certs)
    texts = client.texts(str(folder), ways)
    return keep.Part(guard, {Path(path): text for path, text in texts.items()}, folder)
