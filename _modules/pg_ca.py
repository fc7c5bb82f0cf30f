"""
The certificate authorities of one's own
========================================

On the minion that is the CA. ``postgresql:authorities`` in its pillar names them: the first signs, and all of
them are trusted by whoever gets the state ``tls.trust``. So a CA is changed in three edits, ``[ca-1]`` to
``[ca-1, ca-2]`` to ``[ca-2, ca-1]`` to ``[ca-2]``, each with a highstate of everybody after it.
"""

from salt.exceptions import CommandExecutionError

import pgpillar

pgpillar.make_way_for_new_code()

from pgpillar.authority import Authorities, Said  # noqa: E402
from pgpillar.model import told_as  # noqa: E402
from pgpillar.paths import Paths  # noqa: E402
from pgpillar.pillar import authorities  # noqa: E402

__virtualname__ = "pg_ca"

MINE = "pgpillar_trust"


def __virtual__():
    return __virtualname__


def names():
    """
    The authorities that pillar wants, the one that signs first.

    CLI Example:

    .. code-block:: bash

        salt salt-master pg_ca.names
    """
    with told_as(CommandExecutionError):
        return list(authorities(__pillar__.get("postgresql", {})))


def plan(root=""):
    """
    What ``configure`` would change: who ``signs``, and who is ``trusted``. It refuses what would leave a node
    without a CA that it needs, by what the nodes say in the mine.

    CLI Example:

    .. code-block:: bash

        salt salt-master pg_ca.plan
    """
    with told_as(CommandExecutionError):
        here = _authorities(root)
        changes = here.changes()
        if changes:
            here.check(_said())
        return changes


def configure(root=""):
    """
    Let that authority sign, and those be trusted, that pillar names; or refuse, as ``plan`` does.

    CLI Example:

    .. code-block:: bash

        salt salt-master pg_ca.configure
    """
    with told_as(CommandExecutionError):
        changes = plan(root)
        if changes:
            _authorities(root).run()
        return changes


def announce(root=""):
    """
    What nodes have to know of this CA: its certificates, and which of them signs. For ``mine_functions``, as
    ``pgpillar_ca``.

    CLI Example:

    .. code-block:: bash

        salt salt-master pg_ca.announce
    """
    return _authorities(root).announcement()


def _authorities(root):
    return Authorities(Paths(root).authorities, names())


def _said():
    """What nodes said in the mine, of this CA."""
    return Said.of(__grains__["id"], __salt__["mine.get"]("*", MINE))
