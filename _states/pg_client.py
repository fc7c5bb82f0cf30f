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
    ret = {"name": name, "changes": {}}
    test = __opts__["test"]
    try:
        done = __salt__["pg_client.plan"](root)
        if not test and (done["changes"] or done["failures"]):
            done = __salt__["pg_client.configure"](root)
    except CommandExecutionError as error:
        return {**ret, "result": False, "comment": f"no files were changed: {error}"}
    return {**ret, "changes": done["changes"], **_verdict(done, test)}


def _verdict(done, test):
    if done["failures"]:
        lines = [f"- {where}: {why}" for where, why in done["failures"].items()]
        return {"result": False, "comment": "\n".join(["not every application has its files:", *lines])}
    if not done["changes"]:
        return {"result": True, "comment": "every application has its files"}
    if test:
        return {"result": None, "comment": "applications would be given their files"}
    return {"result": True, "comment": "every application now has its files"}
