"""What a node tells of its pools: at work, while nobody is there, and before there is anything."""

import threading

import pytest
from salt.exceptions import CommandExecutionError

from devtools.postgres import wait_for


def told(node):
    return node.minion._caller.cmd("pgbouncer.status", root=str(node.root))


def test_where_a_pool_leads_is_told_by_its_connections(running):
    assert told(running)["shop"]["leads_to"] == ["127.0.0.1"]
    with running.connect("shop", "shop_app") as session, session.cursor() as cursor:
        cursor.execute("select 1")
        pool = told(running)["shop"]
    assert (pool["leads_to"], pool["cl_active"], pool["cl_waiting"]) == (["127.0.0.1"], 1, 0)


def test_a_client_that_waits_is_counted(running, shop):
    """One takes the only connection there is, and keeps it."""
    shop["pools"] = {"shop": {"database": "shop", "user": "shop_app", "size": 1}}
    running.converge(shop)
    first, second = (running.connect("shop", "shop_app") for _ in range(2))
    first.autocommit = False
    first.cursor().execute("select 1")
    waiting = threading.Thread(target=second.cursor().execute, args=["select 1"])
    waiting.start()
    wait_for(lambda: told(running)["shop"]["cl_waiting"] == 1, "nobody waits")
    first.rollback()
    waiting.join()
    assert told(running)["shop"]["cl_waiting"] == 0


def test_a_pgbouncer_that_is_down_is_no_node_without_pools(running):
    running.stop()
    with pytest.raises(CommandExecutionError, match="pgbouncer does not run; systemctl start pgbouncer"):
        told(running)


def test_before_it_is_converged_a_node_has_none(node):
    assert told(node) is None
