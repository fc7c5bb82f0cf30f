"""In which order a server is promoted, and what is refused with nothing done."""

import pytest

from pgpillar.switch import Failed, Silent, Switch

TOPS = {"app-1": {"base": ["tls.trust", "postgresql.client"]}}
SERVER = {"base": ["postgresql.server"]}
STREAMING = {"state": "streaming", "primary_host": "db.example.internal"}
PRIMARY = {"role": "primary", "lsn": "0/5000000"}
REPLICA = {"role": "replica", "lsn": "0/5000000", "following": STREAMING}
ALONE = {"role": "replica", "lsn": "0/5000000", "following": {"state": "not connected"}}
DOWN = Silent("its minion does not answer")


class Minions:
    """Answers as minions would, and notes what they were asked to do."""

    def __init__(self, status, fails=(), tops=TOPS, dials=False):
        self.status, self.fails, self.dials, self.done = status, fails, dials, []
        self.tops = {**tops, **{minion: DOWN if told is DOWN else SERVER for minion, told in status.items()}}

    def __call__(self, minions, function, *arguments, promptly=False):
        silent = {minion for minion in minions if self.tops[minion] is DOWN}
        assert promptly or not silent, "whoever is silent is waited for once"
        if function == "pg_server.status":
            return {minion: self.status[minion] for minion in minions}
        if function == "state.show_top":
            return {minion: self.tops[minion] for minion in minions}
        if function == "pg_server.peers":
            return {minion: self._peers(minion) for minion in minions}
        if function == "pg_server.reaches_primary":
            return dict.fromkeys(minions, self.dials)
        self.done.append((*minions, function, *arguments))
        return {minion: self._answer(minion, function) for minion in minions}

    def _peers(self, minion):
        return ["main", list(self.status)] if minion in self.status else Failed("no PostgreSQL is installed")

    def _answer(self, minion, function):
        if function in self.fails:
            return Failed("no")
        return {"pg_server.stop": "0/5000028", "pg_server.promote": True}.get(function, {"rewound": False})

    def unsay(self, minion, cluster):
        self.done.append((minion, "unsay", cluster))


def switch(status, fails=(), target="db-2", **more):
    minions = Minions(status, fails, **more)
    return Switch(target, [*minions.tops], minions, minions.unsay).run(), minions.done


def test_a_switchover_stops_the_primary_before_another_is_promoted():
    told, done = switch({"db-1": PRIMARY, "db-2": REPLICA, "db-3": REPLICA})
    assert told["retcode"] == 0
    assert done == [
        ("db-2", "db-1", "db-3", "saltutil.refresh_pillar", True),
        ("db-1", "pg_server.stop"),
        ("db-2", "pg_server.catch_up", "0/5000028"),
        ("db-2", "pg_server.promote"),
        ("db-1", "unsay", "main"),
        ("db-2", "mine.update"),
        ("app-1", "state.apply", "postgresql.client"),
        ("db-2", "pg_server.configure"),
        ("db-1", "pg_server.rejoin"),
        ("db-3", "pg_server.configure"),
        ("db-1", "mine.update"),
        ("db-3", "mine.update"),
        ("app-1", "state.apply", "postgresql.client"),
    ]


def test_a_failover_takes_out_what_the_dead_one_said_and_leaves_it_alone():
    told, done = switch({"db-1": DOWN, "db-2": ALONE})
    assert told["retcode"] == 0
    assert ("db-1", "unsay", "main") in done
    assert [one for one in done if one[0] == "db-1"] == [("db-1", "unsay", "main")]
    assert any("what it committed after 0/5000000" in step for step in told["steps"])


def test_a_replica_that_does_not_catch_up_has_the_primary_started_again():
    told, done = switch({"db-1": PRIMARY, "db-2": REPLICA}, fails=["pg_server.catch_up"])
    assert told["outcome"] == "stopped: db-2: pg_server.catch_up: no"
    assert done[-1] == ("db-1", "pg_server.configure")
    assert ("db-2", "pg_server.promote") not in done


def test_a_node_whose_pools_cannot_be_led_keeps_nobody_from_the_rest():
    told, done = switch({"db-1": PRIMARY, "db-2": REPLICA}, fails=["state.apply"])
    assert told["retcode"] == 1
    assert told["outcome"].startswith("db-2 is the primary; the pools of app-1 are not led there")
    assert ("db-1", "pg_server.rejoin") in done


