"""How everything is: answers of minions in, data and a table out."""

import copy
import re

import pytest

from pgpillar import faults, logins, screen, status
from pgpillar.discovery import Servers
from pgpillar.model import Place
from pgpillar.status import drift_of, roles_of

ROLES = {
    "app-1": ["shop"],
    "app-2": ["shop", "wiki"],
    "db-1": ["db-server"],
    "db-2": ["db-replica"],
    "salt-master": ["ca"],
}
FOLLOWER = {"name": "db-2", "address": "192.0.2.2", "state": "streaming", "lag_bytes": 0, "lag_seconds": 0.0}
PRIMARY = {"role": "primary", "timeline": 1, "lsn": "0/3000148", "replicas": [FOLLOWER], "slots": []}
REPLICA = {"role": "replica", "timeline": 1, "lsn": "0/3000148"}
FOLLOWING = {"state": "streaming", "lag_seconds": 0.0}


def server(address, standing):
    return {
        "cluster": "main",
        "addresses": [address],
        "standing": standing,
        "certificate": {"days_left": 89},
        "waits": [],
        "drift": {"pg_server.plan": 0},
    }


def pool(*addresses, waiting=0, longest=0):
    return {"leads_to": [*addresses], "cl_waiting": waiting, "maxwait": longest}


ADMIN = {"main": {"drift": {"pg_access.plan": 0}}}
WELL = {
    "app-1": {
        "node": {
            "pools": {"shop": pool("192.0.2.1"), "shop_ro": pool("192.0.2.2")},
            "drift": {"pgbouncer.plan": 0, "pg_client.plan": 0},
        }
    },
    "app-2": {"node": {"pools": {"wiki": pool("192.0.2.1")}, "drift": {"pgbouncer.plan": 0}}},
    "db-1": {"server": server("192.0.2.1", PRIMARY), "clusters": ADMIN},
    "db-2": {"server": server("192.0.2.2", {**REPLICA, "following": FOLLOWING}), "clusters": ADMIN},
    "salt-master": {},
}
TABLE = """\
   HOST         IS               STATE                  BEHIND    CERT     HIGHSTATE
   db-1         primary of main  up, timeline 1                   89 days  nothing
   db-2         replica of main  streaming, timeline 1  0 B, 0 s  89 days  nothing
   app-1        2 pools          1 → db-1, 1 → db-2                        nothing
   app-2        1 pool           1 → db-1                                  nothing
   salt-master  ca               no server, no pools

All is well."""


def test_all_is_well():
    found = status.of(ROLES, WELL)
    assert screen.drawn(found, 120, False).split("\n") == TABLE.split("\n")
    assert (found["retcode"], found["wrong"], found["to_do"]) == (0, {}, {})


@pytest.fixture
def answers():
    """Answers that a test spoils."""
    return copy.deepcopy(WELL)


def found(answers):
    return status.of(ROLES, answers)


def test_who_does_not_answer_is_said_so(answers):
    del answers["app-2"], answers["db-2"]
    told = found(answers)
    assert told["silent"] == {"app-2": ["shop", "wiki"], "db-2": ["db-replica"]}
    assert sorted(told["wrong"]) == ["app-2", "db-2"]
    assert re.search(r"✗  app-2 +shop, wiki +did not answer", screen.drawn(told, 120, False))
    # What the primary sees of the replica is not lost
    assert "db-2 192.0.2.2  replica of main  streaming" in screen.drawn(told, 120, False)


def test_who_has_no_newest_modules_is_said_so(answers):
    answers["app-2"] = "'pg_status.here' is not available."
    assert "salt app-2 saltutil.sync_all" in found(answers)["wrong"]["app-2"][0]


def test_a_minion_that_failed_says_why(answers):
    told = logins.report(
        {"db-1": []}, {"db-1": "ERROR: pillar has 1 problem\n- postgresql:server: it is wrong"}
    )
    assert told["wrong"] == {"db-1": ["cannot tell: pillar has 1 problem - postgresql:server: it is wrong"]}


@pytest.mark.parametrize(
    "nonsense",
    [
        ["list"],
        17,
        {"server": "main"},
        {"server": {"cluster": ["main"]}},
        {"server": server("192.0.2.9", {"role": "replica"})},
        {"server": server("192.0.2.9", {**PRIMARY, "replicas": [{}]})},
        {"clusters": {"main": []}},
        {"node": {"pools": {"shop": {}}, "drift": {}}},
        {"node": {"pools": {}, "drift": {"pgbouncer.plan": "many"}}},
    ],
)
def test_nonsense_of_one_minion_hides_nobody_else(answers, nonsense):
    answers["app-2"] = nonsense
    told = found(answers)
    assert "what it says is of another form" in told["wrong"].pop("app-2")[0]
    assert (told["wrong"], told["clusters"]["main"]["primaries"]) == ({}, ["db-1"])


