"""
The pgbouncer of this node
==========================

.. code-block:: yaml

    the pools that pillar wants:
      pgbouncer.configured: []
"""

from salt.exceptions import CommandExecutionError, CommandNotFoundError

__virtualname__ = "pgbouncer"

DONE = "pgbouncer now has the pools that pillar wants, tried by logging in and read back"
STARTABLE = "pgbouncer finds the pools that pillar wants when it starts; they were tried by logging in"


def __virtual__():
    return __virtualname__


def configured(name, root="", user="postgres"):
    """
    Give pgbouncer the pools that pillar wants, or leave it as it is and say why not.

    The new files are tried on a scratch instance, with a login through each pool that they change, before
    they are put in place; then pgbouncer reloads, and what its console shows is compared. Clients of other
    pools notice nothing.

    root
        A directory that stands for /, in the demo and in tests.

    user
        Who pgbouncer runs as.
    """
    ret = {
        "name": name,
        "changes": {},
        "result": True,
        "comment": "pgbouncer has the pools that pillar wants",
    }
    try:
        ret["changes"] = __salt__["pgbouncer.plan"](root, user)
        if not ret["changes"]:
            return ret
        if __opts__["test"]:
            return {**ret, "result": None, "comment": "pgbouncer would be given the pools that pillar wants"}
        is_up = __salt__["pgbouncer.configure"](root, user)
        left = __salt__["pgbouncer.plan"](root, user)
    except CommandNotFoundError as missing:
        return {**ret, "result": None if __opts__["test"] else False, "comment": str(missing)}
    except CommandExecutionError as error:
        return {**ret, "changes": {}, "result": False, "comment": f"pgbouncer is left as it was: {error}"}
    if left:
        return {**ret, "result": False, "comment": f"pgbouncer is not as asked after the change: {left}"}
    return {**ret, "comment": DONE if is_up else STARTABLE}
