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
        The users, as PostgreSQL knows them; all that this node has pools for, if left out.

    root
        A directory that stands for /, in the demo and in tests.
    """
    ret = {"name": name, "changes": {}, "result": True, "comment": "every user has a password on this node"}
    directory = Paths(root).secrets
    try:
        users = __salt__["pg_client.users"]() if users is None else users
        ret["changes"] = _faults(users, directory)
        if not ret["changes"]:
            return ret
        if __opts__["test"]:
            return {**ret, "result": None, "comment": "users would get a password on this node"}
        for user in ret["changes"]:
            __salt__["node_secret.mend"](user, directory)
    except (CommandExecutionError, OSError) as error:
        return {
            **ret,
            "changes": {},
            "result": False,
            "comment": f"not every user has a password here: {error}",
        }
    if left := _faults(users, directory):
        return {**ret, "result": False, "comment": f"new passwords are not as they should be: {left}"}
    return {**ret, "comment": "every user now has a password on this node"}


def _faults(users, directory):
    reasons = {user: __salt__["node_secret.fault"](user, directory) for user in users}
    return {user: f"new password, for {reason}" for user, reason in reasons.items() if reason}
