"""
All clusters and app nodes at once
==================================

What a person wants to know of them, asked from the master of all minions that have a role.

:depends: ``runner_dirs``, ``outputter_dirs`` and ``utils_dirs`` of the master, as in conf/master
"""

from functools import partial
from pathlib import Path

import salt.client
import salt.fileserver
import salt.runner
import salt.utils.minions
import yaml

import pgpillar

pgpillar.make_way_for_new_code()

from pgpillar.discovery import MINE  # noqa: E402
from pgpillar.logins import report  # noqa: E402
from pgpillar.status import of as overview  # noqa: E402
from pgpillar.status import roles_of  # noqa: E402
from pgpillar.switch import Failed, Silent, Switch  # noqa: E402

__virtualname__ = "pgpillar"

ROLES = "roles.yaml"
PROMPTLY = {
    "timeout": 3,
    "gather_job_timeout": 3,
}  # seconds; one that is still at it when asked is waited for


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


def promote(minion, timeout=None):
    """
    Make a replica the primary of its cluster, and lead everybody to it: pools, and the other servers.

    Where the old primary answers, it is stopped cleanly first, nothing is lost, and it comes back as a
    replica. Where it does not, what it committed last may be on it alone; it is not believed any more, and
    waits for ``pg_server.rejoin``. What would be wrong is refused, with nothing done. Run again, it finishes
    what was cut.

    minion
        The id of the replica's minion.

    timeout
        As for ``status``; three seconds, if left out, for the one question that a dead minion is asked.

    CLI Example:

    .. code-block:: bash

        salt-run pgpillar.promote postgresql-replica
    """
    switch = Switch(minion, sorted(_minions()), partial(_ask, timeout), _unsay)
    return {"outputter": "nested", "data": switch.run()}


def _ask(timeout, minions, function, *arguments, promptly=False):
    """What each minion returned; what failed is marked."""
    told, bounds = {}, (PROMPTLY if promptly else {}) | ({"timeout": timeout} if timeout else {})
    with salt.client.get_local_client(__opts__["conf_file"]) as client:
        answers = client.cmd_iter(minions, function, arguments, tgt_type="list", **bounds)
        for answer in answers:
            told |= {name: _answer(said) for name, said in answer.items() if "ret" in said}
    return {name: told.get(name, Silent("its minion does not answer")) for name in minions}


def _answer(said):
    if not said.get("retcode"):
        return said["ret"]
    return Failed("; ".join(_complaints(said["ret"])))


def _complaints(returned):
    if not isinstance(returned, dict):
        return [str(returned).removeprefix("ERROR: ")]
    return [state["comment"] for state in returned.values() if not state["result"]]


def _unsay(minion, cluster):
    runners = salt.runner.RunnerClient(__opts__)
    about = {"tgt": [minion], "tgt_type": "list", "clear_mine_func_flag": f"{MINE}.{cluster}"}
    runners.cmd("cache.clear_mine_func", kwarg=about, print_event=False)


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
