"""An application reaches its database through its own node, and knows a password that exists there alone."""

from pathlib import Path

import psycopg2
import pytest


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


def test_a_lost_password_is_made_anew_and_all_that_holds_it_follows(running, shop):
    before = running.secret("shop_app")
    (Path(running.paths.secrets) / "shop_app").unlink()
    changed = running.converge(shop)
    assert set(changed) == {"node_secret.present", "pgbouncer.configured", "pg_client.configured"}
    assert running.query("select 1") == [(1,)]
    with pytest.raises(psycopg2.OperationalError, match=r"(password|SASL) authentication failed"):
        running.query("select 1", password=before)


def test_a_password_that_others_could_read_is_made_anew(running, shop):
    before = running.secret("shop_app")
    (Path(running.paths.secrets) / "shop_app").chmod(0o644)
    assert running.converge(shop)["node_secret.present"] == {
        "shop_app": "new password, for others could read it"
    }
    assert running.secret("shop_app") != before


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
