"""The state and the module through Salt's own loaders, and the state tree as people run it."""

import json
import subprocess

import pytest
import salt.config
from salt.exceptions import CommandExecutionError
from saltfactories.utils.functional import Loaders

from tests.functional.minions import ROOT, Minion, finish

SHOP = {
    "databases": {"shop": {"owner": "shop", "access": {"ann": "read"}, "bootstrap": "salt://shop.sql"}},
    "users": ["shop", "ann"],
}
SCRIPT = "create table orders as select 7 as id"


@pytest.fixture
def minion(tmp_path):
    minion = Minion(tmp_path / "m")
    minion.script("shop.sql", SCRIPT)
    return minion


@pytest.fixture
def loaders(minion, cluster):
    """Salt's loaders on a minion whose pillar declares the shop."""
    minion.hold(cluster.tree(**SHOP))
    options = salt.config.minion_config(str(minion.configuration / "minion"))
    return Loaders({**options, "module_dirs": [str(ROOT)]})


@pytest.fixture
def pg_access(loaders):
    return loaders.modules.pg_access


@pytest.fixture
def converged(loaders):
    """The state, first foretold and then done: the one has to be what the other said."""

    def run(name="main"):
        foretold = loaders.states.pg_access.converged(name=name, test=True)
        done = loaders.states.pg_access.converged(name=name, test=False)
        assert foretold.changes == done.changes
        if done.result:
            assert foretold.result is (None if done.changes else True)
        return done

    return run


@pytest.fixture
def redeclare(loaders, minion, cluster):
    """Let pillar hold something else from now on."""

    def hold(**declared):
        minion.hold(cluster.tree(**declared))
        loaders.reload_all()
        return loaders

    return hold


# The state


def test_changes_and_then_none(converged, cluster):
    first, again = converged(), converged()
    assert (first.result, again.result) == (True, True)
    assert set(first.changes) == {"roles", "databases"}
    assert again.changes == {}
    assert first.comment == "Cluster main is now as pillar wants it, read back and compared"
    assert again.comment == "Cluster main is as pillar wants it"
    assert cluster.query("select id from orders", user="ann", dbname="shop") == [(7,)]


def test_what_is_foretold_is_not_done(loaders, cluster):
    foretold = loaders.states.pg_access.converged(name="main", test=True)
    assert (foretold.result, foretold.comment) == (None, "Cluster main would be changed")
    assert cluster.query("select 1 from pg_roles where rolname = 'shop'") == []


DRIFTS = [
    "alter role ann createdb connection limit 2",
    "alter role ann password 'other'",
    "grant shop to ann",
    "grant all on database shop to public",
    "alter database shop connection limit 5",
]


def test_drift_is_foretold_and_taken_back(converged, cluster):
    converged()
    for drift in DRIFTS:
        cluster.query(drift)
        assert converged().changes, drift
    assert converged().changes == {}


def test_what_cannot_be_is_a_failed_state_that_says_why(loaders, converged, redeclare):
    converged()
    redeclare(databases={"shop": {"owner": "shop", "state": "absent"}}, users=["shop", "ann"])
    for test in (True, False):
        state = loaders.states.pg_access.converged(name="main", test=test)
        assert state.result is False
        assert state.changes == {}
        _, line = state.comment.splitlines()
        assert line.startswith("- database 'shop': database 'shop' is still open")


def test_what_cannot_be_foreseen_in_a_closed_database_is_said(loaders, converged, cluster):
    """The owner has closed its own database, and something differs inside it."""
    converged()
    cluster.query("grant select on all tables in schema public to public", dbname="shop")
    cluster.query("alter database shop allow_connections false")
    foretold = loaders.states.pg_access.converged(name="main", test=True)
    assert foretold.result is None
    _, line = foretold.comment.splitlines()
    assert line == (
        "- database 'shop' is closed: what changes inside it is planned when the run has opened it"
    )
    assert foretold.changes == {"databases": {"shop": ["open for connections again"]}}
    done = loaders.states.pg_access.converged(name="main", test=False)
    assert (done.result, done.changes["databases"]["shop"][0]) == (True, "open for connections again")
    assert len(done.changes["databases"]["shop"]) > 1
    assert loaders.states.pg_access.converged(name="main", test=True).comment.endswith(
        "is as pillar wants it"
    )


