"""An application reaches its database through its own node, and knows a password that exists there alone."""

import stat
from pathlib import Path

import psycopg2
import pytest

pytestmark = pytest.mark.every_pgbouncer


def test_the_application_acts_as_its_user(running):
    assert running.query("select current_user, current_database()") == [("shop_app", "shop")]


def test_a_second_run_changes_nothing(running, shop):
    assert running.converge(shop) == {}


def test_what_is_foretold_comes_true(node, shop):
    foretold = node.apply(shop, test=True)
    assert not Path(node.paths.secrets).exists()
    done = node.apply(shop)
    assert {name: state["changes"] for name, state in foretold.items()} == {
        name: state["changes"] for name, state in done.items()
    }
    assert {state["result"] for state in foretold.values() if state["changes"]} == {None}


def test_of_a_fresh_node_it_is_told_what_comes_first(node, shop, bare_python):
    node.minion.python = str(bare_python)
    node.minion.hold(shop)
    node.minion.told("saltutil.sync_all")
    foretold = node.minion.told("state.apply", "postgresql.client", "test=True")
    assert {state["result"] for state in foretold.values()} == {None}
    del shop["clusters"]
    node.minion.hold(shop)
    wrong = node.minion.told("state.apply", "postgresql.client", "test=True")
    results = {state["__id__"]: (state["result"], state["comment"]) for state in wrong.values()}
    assert results["pgbouncer passwords"][0] is results["postgresql.client configured"][0] is False
    assert "postgresql:clusters" in results["pgbouncer passwords"][1]


def test_databases_of_one_name_have_pools_of_their_own(node, two_clusters, cluster, neighbour):
    neighbour.query("alter database wiki rename to shop")
    two_clusters["databases"]["elsewhere"] = {**two_clusters["databases"].pop("wiki"), "name": "shop"}
    node.converge(two_clusters)
    node.start()
    asked = "select current_database(), current_setting('port')"
    assert node.query(asked) == [("shop", str(cluster.server.port))]
    assert node.query(asked, "elsewhere", "wiki") == [("shop", str(neighbour.server.port))]


def test_another_nodes_password_is_refused(running, shop, make_node):
    other = make_node("app-2")
    other.converge(shop)
    other.start()
    assert running.secret("shop_app") != other.secret("shop_app")
    with pytest.raises(psycopg2.OperationalError, match=r"(password|SASL) authentication failed"):
        other.query("select 1", password=running.secret("shop_app"))


def test_the_real_password_is_refused_by_the_pool(running, shop):
    with pytest.raises(psycopg2.OperationalError, match=r"(password|SASL) authentication failed"):
        running.query("select 1", password=shop["users"]["shop_app"]["password"])


def test_another_users_pool_is_refused(node, shop, cluster):
    shop["users"]["wiki"] = {"password": cluster.passwords["wiki"]}
    node.converge(shop)
    node.start()
    assert node.query("select current_user", "wiki", "wiki") == [("wiki",)]
    with pytest.raises(psycopg2.OperationalError):
        node.query("select 1", "wiki", "shop_app")


def test_a_lost_password_is_made_anew_and_all_that_holds_it_follows(other_pool, with_wiki):
    before = other_pool.secret("shop_app")
    (Path(other_pool.paths.secrets) / "shop_app").unlink()
    changed = other_pool.converge(with_wiki)
    assert set(changed) == {"node_secret.present", "pgbouncer.configured", "pg_client.configured"}
    assert other_pool.query("select 1") == [(1,)]
    with pytest.raises(psycopg2.OperationalError, match=r"(password|SASL) authentication failed"):
        other_pool.query("select 1", password=before)


def test_a_password_that_others_could_read_is_made_anew(other_pool, with_wiki):
    before = other_pool.secret("shop_app")
    (Path(other_pool.paths.secrets) / "shop_app").chmod(0o644)
    assert other_pool.converge(with_wiki)["node_secret.present"] == {
        "shop_app": "new password, for others could read it"
    }
    assert other_pool.secret("shop_app") != before


