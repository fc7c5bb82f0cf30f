"""A replica on hosts: it follows, takes over, and the old primary comes back; a ledger is kept meanwhile."""

import json
import subprocess

import pytest

from tests.hosts.conftest import Host, failed, on_checkout
from tests.hosts.test_bad_days import Ledger, acknowledged, errors, longest_gap
from tests.hosts.test_on_hosts import ask as asked_by_application

A, B, ADDED = "postgresql-primary", "postgresql-replica", "postgresql-replica-2"
HOST = f'  "{B}" => {{ address: 21, memory: 1024 }},\n'
ADDED_HOST = f'  "{ADDED}" => {{ address: 22, memory: 1024 }},\n'
ROLES = f"{B}: [db-replica, consul, db-in-consul]\n"
ADDED_ROLES = f"{ADDED}: [db-replica]\n"
SERVER = "pillar/dev/own-server/server.sls"
SECRET = "pillar/dev/secrets/postgresql-replication.sls"  # where it stands, and no secret
PASSFILE = "/etc/pgpillar/server/replication.pgpass"
STREAMS = "runuser -u postgres -- psql -qAtc 'select status from pg_stat_wal_receiver' | grep -q streaming"
SENDERS = """
select application_name, state, ssl, slot_name from pg_stat_replication
join pg_stat_ssl using (pid) join pg_replication_slots on active_pid = pid
"""


ALONE = "    memory: 512\n"
SAFE = (
    f"{ALONE}    settings: {{synchronous_standby_names: '*'}}\n"  # no row is acknowledged that is not on both
)


def ask(host, query, database="postgres"):
    return host.sh(f'runuser -u postgres -- psql -qAtX -d {database} -c "{query}"').strip()


def verb(world, minion, function, *arguments):
    return world.salt(minion, function, *arguments)[minion]


def role(world, minion):
    return verb(world, minion, "pg_server.status")["role"]


def nothing_is_left_to_do(world):
    return world.highstate("postgresql-*") == {A: {}, B: {}}


def server_state(world, minion):
    """What postgresql.server makes of a server whose state fails."""
    states = failed(world.salt(minion, "state.apply", "postgresql.server")[minion])
    return next(state["comment"] for state in states if state["__id__"] == "postgresql.server configured")


@pytest.fixture
def promote(world, tell):
    """Promote by the documented command, and have what it says in the log."""

    def run(minion):
        command = ("salt-run", "--log-level=quiet", "pgpillar.promote", minion, "--out=json")
        told = json.loads(world["salt-master"].run(*command, check=False))
        tell("\n".join([f"salt-run pgpillar.promote {minion}", *told["steps"], told["outcome"]]))
        return told

    return run


@pytest.fixture
def ledger(world, tell, promote):
    """An application of app-1 at work; in the end the roles of the servers are as they were."""
    owned = "create table if not exists ledger (number bigint); truncate ledger"
    ask(world[A], f"set role shop; {owned}", "shop")
    kept = Ledger(world["app-1"], tell)
    kept.start()
    kept.goes_on()
    yield kept
    kept.stop()
    if role(world, A) != "primary":
        promote(A)
    ask(world[A], "drop table ledger", "shop")
    assert nothing_is_left_to_do(world)


def lost(world, primary, ledger, tell, what):
    """Count what the application met; gives the rows that were acknowledged and are gone."""
    ledger.goes_on()
    notes = ledger.notes()
    gone = set(acknowledged(notes)) - set(ask(world[primary], "table ledger", "shop").split())
    tell(
        f"{what}: {len(acknowledged(notes))} rows acknowledged, {len(gone)} of them lost,"
        f" {errors(notes)} errors, longest gap {longest_gap(notes):.1f} s"
    )
    return gone


def test_it_follows_by_verified_tls_with_a_slot_of_its_own(world):
    told = [row.split("|") for row in ask(world[A], SENDERS).splitlines()]
    assert told == [[B, "streaming", "t", "pgpillar_postgresql_replica"]]
    conninfo = ask(world[B], "show primary_conninfo")
    assert "sslmode='verify-full'" in conninfo
    assert "no-secret" not in conninfo
    assert world[B].sh(f"stat -c '%a %U' {PASSFILE}").strip() == "600 postgres"


def test_a_new_password_is_taken_from_pillar(world):
    with world.edited(SECRET, "no-secret-in-dev-replicator", "another-of-no-secret"):
        assert world.highstate(A)[A]
        assert world.highstate(B)[B]
        world[B].sh("systemctl restart postgresql@17-main")  # so that it logs in anew
        world[B].wait_for(STREAMS)
        assert verb(world, B, "pg_server.fault") is None
        assert world.highstate("postgresql-*") == {A: {}, B: {}}
    world.highstate(A)
    world.highstate(B)
    assert nothing_is_left_to_do(world)


def test_a_switchover_loses_nothing(world, promote, ledger, tell):
    assert promote(B)["retcode"] == 0
    assert not lost(world, B, ledger, tell, "switchover")
    assert (role(world, A), role(world, B)) == ("replica", "primary")
    world[B].sh(f"test ! -e {PASSFILE}")
    assert nothing_is_left_to_do(world)
    assert world.highstate("app-*") == {"app-1": {}, "app-2": {}}


