"""Logins as users of pillar, to a primary and to a replica: that they get in, and why they do not."""

from functools import partial

import pytest

from pgpillar import discovery, logins, probe
from tests.functional.pair import ADDRESSES, HOST, servers


@pytest.fixture(scope="module")
def pair():
    with servers() as made:
        yield made


@pytest.fixture
def tree(pair):
    """Pillar that says where the two are."""
    replica = {"host": "db-2.example.internal", "hostaddr": ADDRESSES["db-2"], "port": pair.port}
    return pair.tree(hostaddr=ADDRESSES["db-1"], replicas=[replica])


def verdicts(tree):
    """What came of the logins, by the role of the server."""
    wanted = logins.of(tree, partial(discovery.of_cluster, salt={}))
    return {one["role"]: one["login"] for one in probe.tried(wanted)}


def test_a_user_gets_in_everywhere(tree):
    assert verdicts(tree) == {"primary": "ok", "replica": "ok"}


def test_a_database_is_asked_for_as_its_server_calls_it(tree):
    tree["databases"] = {"elsewhere": {"name": "shop", "owner": "shop_app"}}
    assert verdicts(tree) == {"primary": "ok", "replica": "ok"}


def test_a_password_that_is_not_in_effect_is_told_and_not_shown(tree):
    tree["users"]["shop_app"]["password"] = "not-in-effect"
    told = verdicts(tree)
    assert all("password authentication failed" in why for why in told.values())
    assert "not-in-effect" not in str(told)


def test_servers_that_changed_their_roles_are_told(tree):
    main = tree["clusters"]["main"]
    main["hostaddr"], main["replicas"][0]["hostaddr"] = ADDRESSES["db-2"], ADDRESSES["db-1"]
    main["replicas"][0]["host"] = HOST
    assert verdicts(tree) == {"primary": "it is a replica", "replica": "it is no replica"}


def test_a_certificate_of_another_name_is_told(tree):
    tree["clusters"]["main"]["replicas"][0]["host"] = "db-1.example.internal"
    assert "does not match host name" in verdicts(tree)["replica"]


def test_a_verifier_lets_nobody_in(tree):
    tree["users"]["shop_app"]["password"] = f"SCRAM-SHA-256$4096:{'A' * 22}==${'A' * 43}=:{'A' * 43}="
    assert set(verdicts(tree).values()) == {"pillar gives a verifier, by which nobody can log in"}
