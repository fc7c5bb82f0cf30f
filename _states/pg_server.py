"""
The PostgreSQL server of this machine
=====================================

.. code-block:: yaml

    the server that pillar wants:
      pg_server.configured: []
"""

from salt.exceptions import CommandExecutionError, CommandNotFoundError

__virtualname__ = "pg_server"


def __virtual__():
    return __virtualname__


def configured(name, as_replica=False):
    """
    Make the server as pillar wants it: its cluster, its settings, and who may come in from where.

    What the server would refuse is found before anything is touched. It reloads where that is enough. What
    asks for a restart waits for one, and is told, unless ``postgresql:server:restart`` allows it now.

    What follows another server goes on following the primary of its cluster, and what is a primary stays one,
    whatever either was at first. One that was left behind by a promotion is stopped.

    as_replica
        Whether it begins as a replica of the cluster's primary, where there is no server yet.
    """
    ret = {"name": name, "changes": {}, "result": True, "comment": "the server is as pillar wants it"}
    try:
        ret["changes"] = __salt__["pg_server.plan"](as_replica, certified=__opts__["test"])
        if __opts__["test"] and ret["changes"]:
            return {**ret, "result": None, "comment": "the server would be made as pillar wants it"}
        if ret["changes"]:
            __salt__["pg_server.configure"](as_replica)
            ret["comment"] = "the server is now as pillar wants it, read back and compared"
        left, waits = __salt__["pg_server.plan"](as_replica), __salt__["pg_server.waits"]()
        fault = __salt__["pg_server.fault"]()
    except CommandNotFoundError as missing:
        return {**ret, "result": None if __opts__["test"] else False, "comment": str(missing)}
    except CommandExecutionError as error:
        return {**ret, "changes": {}, "result": False, "comment": str(error)}
    if left:
        return {**ret, "result": False, "comment": f"the server is not as asked after the change: {left}"}
    if fault:
        return {**ret, "result": False, "comment": fault}
    if waits:
        ret["comment"] += f"; {', '.join(waits)} waits for a restart: allow it in postgresql:server:restart"
    return ret


def certified(name, root="", user="postgres"):
    """
    Keep a key that is made here, with a certificate for it from the cluster's CA, in one file.

    It is renewed in the last third of its life, when another CA signs, when it lacks a name, and when its
    file is not whole. Where the CA cannot be reached, a certificate that still serves stays, with a warning;
    where there is none, it fails.

    root
        A directory that stands for /, in tests.

    user
        The system user of the server.
    """
    ret = {"name": name, "changes": {}, "result": True}
    try:
        changes = __salt__["pg_server.plan_certificate"](root, user)
        if changes and __opts__["test"]:
            return {**ret, "result": None, "changes": changes, "comment": "a certificate would be made"}
        if changes:
            __salt__["pg_server.certify"](root, user)
        left, now = __salt__["pg_server.plan_certificate"](root, user), _served_until(root)
    except CommandExecutionError as error:
        return _not_certified(ret, str(error), root)
    if left:
        return {
            **ret,
            "result": False,
            "comment": f"the certificate is not as asked after the change: {left}",
        }
    return {**ret, "changes": changes, "comment": now}


def _not_certified(ret, why, root):
    if useless := __salt__["pg_server.why_uncertified"](root):
        return {**ret, "result": False, "comment": f"there is no certificate to serve, {useless}: {why}"}
    return {**ret, "comment": _served_until(root), "warnings": [f"a new certificate is due: {why}"]}


def _served_until(root):
    found = __salt__["pg_server.certificate"](root)
    return f"the certificate {found['serial']} ends on {found['not_after']}, in {found['days_left']} days"


def announced(name):
    """
    Have the Salt mine say of this server what it is now, so that app nodes and other servers find it.

    Only where ``mine_functions`` holds ``postgresql.`` and the cluster with ``pg_server.announce``.
    """
    ret = {"name": name, "changes": {}, "result": True, "comment": "the Salt mine says what this server is"}
    try:
        ret["changes"] = __salt__["pg_server.unannounced"]()
        if __opts__["test"] and ret["changes"]:
            return {**ret, "result": None, "comment": "the Salt mine would be told what this server is"}
        if ret["changes"]:
            __salt__["mine.update"]()
            ret["comment"] = "the Salt mine now says what this server is"
        left = __salt__["pg_server.unannounced"]()
    except CommandNotFoundError as missing:
        return {**ret, "result": None if __opts__["test"] else False, "comment": str(missing)}
    except CommandExecutionError as error:
        return {**ret, "changes": {}, "result": False, "comment": str(error)}
    if left:
        return {**ret, "result": False, "comment": f"the Salt mine does not say what this server is: {left}"}
    return ret
