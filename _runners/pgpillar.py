"""
All clusters and app nodes at once
==================================

What a person wants to know of them, asked from the master of all minions that have a role.

:depends: ``runner_dirs``, ``outputter_dirs`` and ``utils_dirs`` of the master, as in conf/master
"""

from pathlib import Path

import salt.client
import salt.fileserver
import salt.utils.minions
import yaml

import pgpillar

pgpillar.make_way_for_new_code()

from pgpillar.logins import report  # noqa: E402
from pgpillar.status import of as overview  # noqa: E402
from pgpillar.status import roles_of  # noqa: E402

__virtualname__ = "pgpillar"

ROLES = "roles.yaml"


def __virtual__():
    return __virtualname__


def status(timeout=None):
    """
    Who is primary, how far behind the replicas are, what pools lead where, and what is not as pillar says.

    timeout
        Seconds to wait for an answer before a minion is asked whether it is still at it; the master's own
        ``timeout``, if left out.

    CLI Example:

    .. code-block:: bash

        salt-run pgpillar.status
        salt-run pgpillar.status --out=json
    """
    minions = _minions()
    return {
        "outputter": "pgpillar",
        "data": overview(minions, _asked(minions, "pg_status.here", timeout)),
    }


def logins(tgt=None, timeout=None):
    """
    Whether every user of pillar gets in: a login as each, to the primary and to every replica, from the
    minion that administers their cluster.

    tgt
        A glob of minions that are to log in as the users that they have, instead.

    timeout
        As of ``status``.

    CLI Example:

    .. code-block:: bash

        salt-run pgpillar.logins
        salt-run pgpillar.logins 'app-*'
    """
    minions = _minions(tgt or "*")
    answers = _asked(minions, "pg_access.logins", timeout, all_clusters=tgt is not None)
    return {"outputter": "pgpillar", "data": report(minions, answers)}


def _minions(glob="*"):
    """The minions that have a role, with their roles; where there is no roles.yaml, all of them."""
    accepted = salt.utils.minions.CkMinions(__opts__).check_minions(glob)["minions"]
    found = salt.fileserver.Fileserver(__opts__).find_file(ROLES, "base")["path"]
    if not found:
        return dict.fromkeys(accepted, ())
    return roles_of(accepted, yaml.safe_load(Path(found).read_text()))


def _asked(minions, function, timeout, **arguments):
    """What each minion returned, by the newest pillar; one that did not answer is not among them."""
    with salt.client.get_local_client(__opts__["conf_file"]) as client:

        def ask(targets, function, **arguments):
            returned = client.cmd_iter(
                sorted(targets), function, timeout=timeout, tgt_type="list", kwarg=arguments
            )
            said = {minion: answer for answers in returned for minion, answer in answers.items()}
            return {minion: answer["ret"] for minion, answer in said.items() if "ret" in answer}

        return ask(ask(minions, "saltutil.refresh_pillar", wait=True), function, **arguments)