def test_run_again_it_finishes_what_was_cut():
    told, done = switch({"db-1": DOWN, "db-2": PRIMARY})
    assert told["retcode"] == 0
    assert ("db-2", "mine.update") in done
    assert ("app-1", "state.apply", "postgresql.client") in done


def test_the_present_primary_stays_it_and_who_could_be_is_told():
    told, done = switch({"db-1": REPLICA, "db-2": PRIMARY})
    assert (told["retcode"], told["outcome"]) == (
        0,
        "db-2 was the primary already, and nobody was promoted; what could be promoted: db-1",
    )
    assert ("db-1", "unsay", "main") not in done


def test_a_node_that_does_not_answer_keeps_nobody_and_is_told():
    told, _ = switch({"db-1": PRIMARY, "db-2": REPLICA}, tops={**TOPS, "app-2": DOWN})
    assert told["retcode"] == 0
    assert told["steps"][-1].endswith(
        "app-2 does not answer; if it has pools, then once it does: salt app-2 state.highstate"
    )


@pytest.mark.parametrize(
    ("target", "why"),
    {
        "nosuch": "no minion of this name has a role",
        "app-1": "it is no PostgreSQL server",
        "app-2": "its minion does not answer",
    }.items(),
)
def test_one_that_is_no_server_is_refused_with_those_that_could_be(target, why):
    servers = {"db-1": PRIMARY, "db-2": REPLICA, "db-3": STOPPED}
    told, done = switch(servers, target=target, tops={**TOPS, "app-2": DOWN})
    expected = f"stopped: {target} cannot be promoted: {why}; what could be promoted: db-2; nothing was done"
    assert (told["retcode"], told["outcome"], done) == (1, expected, [])


def test_a_primary_that_takes_connections_is_not_given_up_for_its_silent_minion():
    told, done = switch({"db-1": DOWN, "db-2": ALONE}, dials=True)
    assert (told["retcode"], done) == (1, [])
    assert told["outcome"].startswith("stopped: the server that db-2 followed takes connections still")


STOPPED = Failed("it is down")


def test_a_server_that_is_down_while_its_minion_answers_is_brought_back():
    told, done = switch({"db-1": STOPPED, "db-2": PRIMARY})
    assert told["retcode"] == 0
    assert ("db-1", "pg_server.rejoin") in done
    assert told["steps"][-2].endswith("db-1 follows db-2")


def test_one_that_cannot_be_brought_back_is_no_success():
    told, done = switch({"db-1": PRIMARY, "db-2": REPLICA, "db-3": REPLICA}, fails=["pg_server.rejoin"])
    assert told["retcode"] == 1
    assert told["outcome"] == (
        "db-2 is the primary; db-1 does not follow it: no; once that is mended: salt db-1 pg_server.rejoin"
    )
    assert ("db-3", "pg_server.configure") in done


@pytest.mark.parametrize(
    ("status", "expected"),
    [
        ({"db-1": PRIMARY, "db-2": DOWN}, "db-2 cannot be promoted: its minion does not answer"),
        ({"db-1": PRIMARY, "db-2": STOPPED}, "db-2 cannot be asked: it is down"),
        ({"db-1": PRIMARY, "db-2": REPLICA, "db-3": PRIMARY}, "db-1 and db-3 both are primaries"),
        ({"db-1": PRIMARY, "db-2": PRIMARY}, "db-2 is a primary, and so is db-1"),
        ({"db-1": PRIMARY, "db-2": ALONE}, "db-2 does not follow db-1, which is alive"),
        ({"db-1": {**PRIMARY, "lsn": "0/F000000"}, "db-2": REPLICA}, "db-2 is 167772160 bytes behind db-1"),
        ({"db-1": DOWN, "db-2": REPLICA}, "the primary of db-2 is alive, for it still sends"),
        ({"db-1": DOWN, "db-2": ALONE, "db-3": {**ALONE, "lsn": "0/6000000"}}, "db-3 has received more"),
    ],
)
def test_what_would_be_wrong_is_refused_with_nothing_done(status, expected):
    told, done = switch(status)
    assert (told["retcode"], done) == (1, [])
    assert told["outcome"].startswith(f"stopped: {expected}")
    assert told["outcome"].endswith("nothing was done")
