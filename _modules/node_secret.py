"""
The passwords that the applications of this node use
====================================================

They are made on the node, one for each user, and never leave it: no function here returns one.
"""

from salt.exceptions import CommandExecutionError

import pgpillar

pgpillar.make_way_for_new_code()

from pgpillar import node_secret  # noqa: E402
from pgpillar.model import told_as  # noqa: E402
from pgpillar.shape import nearest  # noqa: E402

__virtualname__ = "node_secret"
__func_alias__ = {"list_": "list"}


def __virtual__():
    return __virtualname__


def list_(directory=node_secret.DIRECTORY):
    """
    The users that have a password on this node.

    CLI Example:

    .. code-block:: bash

        salt app-1 node_secret.list
    """
    with told_as(CommandExecutionError):
        return node_secret.names(directory)


def fault(user, directory=node_secret.DIRECTORY):
    """
    Why the password of a user would be made anew, or None where it is as it should be.

    CLI Example:

    .. code-block:: bash

        salt app-1 node_secret.fault shop_app
    """
    with told_as(CommandExecutionError):
        return node_secret.fault(user, directory)


def plan(users=None, directory=node_secret.DIRECTORY):
    """
    What ``configure`` would do, and why.

    CLI Example:

    .. code-block:: bash

        salt app-1 node_secret.plan
    """
    with told_as(CommandExecutionError):
        return node_secret.faults(_known() if users is None else users, directory, others=users is None)


def configure(users=None, directory=node_secret.DIRECTORY):
    """
    Make a new password for each user that has none, or one that is no good. If ``users`` are left out, those
    are meant that this node has pools for, and the passwords of all others go.

    CLI Example:

    .. code-block:: bash

        salt app-1 node_secret.configure
    """
    with told_as(CommandExecutionError):
        return node_secret.configure(_known() if users is None else users, directory, others=users is None)


def make(user, directory=node_secret.DIRECTORY):
    """
    Make a new password for a user that this node has a pool for. What holds the old one follows with the next
    highstate.

    CLI Example:

    .. code-block:: bash

        salt app-1 node_secret.make shop_app
    """
    known = _known()
    if user not in known:
        raise CommandExecutionError(f"this node has no pool for a user {user!r}; {nearest(user, known)}")
    with told_as(CommandExecutionError):
        node_secret.make(user, directory)
        return True


def forget(user, directory=node_secret.DIRECTORY):
    """
    Remove the password of a user that this node has no more use for.

    CLI Example:

    .. code-block:: bash

        salt app-1 node_secret.forget shop_app
    """
    with told_as(CommandExecutionError):
        node_secret.forget(user, directory)
        return True


def _known():
    return __salt__["pg_client.users"]()
