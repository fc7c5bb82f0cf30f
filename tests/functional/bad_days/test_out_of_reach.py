"""Days on which the server cannot be reached, or is not to be trusted."""

from datetime import UTC, datetime, timedelta
from functools import partial
from types import SimpleNamespace

import pytest
import trustme

from tests.functional.minions import restarted


@pytest.fixture
def certify(server):
    """Let the server present other certificates during the test."""
    yield server.certify
    server.certify()


def test_server_down(day, server):
    server.stop()
    day.refuses("cannot connect", "Connection refused", "is the server running")
    server.start()
    day.heals()


def test_a_server_that_goes_down_between_runs_is_not_an_empty_one(day, server):
    day.heals()
    server.stop()
    foretold = day.fails("Connection refused", test=True)
    assert "would be" not in foretold.comment
    server.start()
    assert day.apply().changes == {}


def test_a_certificate_of_another_ca(day, certify):
    certify(authority=trustme.CA())
    day.refuses("certificate verify failed", "is not from the cluster's ca")
    certify()
    day.heals()


def test_a_certificate_for_another_name(day, certify):
    certify("somebody.example.internal")
    day.refuses("does not match host name", "host in pillar must be a name that the certificate holds")
    certify()
    day.heals()


@pytest.mark.parametrize(
    ("end", "days", "said"),
    [("not_after", -1, "certificate has expired"), ("not_before", 1, "certificate is not yet valid")],
)
def test_a_certificate_of_another_time(day, certify, server, end, days, said):
    other = datetime.now(UTC) + timedelta(days=days)
    certify(authority=SimpleNamespace(issue_cert=partial(server.authority.issue_cert, **{end: other})))
    day.refuses(f"{said}, by the clock of this machine", "set the clock")
    certify()
    day.heals()


def test_a_server_that_speaks_plain_text_only(day, server):
    with restarted(server, ssl="off"):
        day.refuses("does not support SSL", "does not fall back to plain text")
    day.heals()


def test_a_wrong_admin_password(day, cluster):
    right = cluster.admin["password"]
    cluster.admin["password"] = "wrong-admin-password"
    day.declare()
    day.refuses("password authentication failed", "secrets file")
    assert "wrong-admin-password" not in repr(day.verdicts)
    cluster.admin["password"] = right
    day.declare()
    day.heals()


def test_an_unknown_host_name(day, cluster):
    known = dict(cluster.endpoint)
    cluster.endpoint.pop("hostaddr")
    cluster.endpoint["host"] = "nowhere.invalid"
    day.declare()
    day.refuses("cannot connect to nowhere.invalid", "hostaddr")
    cluster.endpoint.update(known)
    day.declare()
    day.heals()


def test_an_admin_database_that_is_not_there(day, cluster):
    cluster.admin["database"] = "gone"
    day.declare()
    day.refuses('database "gone" does not exist')
    cluster.admin["database"] = "postgres"
    day.declare()
    day.heals()


def test_no_connection_left(day, server, session):
    with restarted(server, max_connections="4", superuser_reserved_connections="0", max_wal_senders="0"):
        sessions = [session() for _ in range(4)]
        day.refuses("too many clients", "raise max_connections")
        for one in sessions:
            one.session.close()
    day.heals()
