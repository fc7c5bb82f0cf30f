"""
The pgbouncer of this node, by its admin console
================================================

Everything goes over its Unix socket, as the system user that pgbouncer runs as; no shell, and no password.

:depends: psycopg2 in Salt's own Python; the state ``postgresql.psycopg2`` puts it there
"""

from contextlib import contextmanager
from pathlib import Path

from salt.exceptions import CommandExecutionError, CommandNotFoundError

import pgpillar

pgpillar.make_way_for_new_code()

from pgpillar import discovery, driver, lock, node, node_secret, package, pgbouncer  # noqa: E402
from pgpillar.model import told_as  # noqa: E402
from pgpillar.paths import Paths  # noqa: E402

__virtualname__ = "pgbouncer"

SOCKETS, PORT, USER = Paths().sockets, 6432, "postgres"
TABLES = (
    "clients",
    "config",
    "databases",
    "dns_hosts",
    "lists",
    "pools",
    "servers",
    "stats",
    "users",
    "version",
)


def __virtual__():
    return __virtualname__


def show(what, sockets=SOCKETS, port=PORT, user=USER):
    """
    One of the console's tables: clients, config, databases, dns_hosts, lists, pools, servers, stats, users or
    version.

    CLI Example:

    .. code-block:: bash

        salt app-1 pgbouncer.show databases
    """
    if what not in TABLES:
        raise CommandExecutionError(f"there is no table {what!r}; known are: {', '.join(TABLES)}")
    return _ask(f"SHOW {what.upper()}", sockets, port, user)


def pools(sockets=SOCKETS, port=PORT, user=USER):
    """
    The pools of this node, by name: where each leads, as whom, and how busy it is. ``leads_to`` are the
    addresses that it has connections to; before the first one, those of its host's name.

    CLI Example:

    .. code-block:: bash

        salt app-1 pgbouncer.pools
    """
    tables = [show(what, sockets, port, user) for what in ("databases", "pools", "servers")]
    with _bouncer() as bouncer:
        return pgbouncer.pools(*tables, bouncer.addresses)


def version(sockets=SOCKETS, port=PORT, user=USER):
    """
    The version of the pgbouncer that runs.

    CLI Example:

    .. code-block:: bash

        salt app-1 pgbouncer.version
    """
    return show("version", sockets, port, user)[0]["version"]


def check(sockets=SOCKETS, port=PORT, user=USER):
    """
    Whether pgbouncer runs and answers; that one runs and cannot be asked is an error.

    CLI Example:

    .. code-block:: bash

        salt app-1 pgbouncer.check
    """
    with _bouncer() as bouncer:
        return bouncer.Console(sockets, port, user).is_up


def plan(root="", user=USER):
    """
    What ``configure`` would change now: pools, settings, users with a new password, files, and no secret.

    CLI Example:

    .. code-block:: bash

        salt app-1 pgbouncer.plan
    """
    with _rollout(root, user) as rollout:
        return rollout.changes()


def status(root="", user=USER):
    """
    ``pools`` of the pgbouncer that pgpillar set here, by its own files; None where there is none.

    CLI Example:

    .. code-block:: bash

        salt app-1 pgbouncer.status
    """
    paths = Paths(root)
    with _bouncer() as bouncer:
        installation = bouncer.Installation(paths.pgbouncer, user)
        port = pgbouncer.port(installation.texts()) or PORT
    if not installation.current():
        return None
    if not check(paths.sockets, port, user):
        raise CommandExecutionError("pgbouncer does not run; systemctl start pgbouncer, or a highstate")
    return pools(paths.sockets, port, user)


def is_as_packaged(root=""):
    """
    Whether pgbouncer.ini is still what the package put there.

    CLI Example:

    .. code-block:: bash

        salt app-1 pgbouncer.is_as_packaged
    """
    return package.is_untouched("pgbouncer", Path(Paths(root).pgbouncer, pgbouncer.INI))


def configure(root="", user=USER):
    """
    Give pgbouncer the pools that pillar wants: tried on a scratch instance, put in place, reloaded, compared.
    False where no pgbouncer runs, which takes up the files when it is started.

    CLI Example:

    .. code-block:: bash

        salt app-1 pgbouncer.configure
    """
    with told_as(CommandExecutionError), lock.held(Paths(root).lock), _rollout(root, user) as rollout:
        return rollout.run() if rollout.changes() else rollout.is_up


def reload(sockets=SOCKETS, port=PORT, user=USER):
    """
    Have pgbouncer read its files again.

    CLI Example:

    .. code-block:: bash

        salt app-1 pgbouncer.reload
    """
    _ask("RELOAD", sockets, port, user)
    return True


def reconnect(pool=None, sockets=SOCKETS, port=PORT, user=USER):
    """
    Open new server connections, of one pool or of all, as soon as clients are done with the old ones.

    CLI Example:

    .. code-block:: bash

        salt app-1 pgbouncer.reconnect shop
    """
    return _command("RECONNECT", pool, sockets, port, user)


def pause(pool=None, patience=30, sockets=SOCKETS, port=PORT, user=USER):
    """
    Let clients finish what they are at, then have them wait. Where some are not done after so many seconds,
    ``patience``, nothing is paused, and that is an error.

    CLI Example:

    .. code-block:: bash

        salt app-1 pgbouncer.pause shop
    """
    with _bouncer() as bouncer:
        bouncer.Console(sockets, port, user).pause(_of(pool), patience)
        return True


def resume(pool=None, sockets=SOCKETS, port=PORT, user=USER):
    """
    Let paused clients go on.

    CLI Example:

    .. code-block:: bash

        salt app-1 pgbouncer.resume shop
    """
    return _command("RESUME", pool, sockets, port, user)


def _command(verb, pool, sockets, port, user):
    _ask(f"{verb}{_of(pool)}", sockets, port, user)
    return True


def _of(pool):
    """How a command of the console names a pool; nothing where all are meant."""
    if pool is not None and not node.PLAIN.fullmatch(pool):
        raise CommandExecutionError(f"{pool!r} is not the name of a pool")
    return f' "{pool}"' if pool else ""


def _ask(command, sockets, port, user):
    with _bouncer() as bouncer:
        return bouncer.Console(sockets, port, user).ask(command)


@contextmanager
def _rollout(root, user):
    with _bouncer() as bouncer:
        from pgpillar import rollout

        paths, wanted = Paths(root), node.read(__pillar__.get("postgresql"))
        made = rollout.Wanted(
            wanted,
            discovery.of_pools(wanted, __grains__["id"], __salt__),
            {client: node_secret.read(client, paths.secrets) for client in wanted.clients},
            rollout.cas(wanted.endpoints),
        )
        yield rollout.Rollout(bouncer.Installation(paths.pgbouncer, user), made, paths)


@contextmanager
def _bouncer():
    """The part of the engine that needs psycopg2."""
    with told_as(CommandExecutionError):
        driver.insist(CommandNotFoundError)
        from pgpillar import bouncer

        yield bouncer
