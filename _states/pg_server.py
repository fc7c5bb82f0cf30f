"""
The PostgreSQL server of this machine
=====================================

.. code-block:: yaml

    the server that pillar wants:
      pg_server.configured: []
"""

from salt.exceptions import CommandExecutionError

__virtualname__ = "pg_server"


def __virtual__():
    return __virtualname__


def configured(name):
    """
    Make the server as pillar wants it: its cluster, its settings, and who may come in from where.

    What the server would refuse is found before anything is touched. It reloads where that is enough. What
    asks for a restart waits for one, and is told, unless ``postgresql:server:restart`` allows it now.
    """
    ret = {"name": name, "changes": {}, "result": True, "comment": "the server is as pillar wants it"}
    try:
        ret["changes"] = __salt__["pg_server.plan"]()
        if __opts__["test"] and ret["changes"]:
            return {**ret, "result": None, "comment": "the server would be made as pillar wants it"}
        if ret["changes"]:
            __salt__["pg_server.configure"]()
            ret["comment"] = "the server is now as pillar wants it, read back and compared"
        left, waits = __salt__["pg_server.plan"](), __salt__["pg_server.waits"]()
    except CommandExecutionError as error:
        return {**ret, "changes": {}, "result": False, "comment": str(error)}
    if left:
        return {**ret, "result": False, "comment": f"the server is not as asked after the change: {left}"}
    if waits:
        ret["comment"] += f"; {', '.join(waits)} waits for a restart: allow it in postgresql:server:restart"
    return ret
