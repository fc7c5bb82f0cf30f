"""How one server follows another: names of slots, files, who is left behind, and what people are told."""

import pytest
from psycopg2.extensions import parse_dsn

from pgpillar import replication, server
from pgpillar.model import Endpoint, Place, Secret
from pgpillar.pillar import PillarError
from pgpillar.replication import Login, Standing

CLUSTER = Endpoint("db.example.internal", ca_file="/etc/ssl/certs/ca.pem")
PRIMARY = Place("db.example.internal", 5433, "192.0.2.1")
HOSTILE = ("it's", "a b", r"back\slash", "ü", '"quoted"', "a.b_C", "x" * 200)


def following(minion="db-2", password="secret", cluster=CLUSTER, primary=PRIMARY):
    return replication.following(primary, cluster, Login("replicator", Secret(password)), minion)


def test_libpq_reads_how_it_follows_and_finds_no_password_there():
    assert parse_dsn(following().conninfo) == {
        "host": "db.example.internal",
        "hostaddr": "192.0.2.1",
        "port": "5433",
        "user": "replicator",
        "sslmode": "verify-full",
        "sslrootcert": "/etc/ssl/certs/ca.pem",
        "passfile": "/etc/pgpillar/server/replication.pgpass",
        "application_name": "db-2",
        "gssencmode": "disable",
    }


@pytest.mark.parametrize("minion", HOSTILE)
def test_libpq_reads_any_name_of_a_minion(minion):
    found = following(minion)
    assert parse_dsn(found.conninfo)["application_name"] == minion
    assert replication.place_in(found.conninfo) == PRIMARY


def test_the_passfile_holds_the_password_for_its_primary_alone():
    texts = following(password=r"a:b\c").texts
    assert texts == {
        "/etc/pgpillar/server/replication.pgpass": "db.example.internal:5433:*:replicator:a\\:b\\\\c\n"
    }


def test_a_ca_in_pillar_gets_a_file():
    found = following(cluster=Endpoint("db.example.internal", ca="PEM"))
    assert found.texts["/etc/pgpillar/server/replication-ca.pem"] == "PEM"
    assert parse_dsn(found.conninfo)["sslrootcert"] == "/etc/pgpillar/server/replication-ca.pem"


def test_a_slot_is_named_after_its_minion():
    assert replication.slot_of("postgresql-replica") == "pgpillar_postgresql_replica"


@pytest.mark.parametrize("minion", HOSTILE)
def test_postgresql_takes_the_name_of_any_slot(minion):
    slot = replication.slot_of(minion)
    assert set(slot) <= set("abcdefghijklmnopqrstuvwxyz0123456789_")
    assert len(slot) <= 63


def test_no_two_minions_share_a_slot():
    minions = ("a-b", "a_b", "a.b", "A-b", "x" * 200, "x" * 201, *HOSTILE)
    assert len({replication.slot_of(minion) for minion in minions}) == len(minions) - 1  # one stands twice


OWN = Standing(in_recovery=False, timeline=1, system="7")
PROMOTED = {"in_recovery": False, "timeline": 2, "system": "7"}


@pytest.mark.parametrize(
    ("own", "announced", "expected"),
    [
        (OWN, {}, None),
        (OWN, {"db-2": PROMOTED}, "db-2"),
        (OWN, {"db-2": {**PROMOTED, "in_recovery": True}}, None),
        (OWN, {"db-2": {**PROMOTED, "timeline": 1}}, None),
        (OWN, {"db-2": {**PROMOTED, "system": "8"}}, None),
        (OWN, {"db-2": {"in_recovery": False}}, None),
        (OWN, {"db-2": {**PROMOTED, "timeline": "2"}}, None),
        (OWN, {"db-1": "nonsense", "db-2": ["nonsense"]}, None),
        (OWN._replace(in_recovery=True), {"db-2": PROMOTED}, None),
        # Somebody promoted db-2 by hand, to look at it: there are two primaries, and nobody chooses
        (OWN, {"db-1": {"in_recovery": False, "timeline": 1, "system": "7"}, "db-2": PROMOTED}, None),
    ],
)
def test_who_is_left_behind_by_a_promotion(own, announced, expected):
    assert replication.successor("db-1", own, announced) == expected