SPOILT_PLACES = {
    "etc/pgbouncer": ("pgbouncer.configured", 0o755),
    "etc/pgbouncer/generations": ("pgbouncer.configured", 0o750),
    "etc/pgbouncer/live": ("pgbouncer.configured", 0o750),
    "etc/pgpillar/clients": ("pg_client.configured", 0o755),
    "etc/pgpillar/clients/shop_app": ("pg_client.configured", 0o751),
    "var/lib/pgpillar/secrets": ("node_secret.present", 0o700),
}


def test_directories_that_somebody_opened_are_told_and_closed(calm, shop):
    """With what the pool and the passwords are as they were."""
    for name in SPOILT_PLACES:
        (calm.root / name).chmod(0o777)
    told = {state: {} for state, _ in SPOILT_PLACES.values()}
    for name, (state, mode) in SPOILT_PLACES.items():
        told[state][str(calm.root / name)] = f"mode 0777 → {mode:04o}"
    told["pgbouncer.configured"] = {"files": told["pgbouncer.configured"]}
    foretold = {name: state["changes"] for name, state in calm.apply(shop, test=True).items()}
    assert {name: changes for name, changes in foretold.items() if changes} == told
    assert calm.converge(shop) == told
    for name, (_, mode) in SPOILT_PLACES.items():
        assert stat.S_IMODE((calm.root / name).stat().st_mode) == mode
    assert calm.converge(shop) == {}


def test_a_password_that_is_not_as_it_was_made_is_made_anew(running, shop):
    """One that a line break follows would let the application in no more."""
    file = Path(running.paths.secrets) / "shop_app"
    file.write_text(file.read_text() + "\n")
    foretold = {name: state["changes"] for name, state in running.apply(shop, test=True).items()}
    done = running.converge(shop)
    assert done == {name: changes for name, changes in foretold.items() if changes}
    assert done["node_secret.present"] == {"shop_app": "new password, for it is not as it was made"}
    assert running.query("select 1") == [(1,)]


@pytest.mark.parametrize("test", [True, False])
def test_a_directory_where_a_password_stands_is_told(node, shop, test):
    place = Path(node.paths.secrets) / "shop_app"
    place.mkdir(parents=True)
    state = node.apply(shop, test)["node_secret.present"]
    assert (state["result"], state["changes"]) == (False, {})
    assert state["comment"].endswith(f"{place} is a directory, where a password is to stand; remove it")


def test_no_password_of_a_user_that_has_gone_stays_on_the_node(running, with_wiki, shop):
    """Neither that which the server knows nor the node's own."""
    running.converge(with_wiki)
    gone = [with_wiki["users"]["wiki"]["password"], running.secret("wiki")]
    foretold = running.apply(shop, test=True)["node_secret.present"]["changes"]
    changed = running.converge(shop)
    assert changed["node_secret.present"] == foretold == {"wiki": "gone, for this node has no pool for it"}
    assert not [path for path in held(running) if any(text in path.read_text() for text in gone)]
    assert running.query("select 1") == [(1,)]


def test_no_password_that_was_replaced_stays_on_the_node(running, shop, cluster):
    before = shop["users"]["shop_app"]["password"]
    cluster.query("alter role shop_app password 'another'")
    shop["users"]["shop_app"]["password"] = "another"
    running.converge(shop)
    assert not [path for path in held(running) if before in path.read_text()]


def held(node):
    """The files that a node has, but those of Salt and of the test."""
    places = (node.root / place for place in ("etc", "var/lib"))
    return [path for place in places for path in place.rglob("*") if path.is_file()]


def test_a_user_that_leaves_the_node_takes_its_pool_and_files_along(running, shop, cluster):
    shop["users"] = {"wiki": {"password": cluster.passwords["wiki"]}}
    changed = running.converge(shop)
    assert changed["pgbouncer.configured"]["pools"] == {"shop": "gone", "wiki": "new"}
    assert [path.name for path in Path(running.paths.clients).iterdir()] == ["wiki"]


def test_the_application_can_read_the_real_password_nowhere(node, shop):
    shop["users"]["shop_app"]["run_as"] = "games"
    node.converge(shop)
    held = [path for path in (node.root / "etc").rglob("*") if path.is_file()]
    real = shop["users"]["shop_app"]["password"]
    assert {path.owner() for path in held if real in path.read_text()} == {"root"}
    assert not [path for path in held if path.owner() == "games" and real in path.read_text()]
