"""What a replica asks of its primary, as the user of replication alone."""

import shutil
import tempfile
from contextlib import closing
from pathlib import Path

import pytest

from devtools import postgres
from pgpillar import replication
from pgpillar.connect import ClusterError
from pgpillar.model import Endpoint, Place, Secret
from pgpillar.replica import Primary
from pgpillar.replication import Login

SMALL = {"wal_keep_size": "0", "min_wal_size": "32MB", "max_wal_size": "32MB"}


def primary(server, minion="db-2", password="secret"):
    """The server as the replica of a minion comes in to it."""
    place = Place(str(server.socket_dir), server.port)
    login = Login("it's a replicator", Secret(password))
    return Primary(replication.following(place, Endpoint(place.host), login, minion))


@pytest.fixture(scope="module", params=filter(postgres.installed, postgres.majors()))
def pair(request):
    """A primary and its replica."""
    directory = Path(tempfile.mkdtemp(prefix="pgp-", dir="/tmp"))
    directory.chmod(0o755)
    settings = {**postgres.FAST, **SMALL}
    first, second = (
        postgres.Server(directory / name, postgres.binaries(request.param), settings=settings)
        for name in ("first", "second")
    )
    first.create().start()
    first.query("""create role "it's a replicator" login replication password 'secret'""")
    second.follow(first).start()
    yield first, second
    second.remove()
    first.remove()
    shutil.rmtree(directory)


@pytest.mark.parametrize("minion", ["db-2", "it's", "ü" * 100])
def test_it_makes_a_slot_of_its_own(pair, minion):
    asked = primary(pair[0], minion)
    assert asked.slot() is None
    asked.reserve()
    assert asked.slot() == {"active": False, "wal_status": "reserved"}
    asked.renew()
    assert asked.slot()["wal_status"] == "reserved"
    pair[0].query("select pg_drop_replication_slot(slot_name) from pg_replication_slots")


def test_a_slot_that_was_given_up_is_made_anew(pair):
    asked = primary(pair[0])
    asked.reserve()
    for number in range(4):
        pair[0].query(f"create table filled_{number} as select generate_series(1, 200000)")
        pair[0].query("select pg_switch_wal()::text")
    keep(pair[0], "1MB")
    assert asked.slot()["wal_status"] == "lost"
    asked.renew()
    assert asked.slot()["wal_status"] == "reserved"


def keep(server, size):
    """Have it hold so much for its slots, and see to it now."""
    with closing(server.connect()) as session, session.cursor() as cursor:
        session.autocommit = True
        cursor.execute("alter system set max_slot_wal_keep_size = %s", [size])
        cursor.execute("select pg_reload_conf(), pg_sleep(0.1)")
        cursor.execute("checkpoint")


def test_a_wrong_password_is_told(pair):
    with pytest.raises(ClusterError, match="password authentication failed"):
        primary(pair[0], password="another").standing()


def test_it_learns_where_the_two_parted(pair):
    first, second = pair
    before = primary(first).standing()
    assert (before.in_recovery, before.timeline) == (False, 1)
    assert primary(first).history(before.timeline) == ""
    second.promote()
    after = primary(second).standing()
    assert (after.in_recovery, after.timeline, after.system) == (False, 2, before.system)
    (written,) = second.query("select pg_current_wal_lsn()::text")
    end = replication.end_of(1, primary(second).history(after.timeline))
    assert 0 < replication.position(end) <= replication.position(written[0])
