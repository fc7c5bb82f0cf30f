"""
What the applications of this node reach their databases with
=============================================================

.. code-block:: yaml

    what applications connect with:
      pg_client.configured: []
"""

from salt.exceptions import CommandExecutionError

__virtualname__ = "pg_client"


def __virtual__():
    return __virtualname__


def configured(name, root=""):
    """
    Write the client files of every user of this node, each readable by its own system user alone.

    root
        A directory that stands for /, in the demo and in tests.
    """
    ret = {"name": name, "changes": {}, "result": True, "comment": "every application has its files"}
    try:
        ret["changes"] = __salt__["pg_client.plan"](root)
        if not ret["changes"]:
            return ret
        if __opts__["test"]:
            return {**ret, "result": None, "comment": "applications would be given their files"}
        __salt__["pg_client.configure"](root)
        left = __salt__["pg_client.plan"](root)
    except CommandExecutionError as error:
        return {
            **ret,
            "changes": {},
            "result": False,
            "comment": f"not every application has its files: {error}",
        }
    if left:
        return {**ret, "result": False, "comment": f"files are not as asked after the change: {left}"}
    return {**ret, "comment": "every application now has its files"}
