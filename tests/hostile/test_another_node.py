"""Another node attacks this one, and what is shown of all, with its own key, pillar and passwords.

That another node's password opens no pool here, and its pillar no password, is tested where those are:
``functional/node/test_node.py`` (``test_another_nodes_password_is_refused``) and
``integration/test_secrets_stay_apart.py``. So it is for certificates of other names
(``functional/node/test_bad_days.py``, ``hosts/test_certificates.py``), and for a minion that pillar does not
name as a server of the cluster (``integration/test_mine.py``). Here a node says what it should not: one that
pillar does name, in the Salt mine, and any node where all are asked.
"""

import copy
import shutil
import tempfile
from pathlib import Path

import pytest

from pgpillar import logins, screen, status
from pgpillar.authority import Said
from pgpillar.model import ip_address
from tests.functional.node.conftest import AppNode
from tests.unit.test_status import ROLES, WELL

NAME = "app-1"
CLAIM = {"host": "db-1.example.internal", "address": "192.0.2.1", "port": 5432, "in_recovery": False}
EVIL = "192.0.2.66 login.example.internal"
NO_PLACE = f"what {NAME} said in the Salt mine as postgresql.main is no server's place"


# In the mine


@pytest.fixture(scope="module")
def node():
    """A node whose own word stands in the mine for that of a server: a masterless minion has no other."""
    directory = Path(tempfile.mkdtemp(prefix="pgp-", dir="/tmp"))
    directory.chmod(0o755)
    yield AppNode(directory, NAME)
    shutil.rmtree(directory)


def tree(target):
    return {
        "clusters": {"main": {"host": "db.example.internal", "discovery": "mine", "minions": [NAME]}},
        "databases": {"shop": "shop"},
        "users": {"shop": {"password": "long-and-random", "direct": True}},
        "pools": {"shop": {"database": "shop", "user": "shop", "target": target}},
    }


HOSTILE = {
    "an address with a line more": {"address": f"192.0.2.1\n{EVIL}"},
    "an address with a line in its zone": {"address": f"fe80::1%lo\n{EVIL}"},
    "an address with a name more": {"address": "192.0.2.1 login.example.internal"},
    "an address of another kind": {"address": 3221225985},
    "an address that is packed": {"address": b"\xc0\x00\x02\x01"},
    "a network": {"address": "192.0.2.0/24"},
    "no address": {"address": ""},
    "a name for an address": {"address": "db-1.example.internal"},
    "a huge address": {"address": "1" * 10**6},
    "a host with a line more": {"host": f"db-1\n{EVIL}"},
    "a host with a line at its end": {"host": "db-1\n"},
    "a host with another setting": {"host": "db-1 port=1"},
    "a socket of the node's own": {"host": "/tmp"},
    "an abstract socket": {"host": "@evil"},
    "two hosts": {"host": "db-1,db-2"},
    "no host": {"host": ""},
    "a host of another kind": {"host": ["db-1"]},
    "a huge host": {"host": "d" * 10**6},
    "a switch for a port": {"port": True},
    "a port with another setting": {"port": "5432 sslmode=disable"},
    "a port with a line at its end": {"port": "5432\n"},
    "a port in other digits": {"port": "５４３２"},
    "no port": {"port": 0},
    "a port below all": {"port": -1},
    "a port above all": {"port": 65536},
    "a huge port": {"port": 10**400},
    "a port in parts": {"port": 5432.0},
    "a role of another kind": {"in_recovery": "no"},
    "a number for a role": {"in_recovery": 0},
}


@pytest.mark.parametrize("claim", HOSTILE.values(), ids=HOSTILE)
@pytest.mark.parametrize("target", ["primary", "replica"])
def test_what_is_no_servers_place_is_refused_by_the_name_of_its_minion(node, target, claim):
    said = {**CLAIM, "in_recovery": target == "replica", **claim}
    node.minion._caller.cmd("mine.send", "postgresql.main", mine_function="test.kwarg", **said)
    states = node.apply(tree(target))
    for name in ("pgbouncer.configured", "pg_client.configured"):
        assert (states[name]["result"], states[name]["changes"]) == (False, {})
    assert NO_PLACE in states["pgbouncer.configured"]["comment"]
    assert not Path(node.paths.hosts).exists()
    assert not Path(node.paths.clients).exists()