def break_in_two(answers):
    answers["db-2"]["server"]["standing"] = {**PRIMARY, "replicas": []}


def lose_the_primary(answers):
    answers["db-1"]["server"]["standing"] = {"trouble": "cannot connect to db-1: refused"}


def cut_the_replica(answers):
    answers["db-1"]["server"]["standing"]["replicas"] = []
    answers["db-1"]["server"]["standing"]["lsn"] = "1/0"
    answers["db-2"]["server"]["standing"]["following"]["state"] = "not connected"


def hold_the_replica_up(answers):
    answers["db-2"]["server"]["standing"]["following"]["lag_seconds"] = 61.0


def let_the_certificate_end(answers):
    answers["db-1"]["server"]["certificate"]["days_left"] = 1


def leave_a_slot(answers):
    slot = {"name": "old", "active": False, "wal_status": "reserved", "kept_bytes": 5 << 30}
    answers["db-1"]["server"]["standing"]["slots"] = [slot]


def crowd_a_pool(answers):
    answers["app-1"]["node"]["pools"]["shop"] = pool("192.0.2.1", waiting=3, longest=12)


def stop_a_pgbouncer(answers):
    answers["app-1"]["node"]["pools"] = {"trouble": "pgbouncer did not take 'SHOW POOLS'"}


def find_its_own_fault(answers):
    cut_the_replica(answers)
    answers["db-2"]["server"]["fault"] = "its slot has lost what it needs; salt db-2 pg_server.rebuild"


def spoil_the_plan(answers):
    answers["db-1"]["clusters"]["main"]["drift"]["pg_access.plan"] = {"trouble": "shop: it is locked"}


@pytest.mark.parametrize(
    ("spoil", "where", "what"),
    [
        (break_in_two, "main", "has more than one primary: db-1 and db-2"),
        (lose_the_primary, "main", "no server of it that answers is the primary"),
        (lose_the_primary, "db-1", "cannot connect to db-1: refused"),
        (cut_the_replica, "db-2", "does not follow its primary: not connected"),
        (find_its_own_fault, "db-2", "its slot has lost what it needs; salt db-2 pg_server.rebuild"),
        (hold_the_replica_up, "db-2", "is 61 s behind its primary"),
        (let_the_certificate_end, "db-1", "its certificate ends in 1 day"),
        (leave_a_slot, "db-1", "slot old: nobody uses it, and it keeps 5 GB of the log"),
        (crowd_a_pool, "app-1", "pool shop: 3 clients waiting, one for 12 s"),
        (stop_a_pgbouncer, "app-1", "pgbouncer did not take 'SHOW POOLS'"),
        (spoil_the_plan, "db-1", "shop: it is locked"),
    ],
)
def test_what_is_wrong_is_told(answers, spoil, where, what):
    spoil(answers)
    told = found(answers)
    assert told["retcode"] == 1
    assert any(sentence.startswith(what) for sentence in told["wrong"][where])
    assert f"✗ {where}: {what}" in screen.drawn(told, 200, False)


DOWN = "it is down; highstate starts it, or see its log"
REFUSED = {"trouble": "cannot connect to /run/postgresql:5432: is it running?"}


def stop_the_replica(answers):
    """As all its functions tell it, and its primary."""
    there = {
        "standing": REFUSED,
        "fault": DOWN,
        "drift": {"pg_server.plan": 1, "pg_server.unannounced": REFUSED},
    }
    answers["db-2"]["server"] |= there
    answers["db-2"]["clusters"] = {"main": {"drift": {"pg_access.plan": REFUSED}}}
    slot = {"name": "pgpillar_db_2", "active": False, "wal_status": "reserved", "kept_bytes": 56}
    answers["db-1"]["server"]["standing"] |= {"replicas": [], "slots": [slot]}


def test_a_server_that_is_down_is_told_once(answers):
    stop_the_replica(answers)
    told = found(answers)
    assert (told["wrong"], told["to_do"]) == ({"db-2": [DOWN]}, {})
    assert re.search(r"✗ +db-2 .* at least 1 change$", screen.drawn(told, 120, False), re.M)


