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

from cryptography import x509
from salt.exceptions import CommandExecutionError, SaltException

import pgpillar

pgpillar.make_way_for_new_code()

from pgpillar import certificates, certification, driver  # noqa: E402
from pgpillar.files import Guard  # noqa: E402
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


def certificate(root=""):
    """
    The certificate of this server: ``not_after``, the whole ``days_left`` (below 0 once it has ended), its
    ``names``, its ``issuer`` and its ``serial``, for status and monitoring.

    CLI Example:

    .. code-block:: bash

        salt postgresql-primary pg_server.certificate
    """
    with _told():
        found = certification.read(Path(Paths(root).server_certificate))
        return certificates.told(found, datetime.now(UTC))


def plan_certificate(root="", user="postgres"):
    """
    Whether ``certify`` would make a new key with a certificate, and why; nothing, where the one there may
    stay.

    CLI Example:

    .. code-block:: bash

        salt postgresql-primary pg_server.plan_certificate
    """
    with _told():
        return _certification(root, user).changes()


def certify(root="", user="postgres"):
    """
    Make a new key and have the cluster's CA sign a certificate for it, where that is due. The key stays here.
    The server shows it after the next reload, which ``configure`` does.

    CLI Example:

    .. code-block:: bash

        salt postgresql-primary pg_server.certify
    """
    with _told():
        here = _certification(root, user)
        changes = here.changes()
        if changes:
            here.renew(_sign)
        return changes


def why_uncertified(root="", user="postgres"):
    """
    Why this server cannot serve today with the certificate it has; nothing, where it can.

    CLI Example:

    .. code-block:: bash

        salt postgresql-primary pg_server.why_uncertified
    """
    with _told():
        return _certification(root, user).why_useless()


def _certification(root, user):
    cluster, signer = _own_cluster(), _signer(root)
    wanted = certificates.Wanted(frozenset({cluster["host"], __grains__["id"]}), signer)
    return certification.Certification(Paths(root).server_certificate, wanted, Guard(0o600, user))


def _own_cluster():
    """The cluster of this server, as pillar has it."""
    name = __pillar__.get("postgresql", {}).get("server", {}).get("cluster")
    found = [one for key, one in _clusters().items() if one.get("ca_server") and name in (None, key)]
    if not found:
        raise Trouble("no CA signs for this server; name its minion in postgresql:clusters, as ca_server")
    return found[0]


def _signer(root):
    """Who signs now, by the CA's word; nothing, where it has said nothing."""
    said = __salt__["pg_trust.word_of"](_own_cluster()["ca_server"], root)
    return next(iter(certificates.in_pem(said.get("signs", ""))), None)


def _sign(public_key):
    """A certificate for this key, from the minion that is the CA."""
    authority, own = _own_cluster()["ca_server"], __grains__["id"]
    asked = {"public_key": public_key, "not_before": certificates.backdated(datetime.now(UTC))}
    if authority == own:
        return _signed_here(asked)
    try:
        signed = __salt__["x509.create_certificate"](ca_server=authority, signing_policy=own, **asked)
    except SaltException as error:
        raise Trouble(f"{authority} signs no certificate: {error}; is its minion up?") from None
    return x509.load_pem_x509_certificate(signed.encode())


def _signed_here(asked):
    answer = __salt__["x509.sign_remote_certificate"](__grains__["id"], asked, __pub_id=__grains__["id"])
    if answer["errors"]:
        raise Trouble(f"the CA of this minion signs no certificate: {'; '.join(answer['errors'])}")
    return x509.load_der_x509_certificate(answer["data"])


@contextmanager
def _told():
    """Trouble comes out as Salt's own error."""
    try:
        yield
    except (Trouble, OSError) as trouble:
        raise CommandExecutionError(str(trouble)) from None


@contextmanager
def _upkeep():
    """The server of this machine, with what pillar wants of it."""
    with _told():
        driver.insist()
        from pgpillar import server, upkeep

        wanted = server.read(__pillar__.get("postgresql", {}), __grains__["mem_total"])
        yield upkeep.Upkeep(wanted, upkeep.newest())
