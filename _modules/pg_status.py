"""
What this minion is to clusters and pools, in one answer
========================================================

``salt-run pgpillar.status`` asks it of every minion.
"""

import copy
from ipaddress import ip_address

from salt.exceptions import CommandExecutionError
from salt.utils.mine import parse_function_definition

import pgpillar

pgpillar.make_way_for_new_code()

from pgpillar import discovery, pillar, status, text  # noqa: E402
from pgpillar.paths import Paths  # noqa: E402

__virtualname__ = "pg_status"

PLANS = ("pg_server.plan", "pg_server.plan_certificate", "pg_server.unannounced", "pg_trust.plan")
WAY = ("port", "socket", "user")  # what pg_server.announce is told of the way to its server


def __virtual__():
    return __virtualname__


def here():
    """
    What this minion has: the ``server`` of a cluster, the ``clusters`` that it administers, the pools of a
    ``node``; of each how many changes a highstate would make. What could not be asked tells its ``trouble``.

    CLI Example:

    .. code-block:: bash

        salt app-1 pg_status.here
    """
    parts = {"server": _server(), "clusters": _clusters(), "node": _node()}
    return {part: told for part, told in parts.items() if told}


def _server():
    """The server that pillar wants here, or that announces itself from here."""
    announced, served = _announced(), pillar.served(__pillar__.get("postgresql", {}))
    cluster = next(iter(sorted(served | announced.keys())), None)
    if cluster is None:
        return None
    said = announced.get(cluster, {})
    way = {name: said[name] for name in WAY if name in said}
    told = {
        "cluster": cluster,
        "addresses": [said["address"]] if "address" in said else _addresses(),
        "standing": _asked(dict, "pg_server.status", cluster, **way),
    }
    return told | (_upkeep() if served else {})


def _addresses():
    found = [*__grains__["ipv4"], *__grains__["ipv6"]]
    return [address for address in found if not ip_address(address).is_loopback]


def _upkeep():
    """What is told of a server that pgpillar itself has made."""
    return {
        "fault": _asked(lambda told: told, "pg_server.fault"),
        "certificate": _asked(dict, "pg_server.certificate"),
        "waits": _asked(list, "pg_server.waits"),
        "drift": {plan: _asked(text.leaves, plan) for plan in PLANS},
    }


def _announced():
    """What pg_server.announce is told here, by cluster."""
    functions = copy.deepcopy(__salt__["config.merge"]("mine_functions", {}))
    found = {name: parse_function_definition(given) for name, given in functions.items()}
    return {
        name.removeprefix(f"{discovery.MINE}."): named
        for name, (function, _, named, _) in found.items()
        if function == "pg_server.announce"
    }


def _clusters():
    """The clusters that this minion administers, and has a way into."""
    tree = __pillar__.get("postgresql", {})
    return {cluster: _administered(cluster) for cluster in pillar.entered(tree, __grains__["id"])}


def _administered(cluster):
    return {
        "certificate": _asked(dict, "pg_access.certificate", cluster),
        "drift": {"pg_access.plan": _asked(status.drift_of, "pg_access.plan", cluster)},
    }


def _node():
    root = __salt__["config.get"]("pgpillar_root", "")
    pools = _asked(lambda told: told, "pgbouncer.status", root)
    if pools is None:
        return None
    plans = {
        "pgbouncer.plan": {"root": root},
        "pg_trust.plan": {"root": root},
        "node_secret.plan": {"directory": Paths(root).secrets},
    }
    drift = {plan: _asked(text.leaves, plan, **where) for plan, where in plans.items()}
    drift["pg_client.plan"] = _asked(status.drift_of, "pg_client.plan", root)
    return {"pools": pools, "drift": drift}


def _asked(telling, function, *arguments, **more):
    """What a function tells, as ``telling`` tells it; or why it could not be asked."""
    try:
        return telling(__salt__[function](*arguments, **more))
    except CommandExecutionError as trouble:
        return {"trouble": " ".join(str(trouble).split())}
