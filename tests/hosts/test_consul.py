"""Servers that Consul's agents on the hosts tell of, and a node that follows them."""

import re
import textwrap

from tests.hosts.test_on_hosts import APPS, ask, failed
from tests.hosts.test_on_hosts import SHOP as APPLICATION

SERVER, REPLICA = "postgresql-primary", "postgresql-replica"
SHOP = "pillar/dev/secrets/postgresql-users/shop.sls"
BY_CONSUL = """postgresql:
  clusters:
    main:
      discovery: consul
      minions: [postgresql-primary, postgresql-replica]
"""
WATCH = "consul watch -type=service -service=postgresql -tag=primary -passingonly=true"
KNOWS_IT = f"{WATCH} | grep -q postgresql-primary"


def roles(world, server=SERVER):
    """Of a server: in which roles Consul knows it, and whether it passes as that."""
    (services,) = world.salt(SERVER, "pg_consul.services").values()
    return {one["role"]: one["passes"] for one in services if one["minion"] == server}


def test_consul_knows_of_each_server_what_that_says(world):
    for name in ["salt-master", *APPS]:
        world[name].wait_for(KNOWS_IT)
    assert roles(world) == {"primary": True, "replica": False}
    assert roles(world, REPLICA) == {"primary": False, "replica": True}

    world[SERVER].sh("systemctl stop postgresql")
    world["app-1"].wait_for(f"! ({KNOWS_IT})")
    world[SERVER].sh("systemctl start postgresql")
    world["app-1"].wait_for(KNOWS_IT)


def test_nobody_else_on_the_network_can_ask(world):
    for port in (8432, 8500):
        assert "refused" in world["app-1"].attempt(f"bash -c ': < /dev/tcp/{SERVER}/{port}'")
    kept = world[SERVER].sh("stat --format='%U %G %a' /etc/consul.d/pgpillar.json").split()
    assert kept == ["root", "consul", "640"]


def test_a_server_leaves_consul_and_comes_back(world):
    before = roles(world)
    world.salt(SERVER, "state.apply", "postgresql.consul.absent")
    assert roles(world) == {}
    world[SERVER].sh("test ! -e /usr/local/lib/pgpillar/say-role; ! ss -ltn | grep -q :8432")
    assert world.highstate(SERVER)[SERVER]
    world[SERVER].wait_for(KNOWS_IT)
    assert roles(world) == before
    assert world.highstate(SERVER) == {SERVER: {}}


WHERE = f"{APPLICATION} psql -qAtd service=shop -c 'select host(inet_server_addr())' | grep -qx {{}}"
UNIT = "/etc/systemd/system/pgpillar-follow.service"


def test_a_node_follows_at_once_by_the_unit_of_the_page(world):
    page = (world.checkout / "docs" / "howto" / "follow-servers.rst").read_text()
    unit = textwrap.dedent(re.search(r"code-block:: ini\n\n((?:   .*\n|\n)+)", page)[1])
    node, server = world["app-1"], world[SERVER]
    with world.edited(SHOP, "postgresql:\n", BY_CONSUL):
        world.salt(node.name, "saltutil.refresh_pillar", "wait=True")
        server.sh("ip address add 10.0.3.29/24 dev eth0")
        node.sh(
            f"cat > {UNIT} <<'EOF'\n{unit}\nEOF\nsystemctl daemon-reload; systemctl start pgpillar-follow"
        )
        world.salt(server.name, "pg_consul.register", "address=10.0.3.29")
        node.wait_for(WHERE.format("10.0.3.29"))
        world.salt(server.name, "pg_consul.register")
        node.wait_for(WHERE.format("10.0.3.20"))
        node.sh(f"systemctl stop pgpillar-follow; rm {UNIT}; systemctl daemon-reload")
        server.sh("ip address delete 10.0.3.29/24 dev eth0")
    world.highstate(node.name)


WHAT = "select host(inet_server_addr()), pg_is_in_recovery()"


def test_a_node_follows_consul_and_back(world):
    node = world["app-1"]
    with world.edited(SHOP, "postgresql:\n", BY_CONSUL):
        node.wait_for(KNOWS_IT)
        world.highstate(node.name)
        assert node.sh("grep -x '10.0.3.20 postgresql.example.internal' /etc/hosts")
        assert ask(node, WHAT) == "10.0.3.20|f"
        assert ask(node, WHAT, "shop_ro") == "10.0.3.21|t"
        assert world.highstate(node.name) == {node.name: {}}

        node.sh("systemctl stop consul")
        (state, *_) = failed(world.salt(node.name, "state.apply", "postgresql.client")[node.name])
        assert "no agent of Consul answers at http://127.0.0.1:8500" in state["comment"]
        assert ask(node, "select current_user") == "shop_app"
        node.sh("systemctl start consul")
    world.highstate(node.name)
    assert world.highstate(node.name) == {node.name: {}}
