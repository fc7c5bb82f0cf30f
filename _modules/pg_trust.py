"""
Whom this node trusts
=====================

The ``ca_file`` of each cluster whose CA is one of our own (``ca_server``), as that CA says in the Salt mine.
"""

from pathlib import Path

from salt.exceptions import CommandExecutionError

import pgpillar

pgpillar.make_way_for_new_code()

from pgpillar import certification, trust  # noqa: E402
from pgpillar.model import told_as  # noqa: E402
from pgpillar.paths import Paths  # noqa: E402

__virtualname__ = "pg_trust"

MINE = "pgpillar_ca"


def __virtual__():
    return __virtualname__


def plan(root=""):
    """
    The CA files that ``configure`` would write, and who is trusted newly, or no more.

    CLI Example:

    .. code-block:: bash

        salt app-1 pg_trust.plan
    """
    with told_as(CommandExecutionError):
        return _trust(root).changes()


def configure(root=""):
    """
    Trust those whom the CAs of the clusters name.

    CLI Example:

    .. code-block:: bash

        salt app-1 pg_trust.configure
    """
    with told_as(CommandExecutionError):
        here = _trust(root)
        changes = here.changes()
        here.run()
        return changes


def unheard(root=""):
    """
    The CAs that have said nothing in the mine. Their files stay as they are.

    CLI Example:

    .. code-block:: bash

        salt app-1 pg_trust.unheard
    """
    with told_as(CommandExecutionError):
        return _trust(root).unheard()


def missing(root=""):
    """
    The CA files that are not there, and that no CA has said anything for.

    CLI Example:

    .. code-block:: bash

        salt app-1 pg_trust.missing
    """
    with told_as(CommandExecutionError):
        return _trust(root).missing()


def word_of(authority, root=""):
    """
    What a CA says of itself: who ``signs``, and who is to be ``trusted``; nothing, where it has said nothing.

    CLI Example:

    .. code-block:: bash

        salt app-1 pg_trust.word_of salt-master
    """
    if authority == __grains__["id"]:
        return __salt__["pg_ca.announce"](root)
    return __salt__["mine.get"](authority, MINE).get(authority, {})


def announce(root=""):
    """
    Which keys this node ``trusts``, by CA, and which one signed the certificate that it serves. For
    ``mine_functions``, as ``pgpillar_trust``: by this a CA knows that it may sign, or go.

    CLI Example:

    .. code-block:: bash

        salt app-1 pg_trust.announce
    """
    with told_as(CommandExecutionError):
        here, served = _trust(root), _served(root)
        bundle = Path(Paths(root).pgbouncer, "live", "ca.pem")
        return {"trusts": here.keys(bundle), "served": here.signer(served) if served else None}


def _trust(root):
    clusters = __pillar__.get("postgresql", {}).get("clusters", {})
    return trust.Trust(clusters, lambda authority: word_of(authority, root))


def _served(root):
    """The certificate that the server of this machine shows, if there is one."""
    path = Path(Paths(root).server_certificate)
    if not path.exists():
        return None
    from pgpillar import upkeep

    live = upkeep.Live(upkeep.Home(upkeep.newest()))
    return (live.is_up and live.certificate()) or certification.read(path)
