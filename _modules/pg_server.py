"""
The PostgreSQL server of this minion
====================================

What it is to its cluster, by its own words. With ``announce`` in ``mine_functions``, app nodes find it in the
Salt mine (``discovery: mine``). Where it is Debian's PostgreSQL, ``configure`` makes it as pillar says in
``postgresql:server``.

:depends: psycopg2 in Salt's own Python; the state ``postgresql.psycopg2`` puts it there
"""

from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path

from salt.exceptions import CommandExecutionError

import pgpillar

pgpillar.make_way_for_new_code()

from pgpillar import driver  # noqa: E402
from pgpillar.model import Endpoint, Trouble  # noqa: E402
from pgpillar.paths import Paths  # noqa: E402

__virtualname__ = "pg_server"

SOCKETS = Paths().sockets


def __virtual__():
    return __virtualname__


def announce(cluster, host=None, address=None, port=None, socket=SOCKETS, user="postgres"):
    """
    Where this server is, and whether it follows another: asked of itself, over its socket.

    A server that cannot be asked is an error, never a primary and never a replica; the mine then keeps what
    it was told before.

    cluster
        Its cluster in pillar.

    host
        The name by which it is verified as a replica; this minion's full name, if left out.

    address
        The address to dial; this minion's only one, if left out.

    port
        That of the cluster in this minion's pillar, or 5432, if left out.

    socket
        The directory of its socket.

    user
        The system user, and the role of the same name, that asks.

    CLI Example:

    .. code-block:: bash

        salt db-1 pg_server.announce main
        salt db-1 pg_server.announce main address=192.0.2.10
    """
    port = port or _clusters().get(cluster, {}).get("port", 5432)
    return {
        "host": host or __grains__["fqdn"],
        "address": address or _only_address(),
        "port": port,
        "in_recovery": _is_replica(Endpoint(host=socket, port=port, user=user)),
        "asked": datetime.now(UTC).isoformat(" ", "seconds"),
    }


def _clusters():
    return __pillar__.get("postgresql", {}).get("clusters", {})


def _only_address():
    found = __salt__["network.ip_addrs"]()
    if len(found) == 1:
        return found[0]
    told = ", ".join(found) or "none"
    raise CommandExecutionError(f"which address is to be dialled? Give it as address; this minion has {told}")


def status(cluster=None, port=None, socket=SOCKETS, user="postgres"):
    """
    What this server says of itself: its ``role``, its ``timeline``, and its place in the log (``lsn``). A
    primary tells of its ``replicas`` and ``slots``, and how far behind they are; a replica, of ``following``.

    cluster
        Its cluster in pillar, which may say the port.

    port, socket, user
        As ``announce`` takes them.

    CLI Example:

    .. code-block:: bash

        salt postgresql-primary pg_server.status
    """
    port = port or _clusters().get(cluster, {}).get("port", 5432)
    with _asking(Endpoint(host=socket, port=port, user=user)) as gateway:
        from pgpillar import vitals

        return vitals.of(gateway)


def _is_replica(endpoint):
    with _asking(endpoint) as gateway:
        from pgpillar import observe

        return observe.is_replica(gateway)


@contextmanager
def _asking(endpoint):
    """A way to the server of this machine. Trouble comes out as Salt's own error."""
    try:
        driver.insist()
        from pgpillar import connect

        with connect.gateway(endpoint, "pgpillar announcement") as gateway:
            yield gateway
    except Trouble as trouble:
        raise CommandExecutionError(str(trouble)) from None


def plan():
    """
    What ``configure`` would change now: settings, who may come in, and whether it reloads or restarts.

    CLI Example:

    .. code-block:: bash

        salt postgresql-primary pg_server.plan
    """
    with _upkeep() as upkeep:
        return upkeep.changes()


def configure():
    """
    Make the server as pillar wants it. It restarts only where ``postgresql:server:restart`` allows it.

    CLI Example:

    .. code-block:: bash

        salt postgresql-primary pg_server.configure
    """
    with _upkeep() as upkeep:
        changes = upkeep.changes()
        if changes:
            upkeep.run()
        return changes


def waits():
    """
    The settings that wait for a restart, which pillar does not allow now.

    CLI Example:

    .. code-block:: bash

        salt postgresql-primary pg_server.waits
    """
    with _upkeep() as upkeep:
        return upkeep.waits()


def certificate():
    """
    The certificate of this server: ``not_after``, the whole ``days_left`` (below 0 once it has ended), its
    ``names``, its ``issuer`` and its ``serial``, for status and monitoring.

    CLI Example:

    .. code-block:: bash

        salt postgresql-primary pg_server.certificate
    """
    from cryptography import x509

    from pgpillar import certificates

    path = Path(Paths().server_certificate)
    if not path.exists():
        raise CommandExecutionError(f"there is no {path} yet; the state postgresql.certificate makes it")
    try:
        found = x509.load_pem_x509_certificate(path.read_bytes())
    except ValueError:
        raise CommandExecutionError(f"{path} holds no whole certificate; highstate mends it") from None
    return certificates.told(found, datetime.now(UTC))


@contextmanager
def _upkeep():
    """The server of this machine, with what pillar wants of it. Trouble comes out as Salt's own error."""
    try:
        driver.insist()
        from pgpillar import server, upkeep

        wanted = server.read(__pillar__.get("postgresql", {}), __grains__["mem_total"])
        yield upkeep.Upkeep(wanted, upkeep.newest())
    except (Trouble, OSError) as trouble:
        raise CommandExecutionError(str(trouble)) from None
