"""``pgpillar live`` on the minion that administers a real server."""

import json

import pytest
from click.testing import CliRunner

from pgpillar_cli.main import cli
from tests.functional.minions import Minion

SHOP = {"databases": {"shop": {"owner": "shop", "access": {"ann": "read"}}}, "users": ["shop", "ann"]}


@pytest.fixture
def live(tmp_path, cluster):
    """Return a function that runs the command on a minion whose pillar declares the shop."""
    minion = Minion(tmp_path / "m")
    minion.hold(cluster.tree(**SHOP))

    def run(*arguments):
        command = ["live", "--config-dir", str(minion.configuration), *arguments]
        return CliRunner().invoke(cli, command, catch_exceptions=False)

    return run


def told(result):
    return json.loads(result.stdout)["parts"][0]["clusters"]["main"]


def test_a_server_that_is_as_pillar_says(live, cluster):
    cluster.converge(**SHOP)
    result = live("--exit-code")
    assert (result.exit_code, result.stdout) == (
        0,
        "pgpillar live: nothing differs\ncluster main of db-admin-1: as pillar says\n",
    )


def test_what_differs_and_what_is_unmanaged_is_told(live, cluster):
    cluster.converge(**SHOP)
    cluster.query("grant create on schema public to ann", dbname="shop")
    cluster.query("create role bob")
    result = live("--format", "json", "--exit-code")
    assert result.exit_code == 2
    change = {"databases": {"shop": ["revoke CREATE on schema public from ann"]}}
    assert (told(result)["changes"], told(result)["destructive"]) == (change, change)
    assert told(result)["losses"] == {"rights_taken": 1}
    assert told(result)["unmanaged"] == {"roles": ["bob"]}
    shown = live().stdout
    assert "⚠ revoke CREATE on schema public from ann" in shown
    assert "not in pillar, and left alone: roles: bob" in shown


def test_nothing_is_changed(live, cluster):
    live()
    assert cluster.query("select count(*) from pg_database where datname = 'shop'") == [(0,)]


def test_no_password_is_shown(live, cluster):
    shown = live().stdout + live("--format", "json").stdout
    assert "set password" in shown
    assert not [password for password in cluster.passwords.values() if password in shown]


def test_a_server_that_is_down_is_not_an_empty_one(live, cluster):
    cluster.server.stop()
    result = live()
    assert result.exit_code == 1
    assert "could not be read" in result.stdout
    assert "create" not in result.stdout


def test_where_there_is_no_minion(tmp_path):
    result = CliRunner().invoke(cli, ["live", "--config-dir", str(tmp_path)])
    assert result.exit_code == 1
    assert "there is no minion on this machine" in result.stderr