def test_a_step_that_fails_is_said_with_what_was_done(loaders, minion, cluster):
    minion.script("shop.sql", "select no_such()")
    state = loaders.states.pg_access.converged(name="main", test=False)
    assert state.result is False
    assert set(state.changes["roles"]) == {"shop", "ann"}
    assert "running it again goes on from there:\n- database 'shop': salt://shop.sql failed" in state.comment
    minion.script("shop.sql", SCRIPT)
    assert loaders.states.pg_access.converged(name="main", test=False).result is True


def test_a_script_that_is_not_there_stops_its_database_alone(loaders, minion, cluster):
    (minion.states / "shop.sql").unlink()
    changes = []
    for test in (True, False):
        state = loaders.states.pg_access.converged(name="main", test=test)
        assert state.result is False
        assert "- database 'shop': salt://shop.sql is not there; put it there" in state.comment
        assert "(postgresql:databases:shop:bootstrap)" in state.comment
        changes.append(state.changes)
    assert changes[0] == changes[1]
    assert (set(changes[1]), set(changes[1]["roles"])) == ({"roles"}, {"shop", "ann"})
    assert cluster.query("select 1 from pg_database where datname = 'shop'") == []


def test_a_cluster_that_pillar_does_not_know_is_a_failed_state(loaders):
    state = loaders.states.pg_access.converged(name="moon", test=True)
    assert (state.result, state.changes) == (False, {})
    assert "pillar has no cluster 'moon'; known are: main" in state.comment


# The module


def test_the_plan_says_and_writes_what_apply_does(pg_access, cluster):
    planned = pg_access.plan()
    assert planned["changes"]["roles"]["ann"] == ["create user", "set password"]
    assert "ALTER ROLE \"ann\" PASSWORD '********'" in planned["sql"]
    assert not any(secret in json.dumps(planned) for secret in cluster.passwords.values())
    assert pg_access.apply(cluster="main") == {"changes": planned["changes"], "failures": {}}
    nothing = {"changes": {}, "destructive": {}, "losses": {}, "sql": [], "unforeseen": [], "failures": {}}
    assert pg_access.plan(cluster="main") == nothing
    assert pg_access.apply() == {"changes": {}, "failures": {}}


def test_inspect_shows_what_is_there_and_no_password(pg_access, cluster):
    pg_access.apply()
    found = pg_access.inspect()
    assert found["databases"]["shop"]["owner"] == "shop"
    assert found["roles"]["ann"]["login"] is True
    assert "SELECT on table public.orders to ann" in found["databases"]["shop"]["grants"]
    assert "SCRAM" not in json.dumps(found)
    assert not any(secret in json.dumps(found) for secret in cluster.passwords.values())


def test_unmanaged_shows_what_pillar_does_not_name(pg_access, cluster):
    pg_access.apply()
    assert pg_access.unmanaged() == {}
    cluster.query("create role ghost")
    cluster.query("create schema attic", dbname="shop")
    found = pg_access.unmanaged(cluster="main")
    assert (found["roles"], found["schemas"]) == (["ghost"], {"shop": ["attic"]})


def test_the_driver_is_there(pg_access):
    assert pg_access.has_driver() is True


@pytest.mark.parametrize(
    ("minions", "found"),
    [(None, ["main"]), ("db-admin-1", ["main"]), (["other", "db-admin-1"], ["main"]), ("other", [])],
)
def test_a_minion_knows_which_clusters_are_its_own(redeclare, cluster, minions, found):
    if minions:
        cluster.admin["minion"] = minions
    assert redeclare(**SHOP).modules.pg_access.clusters() == found


def test_one_of_several_clusters_has_to_be_named(loaders, minion, cluster):
    tree = cluster.tree(users={"ann": {"cluster": "main"}})
    minion.hold({**tree, "clusters": {**tree["clusters"], "moon": tree["clusters"]["main"]}})
    loaders.reload_all()
    assert loaders.modules.pg_access.clusters() == ["main", "moon"]
    with pytest.raises(CommandExecutionError, match="known are: main, moon"):
        loaders.modules.pg_access.plan()
    assert loaders.modules.pg_access.plan(cluster="main")["changes"] == {
        "roles": {"ann": ["create user", "set password"]}
    }


