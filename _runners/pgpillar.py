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

from pgpillar.status import Status, roles_of  # noqa: E402

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
        "data": Status(minions, _asked(minions, "pg_status.here", timeout)).data(),
    }


def _minions():
    """The minions that have a role, with their roles; where there is no roles.yaml, all of them."""
    accepted = salt.utils.minions.CkMinions(__opts__).check_minions("*")["minions"]
    found = salt.fileserver.Fileserver(__opts__).find_file(ROLES, "base")["path"]
    if not found:
        return dict.fromkeys(accepted, ())
    return roles_of(accepted, yaml.safe_load(Path(found).read_text()))


def _asked(minions, function, timeout):
    """What each minion returned; one that did not answer is not among them."""
    with salt.client.get_local_client(__opts__["conf_file"]) as client:
        returned = client.cmd_iter(sorted(minions), function, timeout=timeout, tgt_type="list")
        return {
            minion: said["ret"] for answers in returned for minion, said in answers.items() if "ret" in said
        }