def test_a_primary_that_dies_is_replaced_and_comes_back(world, promote, ledger, tell):
    with world.edited(SERVER, ALONE, SAFE):
        world.highstate("postgresql-*")
        ledger.goes_on()
        subprocess.run(["lxc-stop", "--kill", "--name", world[A].container], check=True)
    try:
        assert promote(B)["retcode"] == 0
        world.highstate(B)  # by pillar as it is again, for there is nobody left to wait for
        assert not lost(world, B, ledger, tell, "failover")
    finally:
        subprocess.run(["lxc-start", "--name", world[A].container], check=True)
    world[A].wait_for("pg_lsclusters -h | grep -q online")
    world.wait_for_minions(A)
    # It came up as a primary, and nobody believes it
    assert world.highstate("app-1") == {"app-1": {}}
    assert f"{B} was promoted in its place" in server_state(world, A)
    assert "down" in world[A].sh("pg_lsclusters -h")
    told = verb(world, A, "pg_server.rejoin")
    if isinstance(told, str):  # it had answered what was never sent
        tell(told)
        told = verb(world, A, "pg_server.rejoin", "discard=True")
    assert told["rewound"]
    assert (role(world, A), role(world, B)) == ("replica", "primary")
    assert nothing_is_left_to_do(world)


def test_one_that_is_too_far_behind_is_told_and_copied_anew(world):
    keep = "    memory: 512\n    settings: {max_slot_wal_keep_size: 16MB}\n"
    with world.edited(SERVER, "    memory: 512\n", keep):
        world.highstate(A)
        world[B].sh("systemctl stop postgresql@17-main")
        ask(
            world[A], "create table bulk as select generate_series(1, 2000000) n; drop table bulk; checkpoint"
        )
        assert "it is too far behind" in server_state(world, B)
        assert verb(world, B, "pg_server.rebuild") == {"kept": None}
        world[B].wait_for(STREAMS)
    world.highstate("postgresql-*")
    assert nothing_is_left_to_do(world)


def test_one_that_is_to_go_leaves_no_slot(world):
    assert "follows this server now" in verb(world, A, "pg_server.forget", B)
    verb(world, B, "pg_server.stop")
    assert verb(world, A, "pg_server.forget", B) is True
    assert ask(world[A], "select count(*) from pg_replication_slots") == "0"
    assert world.highstate(B)[B]
    assert nothing_is_left_to_do(world)


def test_one_is_added_by_a_line_and_taken_away_whole(world):
    with world.edited("Vagrantfile", HOST, HOST + ADDED_HOST):
        try:
            with world.edited("pillar/roles.yaml", ROLES, ROLES + ADDED_ROLES):
                on_checkout(world.checkout, "up")
                assert_it_is_one_of_them(world)
                take_away(world)
        finally:
            subprocess.run(["vagrant", "destroy", "--force", ADDED], cwd=world.checkout, check=True)
    assert_nothing_of_it_is_left(world)


def assert_it_is_one_of_them(world):
    Host(ADDED).wait_for(STREAMS)
    slots = {row.split("|")[3] for row in ask(world[A], SENDERS).splitlines()}
    assert slots == {"pgpillar_postgresql_replica", "pgpillar_postgresql_replica_2"}
    told = status(world)
    assert (told["wrong"], told["retcode"]) == ({}, 0)
    assert told["clusters"]["main"]["servers"].keys() == {A, B, ADDED}
    assert world.highstate(ADDED) == {ADDED: {}}
    forget_what_it_said(world, B)
    world.highstate("app-1")
    assert read_only(world) == "10.0.3.22"
    world.salt(B, "mine.update")


def take_away(world):
    """As docs/howto/replicas.rst says, up to where the host itself goes."""
    forget_what_it_said(world, ADDED)
    world.highstate("app-*")
    assert read_only(world) == "10.0.3.21"
    verb(world, ADDED, "pg_server.stop")
    assert verb(world, A, "pg_server.forget", ADDED) is True


def assert_nothing_of_it_is_left(world):
    assert ask(world[A], "select slot_name from pg_replication_slots") == "pgpillar_postgresql_replica"
    known = world["salt-master"].sh("salt-key --list=all; cd /var/cache/salt/master; ls mine pillar grains")
    assert B in known
    assert ADDED not in known
    told = status(world)
    assert (told["wrong"], told["to_do"], told["silent"]) == ({}, {}, {})
    assert ADDED not in json.dumps(told)
    assert world.highstate("*") == {name: {} for name in world.names}


def forget_what_it_said(world, minion):
    world["salt-master"].run("salt-run", "cache.clear_mine", f"tgt={minion}")


def read_only(world):
    """Where the read-only pool of app-1 leads its application."""
    return asked_by_application(world["app-1"], "select host(inet_server_addr())", "shop_ro")


def status(world):
    return json.loads(world["salt-master"].run("salt-run", "pgpillar.status", "--out=json", check=False))