def test_a_wrong_pillar_is_told_in_full(redeclare):
    loaders = redeclare(databases={"shop": "nobody", "wiki": {"ownr": "ann"}}, users=["ann"])
    for function in ("plan", "apply", "inspect", "unmanaged"):
        with pytest.raises(
            CommandExecutionError, match=r"(?s)3 problems; nothing was applied.*unknown key 'ownr'"
        ):
            loaders.modules[f"pg_access.{function}"]()


# As people run it


def test_a_highstate_from_the_command_line(minion, cluster):
    minion.hold(cluster.tree(**SHOP))
    foretold, *_ = finish(minion.start("state.highstate", "test=True"))
    assert foretold.result is None
    first, out, err = minion.highstate()
    again, *_ = minion.highstate()
    assert (first.result, again.result) == (True, True), err
    assert first.changes == foretold.changes
    assert again.changes == {}
    assert not any(secret in out + err for secret in cluster.passwords.values())
    assert cluster.query("select id from orders", user="ann", dbname="shop") == [(7,)]


def test_a_minion_without_a_cluster_is_told_so(minion, cluster):
    cluster.admin["minion"] = "another"
    minion.hold(cluster.tree(**SHOP))
    (state,) = minion.told("state.highstate").values()
    assert state["result"] is False
    nobody = "pillar has no cluster in postgresql:clusters that this minion administers; known are: main"
    assert state["comment"] == f"Nothing was changed: {nobody}"


def test_a_minion_whose_clusters_are_no_mapping_is_told_all_that_is_wrong(minion):
    minion.hold({"clusters": ["main"], "databases": {"shop": "shop"}})
    (state,) = minion.told("state.highstate").values()
    assert state["result"] is False
    assert "postgresql:clusters: a list is not a mapping" in state["comment"]


def test_any_name_of_a_cluster_renders(minion, cluster):
    tree = cluster.tree(**SHOP)
    tree["clusters"] = {"a: #b": tree["clusters"]["main"]}
    minion.hold(tree)
    (state,) = minion.told("state.highstate").values()
    assert state["result"] is True


def test_of_a_fresh_server_it_is_told_what_comes_first(tmp_path, bare_python):
    announcement = {"mine_function": "pg_server.announce", "cluster": "main"}
    minion = Minion(tmp_path / "s", mine_functions={"postgresql.main": [announcement]})
    minion.python = str(bare_python)
    minion.script(
        "server.sls", "as it should be: {pg_server: [configured]}\ntold: {pg_server: [announced]}\n"
    )
    minion.told("saltutil.sync_all")
    foretold = minion.told("state.apply", "server", "test=True")
    assert [state["result"] for state in foretold.values()] == [None, None], foretold
    assert all("psycopg2 is missing" in state["comment"] for state in foretold.values())


def test_the_state_tree_brings_the_driver_and_goes_on_in_the_same_run(minion, cluster, bare_python):
    minion.python = str(bare_python)
    minion.hold(cluster.tree(**SHOP))
    without = subprocess.run([bare_python, "-c", "import psycopg2"], capture_output=True)
    assert without.returncode != 0
    minion.told("saltutil.sync_all")
    out, err = minion.start("pg_access.plan").wait()
    assert "the state postgresql.psycopg2 puts it there" in out + err
    assert "Traceback" not in out + err
    foretold = minion.told("state.highstate", "test=True")
    assert [state["result"] for state in foretold.values()] == [None, None]
    minion.hold(cluster.tree(databases={"shop": "nobody"}))
    wrong, *_ = finish(minion.start("state.highstate", "test=True"))
    assert (wrong.result, "nobody" in wrong.comment) == (False, True)
    minion.hold(cluster.tree(**SHOP))
    first = minion.told("state.highstate")
    assert [state["result"] for state in first.values()] == [True, True]
    verdict, *_ = finish(minion.start("state.highstate"))
    assert (verdict.result, verdict.changes) == (True, {})
    assert cluster.query("select id from orders", user="ann", dbname="shop") == [(7,)]
