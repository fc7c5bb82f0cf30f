"""Hosts die, the master is away, a disk is full, a clock is wrong, packets are lost; and a ledger is kept."""

import json
from collections import Counter
from contextlib import contextmanager
from itertools import pairwise
from pathlib import Path

import pytest

from devtools import hosts
from tests.hosts.conftest import failed

PROGRAM, NOTES = "/opt/ledger.py", "/var/lib/ledger.notes"
SERVICES = "PGSERVICEFILE=/etc/pgpillar/clients/shop_app/pg_service.conf"

HOLDINGS = "pillar/postgresql/server.sls"
DEPOT = HOLDINGS, "    wiki: wiki\n", "    wiki: wiki\n    depot: shop\n"
MORE = HOLDINGS, "postgresql:\n", "postgresql:\n  pools: {shop_more: {database: shop, user: shop_app}}\n"


class Ledger:
    """An application on one of the hosts; see ledger.py."""

    def __init__(self, host, tell):
        self.host, self.tell = host, tell

    def start(self):
        self.host.write(PROGRAM, Path(__file__).with_name("ledger.py").read_text())
        unit = ["systemd-run", "--quiet", "--unit=ledger", f"--setenv={SERVICES}"]
        self.host.run(*unit, "/opt/salt/bin/python", PROGRAM, NOTES)

    def stop(self):
        self.host.sh(f"systemctl stop ledger; rm -f {PROGRAM} {NOTES}")

    def notes(self):
        """When, and what came of it: ``ok NUMBER``, or the complaint."""
        lines = (line.split(" ", 1) for line in self.host.run("cat", NOTES).splitlines())
        return [(float(when), said) for when, said in lines]

    def goes_on(self):
        """Return once another row is acknowledged."""
        self.host.wait_for(f"tail -fn0 {NOTES} | timeout 60 grep -qm1 ' ok '")

    @contextmanager
    def counted(self, day):
        """Count what this application notices of a bad day, until it goes on."""
        before = len(self.notes())
        yield
        self.goes_on()
        notes = self.notes()[before - 1 :]
        self.tell(f"ledger, {day}: {errors(notes)} errors, longest gap {longest_gap(notes):.1f} s")

    def balance(self):
        """Each acknowledged row is there, and once."""
        notes = self.notes()
        told = acknowledged(notes)
        rows = Counter(self.host.sh(f"{SERVICES} psql service=shop -qAtXc 'table ledger'").split())
        lost, twice = set(told) - set(rows), [number for number, count in rows.items() if count > 1]
        self.tell(
            f"ledger: {rows.total()} rows, {len(told)} acknowledged, {len(lost)} lost, {len(twice)} twice,"
            f" {errors(notes)} errors, longest gap {longest_gap(notes):.1f} s"
        )
        assert told
        assert not lost
        assert not twice


def acknowledged(notes):
    return [said.removeprefix("ok ") for _, said in notes if said.startswith("ok ")]


def errors(notes):
    return sum(not said.startswith("ok ") for _, said in notes)


def longest_gap(notes):
    times = [when for when, said in notes if said.startswith("ok ")]
    return max((later - earlier for earlier, later in pairwise(times)), default=0)


@pytest.fixture(scope="module", autouse=True)
def ledger(world, tell):
    owner = "set role shop; create table ledger (number bigint not null)"
    sql(world, owner, "shop")
    kept = Ledger(world["app-1"], tell)
    kept.start()
    kept.goes_on()
    yield kept
    kept.balance()
    kept.stop()
    sql(world, "drop table ledger", "shop")


def sql(world, statement, database="postgres"):
    return world[hosts.PRIMARY].run(
        "runuser", "-u", "postgres", "--", "psql", "-qAtX", "-d", database, "-c", statement
    )


@pytest.mark.parametrize(("name", "edit"), [(hosts.PRIMARY, DEPOT), ("app-2", MORE)])
def test_a_host_that_dies_in_the_middle_of_a_highstate(world, ledger, name, edit):
    with world.edited(*edit), ledger.counted(f"{name} dies"):
        world[hosts.MASTER].run("salt", "--async", name, "state.highstate")
        world[name].wait_for("ls /var/cache/salt/minion/proc | grep -q .")
        world[name].kill()
        world[name].start()
        world.wait_for_minions(name)
        world.highstate(name)
        assert world.highstate(name) == {name: {}}
    assert name != hosts.PRIMARY or "depot" in sql(world, "select datname from pg_database")
    world.highstate(name)
    sql(world, "drop database if exists depot")


