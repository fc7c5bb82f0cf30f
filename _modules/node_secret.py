"""
The passwords that the applications of this node use
====================================================

They are made on the node, one for each user, and never leave it: no function here returns one.
"""

import pgpillar

pgpillar.make_way_for_new_code()

from pgpillar import node_secret  # noqa: E402

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
    return node_secret.names(directory)


def fault(user, directory=node_secret.DIRECTORY):
    """
    Why the password of a user would be made anew, or None where it is as it should be.

    CLI Example:

    .. code-block:: bash

        salt app-1 node_secret.fault shop_app
    """
    return node_secret.fault(user, directory)


def make(user, directory=node_secret.DIRECTORY):
    """
    Make a new password for a user. What holds the old one follows with the next highstate.

    CLI Example:

    .. code-block:: bash

        salt app-1 node_secret.make shop_app
    """
    node_secret.make(user, directory)
    return True


def mend(user, directory=node_secret.DIRECTORY):
    """
    Make a new password for a user that has none, or one that is no good. True where one was made.

    CLI Example:

    .. code-block:: bash

        salt app-1 node_secret.mend shop_app
    """
    return node_secret.mend(user, directory)


def forget(user, directory=node_secret.DIRECTORY):
    """
    Remove the password of a user that this node has no more use for.

    CLI Example:

    .. code-block:: bash

        salt app-1 node_secret.forget shop_app
    """
    node_secret.forget(user, directory)
    return True