HISTORY = "1\t0/3000110\tno recovery target specified\n\n2\t1/A0000000\tbefore 2000-01-01\n"


@pytest.mark.parametrize(("timeline", "end"), [(1, "0/3000110"), (2, "1/A0000000"), (3, None)])
def test_where_a_timeline_ended(timeline, end):
    assert replication.end_of(timeline, HISTORY) == end


def test_places_in_the_log_are_in_order():
    places = ["0/3000110", "0/A0000000", "1/0", "F/1", "10/0"]
    assert sorted(places, key=replication.position) == places


def test_what_would_be_lost_is_counted():
    assert replication.loss(["2026-11-20 12:00:01"], "there").startswith(
        "1 transaction committed here, the first"
    )
    assert "2 transactions" in replication.loss(["2026-11-20 12:00:01", "2026-11-20 12:00:02"], "there")


SLOT = [{"wal_status": "reserved"}]
REPLICA, THEIRS = Standing(True, 1, "7"), Standing(False, 1, "7")


@pytest.mark.parametrize(
    ("primary", "slots", "last_words", "expected"),
    [
        (THEIRS._replace(system="8"), SLOT, "", "of another cluster"),
        (THEIRS._replace(in_recovery=True), SLOT, "", "is a replica itself"),
        (THEIRS, [], "", "has no slot"),
        (THEIRS, [{"wal_status": "lost"}], "", "too far behind"),
        (THEIRS, SLOT, "requested WAL segment 000 has already been removed", "too far behind"),
        (THEIRS, SLOT, "new timeline 2 forked off current database system timeline 1", "pg_server.rejoin"),
        (THEIRS, SLOT, "waiting", "its log said last: waiting"),
    ],
)
def test_why_a_replica_does_not_follow(primary, slots, last_words, expected):
    assert expected in replication.not_following(REPLICA, primary, slots, last_words)


def test_a_new_password_has_an_order():
    told = replication.unreachable("cannot connect: password authentication failed for user")
    assert "the primary is to have it first" in told


TREE = {
    "clusters": {"main": {"host": "db.example.internal"}},
    "users": {"replicator": {"attributes": ["replication"], "password": "p"}},
}


def read(**user):
    users = {"replicator": {**TREE["users"]["replicator"], **user}}
    entry = {"networks": ["192.0.2.0/24"], "replication": "replicator"}
    return server.read({**TREE, "users": users, "server": entry}, 1024)


def test_replicas_come_in_to_replicate_and_to_ask():
    assert server.rules_in(read().hba()).keys() == {
        "local all postgres peer",
        "local all pgpillar_bootstrap scram-sha-256",
        'hostssl replication "replicator" 192.0.2.0/24 scram-sha-256',
        'hostssl "postgres" "replicator" 192.0.2.0/24 scram-sha-256',
    }


def test_a_primary_gives_up_a_replica_before_its_disk_is_full():
    assert read().settings["max_slot_wal_keep_size"] == "4GB"


def test_a_replica_is_set_as_its_primary_and_follows_it():
    wanted, found = read(), following()
    assert wanted.follows(found).settings == {
        **wanted.settings,
        "primary_conninfo": found.conninfo,
        "primary_slot_name": "pgpillar_db_2",
    }


@pytest.mark.parametrize(
    ("user", "expected"),
    [
        ({"attributes": []}, "may not; add attributes: [replication]"),
        ({"password": None}, "has no password"),
        ({"state": "absent"}, "is to be absent"),
    ],
)
def test_a_user_that_cannot_replicate_is_told(user, expected):
    with pytest.raises(PillarError) as caught:
        read(**user)
    assert expected in str(caught.value)
