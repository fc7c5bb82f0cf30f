"""
What this minion is to clusters and pools, in one answer
========================================================

It is what ``salt-run pgpillar.status`` asks of every minion.
"""

from salt.exceptions import CommandExecutionError

__virtualname__ = "pg_status"

PARTS = {"clusters": "pg_access.status", "node": "pgbouncer.status"}


def __virtual__():
    return __virtualname__


def here():
    """
    The server of this minion, the clusters that it administers, its pools: what of these it has. A part that
    could not be asked tells its ``trouble``.

    CLI Example:

    .. code-block:: bash

        salt app-1 pg_status.here
    """
    told = {part: _asked(function) for part, function in PARTS.items()}
    return {part: answer for part, answer in told.items() if answer is not None}


def _asked(function):
    try:
        return __salt__[function]()
    except CommandExecutionError as trouble:
        return {"trouble": str(trouble)}
