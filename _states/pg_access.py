"""
Databases, users and grants of a PostgreSQL cluster, as pillar wants them
=========================================================================

.. code-block:: yaml

    postgresql.admin main:
      pg_access.converged:
        - name: main
"""

from salt.exceptions import CommandExecutionError, CommandNotFoundError

__virtualname__ = "pg_access"


def __virtual__():
    return __virtualname__


def converged(name):
    """
    Make one cluster as pillar wants it, and see that it is.

    name
        The cluster, as it is called under ``postgresql:clusters``.
    """
    ret = {"name": name, "changes": {}}
    test = __opts__["test"]
    try:
        done = __salt__["pg_access.plan" if test else "pg_access.apply"](name, saltenv=__env__)
    except CommandNotFoundError as missing:
        return {**ret, "result": None if test else False, "comment": str(missing)}
    except CommandExecutionError as error:
        what = f"Cluster {name} was not changed" if name else "Nothing was changed"
        return {**ret, "result": False, "comment": f"{what}: {error}"}
    return {**ret, "changes": done["changes"], **_verdict(name, done, test)}


def _verdict(name, done, test):
    if done["failures"]:
        return {"result": False, "comment": _left_over(name, done["failures"], test) + _unforeseen(done)}
    if done.get("follows"):
        return {
            "result": True,
            "comment": f"Cluster {name} is administered on its primary, not on this replica",
        }
    if not done["changes"]:
        return {"result": True, "comment": f"Cluster {name} is as pillar wants it"}
    if test:
        return {"result": None, "comment": f"Cluster {name} would be changed{_unforeseen(done)}"}
    return {"result": True, "comment": f"Cluster {name} is now as pillar wants it, read back and compared"}


def _unforeseen(done):
    """What is not among the changes under test=True, since nobody can look into a closed database."""
    lines = [
        f"\n- database {name!r} is closed: what changes inside it is planned when the run has opened it"
        for name in done.get("unforeseen", ())
    ]
    return "".join(lines)


def _left_over(name, failures, test):
    lines = [f"- {where}: {why}" for where, why in failures.items()]
    verdict = (
        "cannot become as pillar wants it everywhere"
        if test
        else "is not as pillar wants it yet; once this is mended, running it again goes on from there"
    )
    return "\n".join([f"Cluster {name} {verdict}:", *lines])