def test_when_a_server_was_asked_is_shown_on_one_line(node):
    from pgpillar import discovery

    said = {f"db-{number}": {**CLAIM, "asked": "\x1b[2J\n" * 10**5} for number in (1, 2)}
    answers = {"postgresql.main": {**said, "db-3": {**CLAIM, "in_recovery": True, "asked": 10**5000}}}
    endpoint = type("Endpoint", (), {"minions": tuple(said), "host": "db.example.internal"})
    with pytest.raises(discovery.Trouble) as caught:
        discovery.mined("main", endpoint, {"mine.get": lambda *_: answers})
    assert str(caught.value).isprintable()
    assert len(str(caught.value)) < 600


def test_a_zone_holds_the_name_of_an_interface_alone():
    assert ip_address("fe80::1%eth0.10") == "fe80::1%eth0.10"
    for zone in ("a\nb", "a b", "a#b", "a%b", "ü"):
        with pytest.raises(ValueError, match=r"zone|does not appear to be"):
            ip_address(f"fe80::1%{zone}")


# Where all are asked

NASTY = [
    *(None, True, -1, 10**400, float("nan"), float("inf")),
    *("", "x", "0/", "/", "g/0", "\x1b[2J", "\ud800", "x" * 10**4, b"\xff"),
    *([], {}, [None], [[]], {"a": 1}, {"trouble": 1}),
]
UNNAMED = {"name": "?", "address": None, "state": "streaming", "lag_bytes": 0, "lag_seconds": 0.0}
LOGIN = {"cluster": "main", "user": "shop", "server": "db-1:5432", "role": "primary", "login": "ok"}


def places(found, path=()):
    """Every place in an answer, by its path."""
    yield path
    for key in found if isinstance(found, dict) else range(len(found)) if isinstance(found, list) else ():
        yield from places(found[key], (*path, key))


def spoilt(found, path, value):
    """A copy of an answer with another value in one place."""
    if not path:
        return value
    found = copy.copy(found)
    found[path[0]] = spoilt(found[path[0]], path[1:], value)
    return found


def followed_by(rows):
    """Answers in which all is well, and the primary sees these replicas."""
    return spoilt(WELL, ("db-1", "server", "standing", "replicas"), rows)


@pytest.mark.parametrize("rows", [[], [UNNAMED], WELL["db-1"]["server"]["standing"]["replicas"]])
@pytest.mark.parametrize("guise", ["app-1", "db-1", "db-2"])
@pytest.mark.parametrize("minion", ["app-2", "db-2"])
def test_what_one_node_answers_keeps_nobody_from_the_status_of_the_others(minion, guise, rows):
    answers = followed_by(rows)
    for path in places(answers[guise]):
        for value in NASTY:
            found = status.of(ROLES, {**answers, minion: spoilt(answers[guise], path, value)})
            screen.drawn(found, 100, False).encode()
            assert found["nodes"]["app-1"]["drift"] == WELL["app-1"]["node"]["drift"]
            assert found["clusters"]["main"]["servers"]["db-1"] == answers["db-1"]["server"]


@pytest.mark.parametrize("path", [*places([LOGIN])], ids=str)
def test_what_one_node_answers_keeps_nobody_from_the_logins_of_the_others(path):
    for value in NASTY:
        found = logins.report(ROLES, {"db-1": [LOGIN], "app-1": spoilt([LOGIN], path, value)})
        screen.drawn(found, 100, False).encode()
        assert {**LOGIN, "from": ["db-1"]} in found["logins"] or {
            **LOGIN,
            "from": ["app-1", "db-1"],
        } in found["logins"]


WORD = {"trusts": {"ca": ["key-1"]}, "served": "key-1"}


@pytest.mark.parametrize("path", [*places(WORD)], ids=str)
def test_what_one_node_says_of_whom_it_trusts_is_its_own_word_alone(path):
    for value in NASTY:
        said = Said.of("ca", {"app-1": spoilt(WORD, path, value), "app-2": WORD})
        assert (said.trusts["app-2"], said.served["app-2"]) == (["key-1"], "key-1")
