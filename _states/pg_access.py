"""
Databases, users and grants of a PostgreSQL cluster, as pillar wants them
=========================================================================

.. code-block:: yaml

    postgresql.admin main:
      pg_access.converged:
        - name: main
"""

from salt.exceptions import CommandExecutionError

__virtualname__ = "pg_access"


def __virtual__():
    return __virtualname__


def converged(name):
    """
    Make one cluster as pillar wants it, and see that it is.

    name
        The cluster, as it is called under ``postgresql:clusters``.
    """
    ret = {"name": name, "changes": {}, "result": True, "comment": ""}
    try:
        if __opts__["test"]:
            return _foretold(ret, __salt__["pg_access.plan"](name, saltenv=__env__))
        return _reported(ret, __salt__["pg_access.apply"](name, saltenv=__env__))
    except CommandExecutionError as error:
        what = f"Cluster {name} was not changed" if name else "Nothing was changed"
        return {**ret, "result": False, "comment": f"{what}: {error}"}


def _foretold(ret, plan):
    if not plan["changes"]:
        return {**ret, "comment": f"Cluster {ret['name']} is as pillar wants it"}
    return {
        **ret,
        "result": None,
        "changes": plan["changes"],
        "comment": f"Cluster {ret['name']} would be changed",
    }


def _reported(ret, done):
    name, failures = ret["name"], done["failures"]
    ret["changes"] = done["changes"]
    if failures:
        return {**ret, "result": False, "comment": _left_over(name, failures)}
    verdict = (
        "is now as pillar wants it, read back and compared" if ret["changes"] else "is as pillar wants it"
    )
    return {**ret, "comment": f"Cluster {name} {verdict}"}


def _left_over(name, failures):
    lines = [f"- {where}: {why}" for where, why in failures.items()]
    return "\n".join(
        [f"Cluster {name} is not as pillar wants it yet; running this again finishes the rest:", *lines]
    )
