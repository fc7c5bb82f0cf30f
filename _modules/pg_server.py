"""
The PostgreSQL server of this minion
====================================

What it is to its cluster, by its own words. With ``announce`` in ``mine_functions``, app nodes find it in the
Salt mine (``discovery: mine``). Where it is Debian's PostgreSQL, ``configure`` makes it as pillar says in
``postgresql:server``.

:depends: psycopg2 in Salt's own Python; the state ``postgresql.psycopg2`` puts it there
"""

from collections import ChainMap
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import NamedTuple

from cryptography import x509
from salt.exceptions import CommandExecutionError, CommandNotFoundError, SaltException

import pgpillar

pgpillar.make_way_for_new_code()

from pgpillar import certificates, certification, driver, trust  # noqa: E402
from pgpillar.files import Guard  # noqa: E402
from pgpillar.model import Endpoint, Trouble, told_as  # noqa: E402
from pgpillar.paths import Paths  # noqa: E402

__virtualname__ = "pg_server"

SOCKETS = Paths().sockets


def __virtual__():
    return __virtualname__


def announce(cluster, host=None, address=None, port=None, socket=SOCKETS, user="postgres"):
    """
    Where this server is, and whether it follows another: asked of itself, over its socket.

    A server that cannot be asked is an error, never a primary and never a replica; the mine then keeps what
    it was told before. So is one that was left behind by a promotion.

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
        **_standing(cluster, Endpoint(host=socket, port=port, user=user)),
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


def unannounced():
    """
    What the Salt mine does not say yet, or not rightly, of this server, by the name in ``mine_functions``.

    CLI Example:

    .. code-block:: bash

        salt db-1 pg_server.unannounced
    """
    found = {}
    for name, entry in __salt__["config.merge"]("mine_functions", {}).items():
        options = dict(ChainMap(*entry)) if isinstance(entry, list) else {}
        if options.pop("mine_function", None) == "pg_server.announce":
            found[name] = _difference(_said_in_mine(name), _now(options))
    return {name: difference for name, difference in found.items() if difference}


def _said_in_mine(name):
    me = __grains__["id"]
    return __salt__["mine.get"]([me], [name], "list").get(name, {}).get(me, {})


def _now(options):
    with told_as(CommandExecutionError):
        driver.insist(CommandNotFoundError)
        from pgpillar import upkeep

        return announce(**options) if upkeep.Live(upkeep.Home(upkeep.newest())).is_up else {}


def _difference(said, now):
    if not said:
        return "new"
    changed = sorted(key for key, value in now.items() if key != "asked" and said.get(key) != value)
    return f"changed: {', '.join(changed)}" if changed else None


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


def _standing(cluster, endpoint):
    """What this server is, if it was not left behind by a promotion."""
    with _asking(endpoint) as gateway:
        from pgpillar import replication, vitals

        own = replication.Standing.told(vitals.of(gateway))
        if successor := _successor(cluster, own):
            raise Trouble(replication.left_behind(successor))
        return own._asdict()


@contextmanager
def _asking(endpoint):
    """A way to the server of this machine."""
    with told_as(CommandExecutionError):
        driver.insist(CommandNotFoundError)
        from pgpillar import connect

        with connect.gateway(endpoint, "pgpillar announcement") as gateway:
            yield gateway


def plan(as_replica=False, certified=False):
    """
    What ``configure`` would change now: settings, who may come in, and whether it reloads or restarts.

    as_replica
        Whether it begins as a replica of the cluster's primary, where there is no server yet.

    certified
        What it would change after ``certify``: a certificate that is due is taken for one that is there.

    CLI Example:

    .. code-block:: bash

        salt postgresql-primary pg_server.plan
    """
    with _upkeep(as_replica) as upkeep:
        upkeep.gets_certificate = certified and _certificate_is_due()
        return upkeep.changes()


def _certificate_is_due():
    """Where nobody can tell, none is made."""
    try:
        return bool(plan_certificate())
    except CommandExecutionError:
        return False


def configure(as_replica=False):
    """
    Make the server as pillar wants it. It restarts only where ``postgresql:server:restart`` allows it.

    as_replica
        Whether it begins as a replica of the cluster's primary, where there is no server yet.

    CLI Example:

    .. code-block:: bash

        salt postgresql-primary pg_server.configure
    """
    with _upkeep(as_replica) as upkeep:
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
    with told_as(CommandExecutionError):
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
    with told_as(CommandExecutionError):
        return _certification(root, user).changes()


def certify(root="", user="postgres"):
    """
    Make a new key and have the cluster's CA sign a certificate for it, where that is due. The key stays here.
    The server shows it after the next reload, which ``configure`` does.

    CLI Example:

    .. code-block:: bash

        salt postgresql-primary pg_server.certify
    """
    with told_as(CommandExecutionError):
        here = _certification(root, user)
        changes = here.changes()
        if changes:
            here.renew(_sign)
        return changes


def why_uncertified(root=""):
    """
    Why this server cannot serve today with the certificate it has; nothing, where it can.

    CLI Example:

    .. code-block:: bash

        salt postgresql-primary pg_server.why_uncertified
    """
    with told_as(CommandExecutionError):
        return certification.why_useless(Path(Paths(root).server_certificate))


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
    authority = _own_cluster()["ca_server"]
    said = trust.said(authority, __salt__["pg_trust.word_of"](authority, root), "signs")
    return next(iter(certificates.in_pem(said)), None)


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


def fault():
    """
    What keeps this server from its work, in a sentence that says the remedy; nothing, where all is well. That
    it is down, was left behind by a promotion, or does not follow the primary of its cluster.

    CLI Example:

    .. code-block:: bash

        salt 'postgresql-*' pg_server.fault
    """
    with _here() as here:
        from pgpillar import standing

        return standing.fault(here.home, here.following, here.successor)


def peers():
    """
    The cluster of this server, and the minions of all its servers.

    CLI Example:

    .. code-block:: bash

        salt postgresql-replica pg_server.peers
    """
    with _here() as here:
        return [here.wanted.cluster, list(here.wanted.endpoint.minions)]


def reaches_primary():
    """
    Whether anything takes connections where this replica finds its primary. Then that is alive, whether its
    minion answers the master or not.

    CLI Example:

    .. code-block:: bash

        salt postgresql-replica pg_server.reaches_primary
    """
    with _here() as here:
        from pgpillar import handshake

        return bool(here.following) and handshake.is_there(here.following.endpoint)


def catch_up(lsn):
    """
    Wait until this replica has all that its primary wrote up to a place in the log, and more.

    lsn
        What ``stop`` gave.

    CLI Example:

    .. code-block:: bash

        salt postgresql-replica pg_server.catch_up 0/3000028
    """
    with _here() as here:
        from pgpillar import promotion

        promotion.catch_up(here.home, lsn)


def promote():
    """
    Make this replica the primary of its cluster; whether it was a replica. Where it is the primary already,
    that is all right. Nobody else is asked or told: ``salt-run pgpillar.promote`` sees to the whole.

    CLI Example:

    .. code-block:: bash

        salt postgresql-replica pg_server.promote
    """
    with _here() as here:
        from pgpillar import promotion

        return promotion.promote(here.home, here.wanted)


def stop():
    """
    Stop this server cleanly, and keep it down when the machine starts; highstate starts it again. Gives how
    far it had come.

    CLI Example:

    .. code-block:: bash

        salt postgresql-primary pg_server.stop
    """
    with _here() as here:
        from pgpillar import promotion

        return promotion.stop(here.home)


def rejoin(discard=False):
    """
    Have this server follow the primary again, after that was promoted in its place. What was written here
    alone since then is rewound by ``pg_rewind``; where transactions were committed, it says so and stops.

    discard
        Whether to give up transactions that were committed here alone.

    CLI Example:

    .. code-block:: bash

        salt postgresql-primary pg_server.rejoin
        salt postgresql-primary pg_server.rejoin discard=True
    """
    with _returning() as way:
        return _and_announced(way.rejoin(discard))


def rebuild():
    """
    Copy the data of the primary anew, for a replica that is too far behind or cannot be rewound. Until they
    are whole the old ones stay; those of a server that was a primary itself are ``kept`` beside. One that
    follows all the same is stopped meanwhile.

    CLI Example:

    .. code-block:: bash

        salt postgresql-replica pg_server.rebuild
    """
    with _returning() as way:
        return _and_announced(way.rebuild())


def _and_announced(told):
    __salt__["mine.update"]()
    return told


def forget(minion):
    """
    On the primary: drop the slot of a minion whose server is to follow no more; whether there was one. While
    it follows, it is left.

    minion
        Its id.

    CLI Example:

    .. code-block:: bash

        salt postgresql-primary pg_server.forget postgresql-replica-2
    """
    with _here() as here:
        from pgpillar import promotion

        return promotion.forget(here.home, minion)


class Here(NamedTuple):
    """The server of this machine, what pillar wants of it, and its place among the others of its cluster."""

    home: object
    wanted: object
    primary: object  # where the cluster's is; None, where no other server says that it is one
    successor: str | None  # who was promoted in its place

    @property
    def following(self):
        """How it follows the primary, or goes on following where nobody says who that is."""
        from pgpillar import replication

        primary = self.primary or (self.home.is_replica and replication.place_in(self.home.conninfo()))
        if not (primary and self.wanted.login):
            return None
        return replication.following(primary, self.wanted.endpoint, self.wanted.login, __grains__["id"])


@contextmanager
def _here():
    with told_as(CommandExecutionError):
        driver.insist(CommandNotFoundError)
        from pgpillar import discovery, server, standing, upkeep

        wanted = server.read(__pillar__.get("postgresql"), __grains__["mem_total"])
        home = upkeep.Home(upkeep.newest())
        primary = discovery.primary_beside(wanted.cluster, wanted.endpoint, __salt__, __grains__["id"])
        own = standing.standing(home, upkeep.Live(home)) if home.has_data else None
        yield Here(home, wanted, primary, own and _successor(wanted.cluster, own))


def _successor(cluster, own):
    """Who was promoted in the place of this server, by the mine."""
    from pgpillar import discovery, replication

    minions = _clusters().get(cluster, {}).get("minions")
    said = discovery.announced(cluster, minions, __salt__) if minions else {}
    return replication.successor(__grains__["id"], own, said)


@contextmanager
def _upkeep(as_replica=False):
    """The server of this machine, with what pillar wants of it."""
    with _here() as here:
        from pgpillar import promotion, upkeep

        if here.successor:
            yield promotion.LeftBehind(here.home, here.successor)
        elif here.home.is_replica or (as_replica and not here.home.has_data):
            yield _replica(here)
        elif here.primary and not here.home.has_data:
            raise CommandExecutionError(
                f"{here.primary.hostaddr or here.primary.host} is the primary of cluster"
                f" {here.wanted.cluster!r}, and there is no server here yet: make this a replica of it by the"
                " state postgresql.replica, or by pg_server.rebuild"
            )
        else:
            yield upkeep.Upkeep(here.wanted, here.home)


@contextmanager
def _returning():
    """The way of this server back to the primary of its cluster."""
    with _here() as here:
        from pgpillar import promotion

        yield promotion.Return(_replica(here))


def _replica(here):
    from pgpillar import replica

    following = here.following
    if following is None:
        told = (
            f"no other server of cluster {here.wanted.cluster!r} says that it is the primary; highstate there"
            if here.wanted.login
            else "postgresql:server:replication names no user by which it could follow another"
        )
        raise CommandExecutionError(told)
    return replica.Replica(here.wanted.follows(following), here.home)
