"""Where nothing changes, a highstate of a node costs its server nothing."""

from tests.functional.minions import restarted


def test_nobody_logs_in_where_nothing_changes(running, shop, cluster):
    with restarted(cluster.server, log_connections="on"):
        before = logins(cluster.server)
        shop["pools"] = {"shop": {"database": "shop", "user": "shop_app", "size": 3}}
        assert running.converge(shop)
        tried = logins(cluster.server)
        assert tried - before >= 2, "once straight, and once through the scratch instance"
        assert running.converge(shop) == {}
        assert logins(cluster.server) == tried


def logins(server):
    return server.log.read_bytes().count(b"connection authorized: user=shop_app database=shop")
