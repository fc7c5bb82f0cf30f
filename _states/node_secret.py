"""
The passwords that the applications of this node use
====================================================

.. code-block:: yaml

    passwords of this node:
      node_secret.present: []
"""

from salt.exceptions import CommandExecutionError

from pgpillar.paths import Paths

__virtualname__ = "node_secret"


def __virtual__():
    return __virtualname__


def present(name, users=None, root=""):
    """
    See that users have a password on this node that only root can read. Under ``test=True`` none is made.

    users
        The users, as PostgreSQL knows them. If left out, all that this node has pools for; then the passwords
        of all others go.

    root
        A directory that stands for /, in the demo and in tests.
    """
    ret = {"name": name, "changes": {}, "result": True, "comment": "every user has a password on this node"}
    directory = Paths(root).secrets
    try:
        ret["changes"] = __salt__["node_secret.plan"](users, directory)
        if not ret["changes"]:
            return ret
        if __opts__["test"]:
            return {**ret, "result": None, "comment": "users would get a password on this node"}
        __salt__["node_secret.configure"](users, directory)
        left = __salt__["node_secret.plan"](users, directory)
    except CommandExecutionError as error:
        return {
            **ret,
            "changes": {},
            "result": False,
            "comment": f"not every user has a password here: {error}",
        }
    if left:
        return {**ret, "result": False, "comment": f"passwords are not as they should be: {left}"}
    return {**ret, "comment": "every user now has a password on this node"}