def test_a_certificate_that_should_long_have_been_renewed_is_told_once(answers):
    let_the_certificate_end(answers)
    answers["db-1"]["server"]["drift"] = {"pg_server.plan": 1, "pg_server.plan_certificate": 1}
    told = found(answers)
    assert told["wrong"] == {"db-1": ["its certificate ends in 1 day; a highstate renews it"]}
    (task,) = told["to_do"]["db-1"]
    assert "salt db-1 pg_server.plan tells" in task


def test_what_is_wrong_at_several_places_is_told_once_with_all_of_them(answers):
    for name in ("app-1", "app-2"):
        answers[name]["node"]["drift"] = {"pgbouncer.plan": {"trouble": "pillar has 1 problem"}}
    del answers["db-2"], answers["salt-master"]
    shown = screen.drawn(found(answers), 120, False)
    assert "✗ app-1, app-2: pillar has 1 problem\n" in shown + "\n"
    assert "✗ db-2, salt-master: did not answer; is the host up, and salt-minion on it?" in shown
    assert shown.count("pillar has 1 problem") == 1


def test_a_replica_that_is_not_connected_is_behind_by_what_the_logs_say(answers):
    cut_the_replica(answers)
    behind = found(answers)["clusters"]["main"]["servers"]["db-2"]["behind"]
    assert behind == {"state": "not connected", "bytes": (1 << 32) - 0x3000148, "seconds": 0.0}


@pytest.mark.parametrize(
    ("minion", "part", "drift", "expected"),
    [
        ("db-1", "server", {"pg_server.plan": 2}, "salt db-1 pg_server.plan"),
        ("app-1", "node", {"pgbouncer.plan": 0, "pg_client.plan": 1}, "salt app-1 pg_client.plan"),
    ],
)
def test_what_is_not_as_pillar_says_is_to_be_done(answers, minion, part, drift, expected):
    answers[minion][part]["drift"] = drift
    told = found(answers)
    assert (told["retcode"], told["wrong"]) == (2, {})
    assert expected in told["to_do"][minion][0]
    assert re.search(rf"• +{minion} .* {sum(drift.values())} changes?$", screen.drawn(told, 120, False), re.M)


def test_settings_that_wait_for_a_restart_are_to_be_done(answers):
    answers["db-1"]["server"]["waits"] = ["shared_buffers", "wal_level"]
    assert found(answers)["to_do"]["db-1"][0].startswith(
        "shared_buffers, wal_level: in force after a restart"
    )


def test_settings_that_cannot_be_asked_for_do_not_wait(answers):
    answers["db-1"]["server"]["waits"] = {"trouble": "pillar has 1 problem"}
    assert (found(answers)["wrong"], found(answers)["to_do"]) == ({"db-1": ["pillar has 1 problem"]}, {})


def test_a_replica_is_not_asked_twice_what_pillar_says(answers):
    answers["db-2"]["clusters"] = {"main": {"drift": {"pg_access.plan": 3}}}
    assert found(answers)["to_do"] == {}


def test_a_cluster_without_a_minion_on_its_server(answers):
    answers = {"db-admin-1": {"clusters": ADMIN}}
    told = status.of({"db-admin-1": ["db-admin"]}, answers)
    assert "db-admin-1  admin of main  reaches it" in screen.drawn(told, 120, False)


HOSTED = {"drift": {"pg_access.plan": 0}}
UNSEEN = {"trouble": "cannot see the certificate of db.example.internal:5432: timed out"}


@pytest.mark.parametrize(
    ("told", "cell", "wrong"),
    [
        ({"certificate": {"days_left": 89}}, "89 days", []),
        (
            {"certificate": {"days_left": 3}},
            "3 days",
            ["the certificate of cluster main ends in 3 days; renew it where that is hosted"],
        ),
        ({"certificate": UNSEEN}, "?", [UNSEEN["trouble"]]),
        ({"certificate": UNSEEN, "drift": {"pg_access.plan": REFUSED}}, "?", [REFUSED["trouble"]]),
        ({}, "", []),  # of modules that do not tell it yet
    ],
)
def test_the_certificate_of_a_hosted_cluster_is_that_which_its_admin_sees(told, cell, wrong):
    found = status.of(
        {"db-admin-1": ["db-admin"]}, {"db-admin-1": {"clusters": {"main": {**HOSTED, **told}}}}
    )
    assert found["wrong"].get("db-admin-1", []) == wrong
    row = next(line for line in screen.drawn(found, 120, False).split("\n") if "admin of main" in line)
    assert cell in row


@pytest.mark.parametrize("width", [60, 80, 100])
def test_a_terminal_is_wide_enough(answers, width):
    crowd_a_pool(answers)
    lines = screen.drawn(found(answers), width, False).split("\n")
    assert max(map(len, lines)) <= width


