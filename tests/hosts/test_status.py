"""What ``salt-run pgpillar`` says of the hosts, printed into the log."""

import json

import pytest

PRIMARY, NODE = "postgresql-primary", "app-2"
REVOKE = "runuser -u postgres -- psql -qc 'revoke connect on database shop from shop_app'"


@pytest.fixture
def run(world, capsys):
    """salt-run on the master: what it says as data, and, where it is shown, as people see it, in the log."""
    master = world["salt-master"]

    def run(function, shown=True):
        if shown:
            with capsys.disabled():
                print(f"\nsalt-run {function}\n" + master.run("salt-run", function, check=False))
        return json.loads(master.run("salt-run", function, "--out=json", check=False))

    return run


def test_everything_is_told_as_it_is(world, run):
    told = run("pgpillar.status")
    assert (told["wrong"], told["to_do"], told["retcode"]) == ({}, {}, 0)
    main = told["clusters"]["main"]
    assert main["primaries"] == [PRIMARY]
    assert main["servers"][PRIMARY]["certificate"]["days_left"] > 14
    assert told["nodes"]["app-1"]["pools"]["shop"]["leads_to"] == [PRIMARY]
    replicas = main["servers"].keys() - {PRIMARY}
    assert {main["servers"][one]["behind"]["state"] for one in replicas} <= {"streaming"}


def test_everybody_gets_in(run):
    told = run("pgpillar.logins")
    assert {row["login"] for row in told["logins"]} == {"ok"}
    assert {"shop_app", "wiki", "replicator"} <= {row["user"] for row in told["logins"]}


def test_what_was_changed_by_hand_and_who_is_down_is_told(world, run):
    world[PRIMARY].sh(REVOKE)
    world[NODE].sh("systemctl stop salt-minion")
    try:
        told = run("pgpillar.status", shown=False)
    finally:
        world[NODE].sh("systemctl start salt-minion")
        world.highstate(PRIMARY)
    assert [*told["silent"]] == [NODE]
    assert f"salt {PRIMARY} pg_access.plan" in told["to_do"][PRIMARY][0]
    world["salt-master"].wait_for(f"salt --timeout=5 {NODE} test.ping")
