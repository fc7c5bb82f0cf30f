"""What servers say of themselves: a primary, and one that follows it."""

import shutil
import tempfile
from contextlib import closing
from pathlib import Path

import pytest

from devtools import postgres
from pgpillar import connect, vitals
from pgpillar.model import Endpoint, Secret


def vitals_of(server):
    endpoint = Endpoint(
        str(server.socket_dir), port=server.port, user="postgres", password=Secret(server.password)
    )
    with connect.gateway(endpoint) as gateway:
        return vitals.of(gateway)


@pytest.fixture(scope="module", params=filter(postgres.installed, postgres.majors()))
def pair(request):
    """A primary and its replica."""
    directory = Path(tempfile.mkdtemp(prefix="pgp-", dir="/tmp"))
    directory.chmod(0o755)
    first, second = (
        postgres.Server(directory / name, postgres.binaries(request.param), settings=postgres.FAST)
        for name in ("first", "second")
    )
    first.create().start()
    second.follow(first).start()
    yield first, second
    second.remove()
    first.remove()
    shutil.rmtree(directory)


def test_a_primary_and_its_replica(pair):
    first, second = pair
    first.query("create table caught_up ()")
    postgres.wait_for(lambda: second.query("select to_regclass('caught_up')") != [(None,)], "not replicated")
    primary, replica = vitals_of(first), vitals_of(second)
    assert (primary["role"], primary["timeline"], primary["slots"]) == ("primary", 1, [])
    assert [(one["state"], one["name"]) for one in primary["replicas"]] == [("streaming", "walreceiver")]
    assert (replica["role"], replica["timeline"]) == ("replica", 1)
    assert (replica["following"]["state"], replica["following"]["primary_port"]) == ("streaming", first.port)


def test_a_replica_that_is_held_up_is_behind(pair):
    first, second = pair
    second.query("select pg_wal_replay_pause()")
    first.query("create table held_up as select generate_series(1, 10000)")
    with closing(first.connect()) as session, session.cursor() as cursor:
        cursor.execute("select pg_switch_wal()")
    received = "select sent_lsn = pg_current_wal_lsn() and flush_lsn = sent_lsn from pg_stat_replication"
    postgres.wait_for(lambda: first.query(received) == [(True,)], "not received")
    assert vitals_of(first)["replicas"][0]["lag_bytes"] > 100_000
    postgres.wait_for(lambda: vitals_of(second)["following"]["lag_seconds"] > 0, "no time is behind")
    second.query("select pg_wal_replay_resume()")


def test_a_replica_that_lost_its_primary_says_so(pair):
    first, second = pair
    first.stop()
    postgres.wait_for(lambda: vitals_of(second)["following"]["state"] == "not connected", "still connected")
    first.start()
