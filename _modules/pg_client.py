"""
What the applications of this node reach their databases with
=============================================================

For each user of the node a ``pg_service.conf``, a passfile, and an environment file for each way to a
database, which only its own system user may read; for each cluster the CA of its servers.
"""

import pwd

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
    The files that ``configure`` would write or remove, and why. Nothing of what is in them is told.

    CLI Example:

    .. code-block:: bash

        salt app-1 pg_client.plan
    """
    with told_as(CommandExecutionError):
        return _keeper(root).faults()


def configure(root=""):
    """
    Write the files of every user of this node, and remove those of users that it has no more.

    CLI Example:

    .. code-block:: bash

        salt app-1 pg_client.configure
    """
    with told_as(CommandExecutionError), lock.held(Paths(root).lock):
        keeper = _keeper(root)
        faults = keeper.faults()
        keeper.mend()
        return faults


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
    servers = discovery.of_pools(wanted, __grains__["id"], __salt__)
    kept = {
        client.ca_path(name, paths.certs): keep.Kept(endpoint.ca, Guard(0o644))
        for name, endpoint in wanted.endpoints.items()
        if endpoint.ca
    }
    for user, who in wanted.clients.items():
        secret = node_secret.read(user, paths.secrets)
        guard = Guard(0o400, _account(user, who.run_as))
        ways = client.ways(wanted, user, secret, paths.sockets, servers, paths.certs)
        texts = client.texts(f"{paths.clients}/{file_name(user)}", ways)
        kept |= {path: keep.Kept(text, guard) for path, text in texts.items()}
    return keep.Keeper(paths.clients, kept)


def _account(user, run_as):
    """Who may read the files of a user: root alone, where pillar does not say."""
    try:
        return pwd.getpwnam(run_as or "root").pw_name
    except KeyError:
        raise CommandExecutionError(
            f"postgresql:users:{user}:run_as: there is no system user {run_as!r} on this node; "
            "let the application's own states make it before postgresql.client"
        ) from None
