"""
Databases, users and grants of a PostgreSQL cluster, as pillar wants them
=========================================================================

What is wanted stands in pillar under ``postgresql``. Each function works on one cluster; where pillar has
only one, it need not be named. Nothing but ``apply`` writes.

:depends: psycopg2 in Salt's own Python; the state ``postgresql.psycopg2`` puts it there
"""

from contextlib import contextmanager
from datetime import UTC, datetime
from functools import partial

from salt.exceptions import CommandExecutionError, CommandNotFoundError, SaltException

import pgpillar

pgpillar.make_way_for_new_code()

from pgpillar import __version__, certificates, discovery, driver, handshake, pillar, strangers, text  # noqa: E402
from pgpillar.logins import of as wanted_logins  # noqa: E402
from pgpillar.model import Trouble, told_as  # noqa: E402

__virtualname__ = "pg_access"
__func_alias__ = {"apply_": "apply"}


def __virtual__():
    return __virtualname__


def version():
    """
    The version of pgpillar that this minion runs.

    CLI Example:

    .. code-block:: bash

        salt db-admin-1 pg_access.version
    """
    return __version__


def has_driver():
    """
    Whether psycopg2 is there in Salt's own Python.

    CLI Example:

    .. code-block:: bash

        salt db-admin-1 pg_access.has_driver
    """
    return driver.is_there()


def clusters():
    """
    The clusters that this minion administers: those whose ``admin`` names no minion, or names this one.

    CLI Example:

    .. code-block:: bash

        salt db-admin-1 pg_access.clusters
    """
    return pillar.administered(_tree(), __grains__["id"])


def plan(cluster=None, saltenv="base"):
    """
    What ``apply`` would change now, in words and as SQL with secrets hidden; what of it destroys or takes
    away, and how many ``losses`` of each kind that is; the ``unforeseen`` databases: they are closed, and
    ``apply`` compares their inside when it has opened them; and what could not be read. On a server of
    one's own that ``follows`` another, nothing.

    CLI Example:

    .. code-block:: bash

        salt db-admin-1 pg_access.plan
        salt db-admin-1 pg_access.plan cluster=main
    """
    with _live(cluster) as (execute, gateway, wanted):
        if _follows(gateway):
            nothing = {"changes": {}, "sql": [], "unforeseen": [], "failures": {}}
            return {**nothing, **text.losses(()), "follows": True}
        forecast = execute.preview(gateway, wanted, _fetcher(saltenv))
        told = {"changes": text.tree(forecast.changes), "sql": forecast.statements}
        told["unforeseen"] = text.unforeseen(forecast.changes)
        return {**told, **text.losses(forecast.changes), "failures": forecast.failures}


def apply_(cluster=None, saltenv="base"):
    """
    Make the cluster as pillar wants it.

    Returns what was changed, and what could not be done by where it failed; without ``failures`` all is well.
    On a server of one's own that ``follows`` another, nothing is done: that is for its primary.

    CLI Example:

    .. code-block:: bash

        salt db-admin-1 pg_access.apply
        salt db-admin-1 pg_access.apply cluster=main
    """
    with _live(cluster) as (execute, gateway, wanted):
        if _follows(gateway):
            return {"changes": {}, "failures": {}, "follows": True}
        done = execute.converge(gateway, wanted, _fetcher(saltenv))
        return {"changes": text.tree(done.changes), "failures": done.failures}


def certificate(cluster=None):
    """
    The certificate that a cluster's server shows to its clients, as ``pg_server.certificate`` tells one; that
    it cannot be seen is an error. Nothing, where no client comes by TLS.

    CLI Example:

    .. code-block:: bash

        salt db-admin-1 pg_access.certificate
        salt db-admin-1 pg_access.certificate cluster=main
    """
    with told_as(CommandExecutionError):
        endpoint = _chosen(cluster, pillar.read(_tree())).endpoint
        if endpoint.is_socket or endpoint.sslmode == "disable":
            return {}
        return certificates.told(handshake.shown_by(endpoint), datetime.now(UTC))


def logins(all_clusters=True):
    """
    Log in as each user whose password stands in this minion's pillar, to the primary and to every replica, as
    an application would, and tell what came of it: ``ok``, or the reason.

    all_clusters
        Whether those are meant, too, that this minion does not administer.

    CLI Example:

    .. code-block:: bash

        salt db-admin-1 pg_access.logins
    """
    with told_as(CommandExecutionError):
        driver.insist(CommandNotFoundError)
        from pgpillar import probe  # not at the top: it needs psycopg2

        known = wanted_logins(_tree(), partial(discovery.of_cluster, salt=__salt__))
        own = pillar.entered(_tree(), __grains__["id"])
        return probe.tried([login for login in known if all_clusters or login.cluster in own])


def inspect(cluster=None):
    """
    What the cluster holds: its roles, its databases, and who may do what in those that pillar names. Of one
    that cannot be entered, ``not looked into`` says why.

    CLI Example:

    .. code-block:: bash

        salt db-admin-1 pg_access.inspect
        salt db-admin-1 pg_access.inspect cluster=main
    """
    with _live(cluster) as (execute, gateway, wanted):
        return text.inventory(execute.observe.survey(gateway, wanted))


def unmanaged(cluster=None):
    """
    What the cluster holds and pillar does not name, what in pillar's schemas belongs to others, and rights on
    what pillar cannot declare, such as PostgreSQL's own functions, types and parameters. None of it is ever
    touched. ``not looked into`` names the databases that cannot be entered, each with the reason.

    CLI Example:

    .. code-block:: bash

        salt db-admin-1 pg_access.unmanaged
        salt db-admin-1 pg_access.unmanaged cluster=main
    """
    with _live(cluster) as (execute, gateway, wanted):
        return strangers.unmanaged(execute.observe.survey(gateway, wanted), wanted, gateway.endpoint.database)


def _tree():
    return __pillar__.get("postgresql", {})  # pillar.get would give asterisks for every value


@contextmanager
def _live(cluster):
    """The engine, the way to a cluster, and what pillar wants of it."""
    with told_as(CommandExecutionError):
        declared = _chosen(cluster, pillar.read(_tree()))
        driver.insist(CommandNotFoundError)
        from pgpillar import connect, execute  # not at the top: they need psycopg2

        with connect.gateway(declared.endpoint, f"pgpillar on {__grains__['id']}") as gateway:
            yield execute, gateway, declared.cluster


def _follows(gateway):
    """Whether this is the way to a server of this minion's own, and that follows another."""
    from pgpillar import observe

    return bool(pillar.served(_tree())) and gateway.endpoint.is_socket and observe.is_replica(gateway)


def _chosen(name, declared):
    if name is None and len(declared) == 1:
        return next(iter(declared.values()))
    if name in declared:
        return declared[name]
    known = ", ".join(sorted(declared)) or "none"
    missing = (
        f"no cluster {name!r}" if name else "no cluster in postgresql:clusters that this minion administers"
    )
    raise CommandExecutionError(f"pillar has {missing}; known are: {known}")


def _fetcher(saltenv):
    def fetch(url):
        try:
            script = __salt__["cp.get_file_str"](url, saltenv=saltenv)
        except UnicodeDecodeError:
            raise Trouble(f"{url} is not in UTF-8; save it so") from None
        except (SaltException, OSError) as error:
            raise Trouble(f"{url} cannot be fetched: {error}") from None
        if script is False:
            raise Trouble(f"{url} is not there; put it there, or take it out of pillar")
        if "\0" in script:
            raise Trouble(f"{url} holds a NUL character; take it out")
        return script

    return fetch