def test_the_master_is_away(world, ledger):
    with ledger.counted("the master is away"), stopped(world[hosts.MASTER], "salt-master"):
        assert "Unable to sign_in to master" in world["app-1"].attempt("salt-call state.highstate")
        ledger.goes_on()
    for name in world.names:
        world.wait_for_minions(name)
    assert world.highstate("*") == {name: {} for name in world.names}


@contextmanager
def stopped(host, service):
    host.run("systemctl", "stop", service)
    try:
        yield
    finally:
        host.run("systemctl", "start", service)


def test_a_minion_without_its_pillar_says_so_and_changes_nothing(world, ledger):
    given_none = "was given no pillar"
    assert given_none in world["app-1"].attempt("salt-call --local pgbouncer.plan")
    states = "--file-root=/srv/pgpillar/salt --retcode-passthrough"
    assert given_none in world[hosts.PRIMARY].attempt(f"salt-call --local {states} state.highstate")
    ledger.goes_on()
    assert world.highstate(hosts.PRIMARY) == {hosts.PRIMARY: {}}


def test_the_disk_of_the_server_is_full(world, ledger):
    server = world[hosts.PRIMARY]
    with ledger.counted("two restarts, and a full disk"), small_disk(server), world.edited(*DEPOT):
        server.sh(f"cd {DATA}; head -c $(($(stat -fc '%a * %S' .) - 1000000)) /dev/zero > ballast")
        (state,) = failed(world.salt(server.name, "state.highstate")[server.name])
        assert "No space left on device" in state["comment"]
        assert "make room on the server" in state["comment"]
        ledger.goes_on()
        server.sh(f"rm {DATA}/ballast")
        assert world.highstate(server.name)[server.name]
        assert world.highstate(server.name) == {server.name: {}}
    world.highstate(server.name)
    sql(world, "drop database depot")


DATA = "/var/lib/postgresql/*/main"


@contextmanager
def small_disk(server):
    """Have the server's data on a disk with little room."""
    units = "'postgresql@*'"
    server.sh(f"""
        systemctl stop {units}; cd {DATA}/..; mv main large; install -d -m 0700 -o postgres -g postgres main
        mount -t tmpfs -o size=$(($(du -sm large | cut -f1) + 60))m,mode=0700 tmpfs main
        cp -a large/. main; systemctl start postgresql
    """)
    try:
        yield
    finally:
        server.sh(f"""
            cd {DATA}/..; rm -rf main/ballast large; systemctl stop {units}; cp -a main large; umount main
            rmdir main; mv large main; systemctl start postgresql
        """)


@pytest.mark.parametrize(
    ("offset", "said"), [("-2d", "certificate is not yet valid"), ("+100d", "certificate has expired")]
)
def test_a_clock_is_wrong(world, ledger, offset, said):
    app = world["app-1"]
    app.sh("which faketime || { apt-get update -q; apt-get install -qy faketime; }")
    with world.edited(*MORE):
        call = "salt-call --out=json state.apply postgresql.client"
        state, *_ = failed(json.loads(app.sh(f"faketime -f {offset} {call} 2>&-", check=False))["local"])
    assert f"{said}, by the clock of this machine" in state["comment"]
    assert "set the clock" in state["comment"]
    ledger.goes_on()
    assert world.highstate(app.name) == {app.name: {}}


def test_a_node_is_cut_off_from_the_server(world, ledger):
    server, app = world[hosts.PRIMARY], world["app-1"]
    rule = f"INPUT -s {app.address} -p tcp --dport 5432 -j DROP"
    with ledger.counted("app-1 is cut off from the server"):
        server.sh(f"iptables -I {rule}")
        app.sh(f"tail -fn0 {NOTES} | grep -qm1 'no answer'")
        with world.edited(*MORE):
            (state,) = failed(world.salt(app.name, "state.highstate")[app.name])
        server.sh(f"iptables -D {rule}")
    assert "is a firewall between here and the server?" in state["comment"]
    assert world.highstate(app.name) == {app.name: {}}
