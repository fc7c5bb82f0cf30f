"""
What this PostgreSQL server is to Consul
========================================

.. code-block:: yaml

    Consul knows this server:
      pg_consul.registered: []
"""

from salt.exceptions import CommandExecutionError

__virtualname__ = "pg_consul"


def __virtual__():
    return __virtualname__


def registered(name, **where):
    """
    Register this server with the local agent, in both roles; the checks tell which it has.

    where
        ``cluster``, ``address`` and ``check``, as ``pg_consul.register`` takes them.
    """
    where = {key: value for key, value in where.items() if key in ("cluster", "address", "check")}
    return _brought(
        name,
        find=lambda: __salt__["pg_consul.plan"](**where),
        mend=lambda: __salt__["pg_consul.register"](**where),
        told=(
            "Consul knows this server",
            "Consul would be told of this server",
            "Consul now knows this server",
        ),
    )


def absent(name, cluster=None):
    """
    Have the local agent forget this server.

    cluster
        Its name in pillar; the one that this minion is the server of, if left out.
    """
    return _brought(
        name,
        find=lambda: dict.fromkeys(__salt__["pg_consul.known"](cluster), "goes"),
        mend=lambda: __salt__["pg_consul.deregister"](cluster),
        told=(
            "Consul does not know this server",
            "Consul would be made to forget this server",
            "Consul has forgotten this server",
        ),
    )


def _brought(name, find, mend, told):
    """What a state returns that looks for differences, mends them, and looks again."""
    right, would, done = told
    ret = {"name": name, "changes": {}, "result": True, "comment": right}
    try:
        ret["changes"] = find()
        if not ret["changes"]:
            return ret
        if __opts__["test"]:
            return {**ret, "result": None, "comment": would}
        mend()
        left = find()
    except CommandExecutionError as error:
        return {**ret, "changes": {}, "result": False, "comment": str(error)}
    if left:
        return {**ret, "result": False, "comment": f"Consul's agent did not take it: {left}"}
    return {**ret, "comment": done}