def test_a_name_is_only_a_name(answers):
    evil = "app\n\x1b[2J\u202e"
    answers[evil] = answers.pop("app-1")
    shown = screen.drawn(status.of({**ROLES, evil: ["shop"]}, answers), 120, False)
    assert r"app\n\x1b[2J\u202e" in shown
    assert "\x1b" not in shown


def test_there_is_colour_where_it_is_asked_for(answers):
    leave_a_slot(answers)
    plain = screen.drawn(found(answers), 120, False)
    coloured = screen.drawn(found(answers), 120, True)
    assert "\x1b[31m✗ db-1" in coloured
    assert re.sub(r"\x1b\[\d+m", "", coloured) == plain


@pytest.mark.parametrize(
    ("count", "told"), [(None, "?"), (0, "0 B"), (1023, "1.02e+03 B"), (1 << 20, "1 MB"), (3 << 39, "1.5 TB")]
)
def test_sizes(count, told):
    assert faults.size(count) == told


def test_roles_are_those_of_every_entry_that_fits():
    entries = {"app-*": ["shop"], "app-2": ["wiki", "shop"], "db-9": ["db-server"]}
    assert roles_of(["app-1", "app-2", "other"], entries) == {"app-1": ["shop"], "app-2": ["shop", "wiki"]}


def test_a_plan_is_counted_unless_a_part_could_not_be_read():
    plan = {"changes": {"roles": {"shop": ["new", "login"]}}, "failures": {}}
    assert drift_of(plan) == 2
    assert drift_of({**plan, "failures": {"shop": "it is locked"}}) == {"trouble": "shop: it is locked"}


def login(user, server, verdict="ok", **more):
    return {"cluster": "main", "user": user, "server": server, "role": "primary", "login": verdict, **more}


def test_logins_of_several_minions_are_told_once_each():
    refused = login("wiki", "db-1:5432", "password authentication failed")
    answers = {"app-1": [login("shop", "db-1:5432")], "db-1": [login("shop", "db-1:5432"), refused]}
    told = logins.report(ROLES, {**answers, "app-2": [], "db-2": []})
    assert [(row["user"], row["from"]) for row in told["logins"]] == [
        ("shop", ["app-1", "db-1"]),
        ("wiki", ["db-1"]),
    ]
    assert (told["wrong"].keys(), told["retcode"]) == ({"salt-master", "wiki"}, 1)
    shown = screen.drawn(told, 120, False)
    assert re.search(r"✗ +wiki +main +primary db-1:5432 +db-1 +refused", shown)
    assert "✗ wiki: password authentication failed" in shown


TREE = {
    "clusters": {
        "main": {"host": "db.example.internal", "ca_file": "/ca"},
        "other": {"host": "o.example.internal"},
    },
    "databases": {
        "shop": {"owner": "shop", "access": {"shop_app": "write"}},
        "wiki": {"owner": "wiki", "cluster": "other"},
    },
    "users": {
        "shop_app": {"password": "one"},
        "wiki": {"password": "two"},
        "gone": {"state": "absent"},
        "idle": {"password": "x"},
    },
}


def test_each_user_with_a_password_logs_in_to_each_server_of_its_clusters():
    primary, replica = Place("db.example.internal"), Place("db-2.example.internal", 5432, "192.0.2.2")
    tree = copy.deepcopy(TREE)
    tree["databases"]["shop"]["cluster"] = "main"
    found = logins.of(tree, lambda cluster, endpoint: Servers(primary, (replica, primary)))
    assert [(one.cluster, one.user, one.server, one.is_replica, one.endpoint.database) for one in found] == [
        ("main", "shop_app", primary, False, "shop"),
        ("main", "shop_app", replica, True, "shop"),
        ("other", "wiki", primary, False, "wiki"),
        ("other", "wiki", replica, True, "wiki"),
    ]
    assert found[0].endpoint.password.reveal() == "one"
    assert "one" not in repr(found[0].told("ok"))


def test_the_user_of_replicas_logs_in_where_they_do():
    replicator = {"password": "three", "attributes": ["replication"]}
    tree = {
        "clusters": {"main": TREE["clusters"]["main"]},
        "users": {"replicator": replicator, "other": replicator},
        "server": {"replication": "replicator"},
    }
    (found,) = logins.of(tree, lambda cluster, endpoint: Servers(Place("db.example.internal"), ()))
    assert (found.cluster, found.user, found.endpoint.database) == ("main", "replicator", "postgres")
