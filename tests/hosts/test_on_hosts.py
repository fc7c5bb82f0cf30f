"""What is promised, on hosts that boot: a master, a server of one's own, and nodes of applications."""

import json

import pytest

from tests.hosts.conftest import failed

SHOP = "PGSERVICEFILE=/etc/pgpillar/clients/shop_app/pg_service.conf"
APPS = ["app-1", "app-2"]


def ask(host, query, service="shop"):
    """Ask a database as an application of the host does."""
    return host.sh(f"{SHOP} psql --no-psqlrc -qAtd service={service} -c {query!r}").strip()


def test_the_primary_alone_serves_an_application_of_the_developers(world):
    if not world.alone:
        pytest.skip("these hosts were brought up by somebody else")
    seen, authority = world.alone
    assert seen == ("shop_app", True)
    # and so it does as one of many, by a certificate of the master's CA
    seen, authority_of_all = world.outside()
    assert seen == ("shop_app", True)
    assert authority != authority_of_all


def test_there_are_two_releases_of_debian(world):
    releases = {world[name].sh(". /etc/os-release; echo $VERSION_ID").strip() for name in world.names}
    assert releases == {"12", "13"}


def test_a_second_highstate_changes_nothing_anywhere(world):
    assert world.highstate("*") == {name: {} for name in world.names}


@pytest.mark.parametrize("app", APPS)
def test_an_application_acts_as_its_user_through_its_node(world, app):
    assert ask(world[app], "select current_user") == "shop_app"


def test_the_password_of_one_node_is_refused_on_another(world):
    secret = world["app-1"].sh("cat /var/lib/pgpillar/secrets/shop_app")
    login = f"PGPASSWORD='{secret}' psql -h 127.0.0.1 -p 6432 -U shop_app -d shop -c 'select 1'"
    world["app-1"].sh(login)
    assert "authentication failed" in world["app-2"].attempt(login)


def test_an_edit_of_pillar_reaches_the_application(world):
    stock = "    wiki: wiki\n    stock: {owner: shop, access: {shop_app: write}}\n"
    with world.edited("pillar/postgresql/server.sls", "    wiki: wiki\n", stock):
        assert world.highstate("postgresql-primary")["postgresql-primary"]
        assert world.highstate("app-1")["app-1"]
        assert ask(world["app-1"], "select current_database()", "stock") == "stock"
    world.highstate("app-1")
    assert "stock" in world["app-1"].attempt(f"{SHOP} psql service=stock")


def test_a_minion_gets_no_secret_of_another_role(world):
    given = {app: world[app].run("salt-call", "--out=json", "pillar.items", "unmask=True") for app in APPS}
    assert "no-secret-in-dev-wiki" in given["app-2"]
    assert "no-secret-in-dev-wiki" not in given["app-1"]
    assert "no-secret-in-dev" not in world["salt-master"].run(
        "salt-call", "--out=json", "pillar.items", "unmask=True"
    )


def test_a_minion_can_fetch_no_file_of_pillar(world):
    listed = world["app-1"].run("salt-call", "--out=json", "cp.list_master")
    assert "postgresql/client.sls" in listed
    assert "secrets" not in listed


def test_a_minion_whose_key_was_not_brought_is_not_accepted(world):
    stranger = "{id: stranger, master: salt-master, root_dir: /tmp/stranger}"
    world["app-2"].sh(f"mkdir -p /tmp/stranger; echo '{stranger}' > /tmp/stranger/minion")
    world["app-2"].sh("timeout 20 salt-call -c /tmp/stranger test.ping", check=False)
    keys = json.loads(world["salt-master"].run("salt-key", "--out=json", "--list=all"))
    assert keys["minions_pre"] == ["stranger"]
    assert sorted(keys["minions"]) == world.names
    world["salt-master"].run("salt-key", "--yes", "--delete=stranger")


@pytest.mark.parametrize(
    ("way", "expected"),
    [
        ("sslmode=disable", "no encryption"),
        ("sslmode=verify-full dbname=wiki", "no pg_hba.conf entry"),
    ],
)
def test_the_server_lets_in_nobody_else(world, way, expected):
    ca = "sslrootcert=/etc/ssl/certs/postgresql-ca.pem"
    login = f"host=postgresql.example.internal user=shop_app dbname=shop {ca} {way}"
    password = "PGPASSWORD=no-secret-in-dev-shop_app"
    assert expected in world["app-1"].attempt(f"{password} psql '{login}' -c 'select 1'")


def test_a_setting_that_a_reload_changes(world):
    server, started = world["postgresql-primary"], start_of(world)
    slow = "    memory: 512\n    settings: {log_min_duration_statement: 250ms}\n"
    with world.edited(SERVER, "    memory: 512\n", slow):
        world.highstate(server.name)
        assert show(server, "log_min_duration_statement") == "250ms"
    world.highstate(server.name)
    assert show(server, "log_min_duration_statement") == "-1"
    assert start_of(world) == started


def test_a_setting_that_asks_for_a_restart_waits_for_leave(world):
    server, started = world["postgresql-primary"], start_of(world)
    with world.edited(SERVER, "    memory: 512\n", "    memory: 1024\n"):
        assert world.highstate(server.name)[server.name]
        assert world.highstate(server.name)[server.name] == {}
        assert world.salt(server.name, "pg_server.waits") == {server.name: ["shared_buffers"]}
        assert start_of(world) == started
    with world.edited(SERVER, "    memory: 512\n", "    memory: 1024\n    restart: true\n"):
        world.highstate(server.name)
        assert show(server, "shared_buffers") == "256MB"
    with world.edited(SERVER, "    memory: 512\n", "    memory: 512\n    restart: true\n"):
        world.highstate(server.name)
    assert show(server, "shared_buffers") == "128MB"


def test_a_setting_that_the_server_does_not_know_changes_nothing(world):
    server = world["postgresql-primary"]
    with world.edited(SERVER, "    memory: 512\n", "    settings: {shared_bufers: 1GB}\n"):
        (state,) = failed(world.salt(server.name, "state.apply", "postgresql.server")[server.name])
    assert (
        "settings:shared_bufers: there is no such setting; did you mean 'shared_buffers'?" in state["comment"]
    )
    assert world.highstate(server.name) == {server.name: {}}


def test_new_code_is_used_once_it_is_synced(world):
    with world.edited("_utils/pgpillar/__init__.py", '__version__ = "0.1.0"', '__version__ = "0.1.0.new"'):
        world.salt("app-1", "saltutil.sync_all")
        assert world.salt("app-1", "pg_access.version") == {"app-1": "0.1.0.new"}
    world.salt("app-1", "saltutil.sync_all")
    assert world.salt("app-1", "pg_access.version") == {"app-1": "0.1.0"}


@pytest.mark.parametrize(
    "name", ["postgresql-primary", "postgresql-replica", "app-1", "app-2", "salt-master"]
)
def test_a_reboot_comes_back_by_itself(world, name):
    world[name].reboot()
    world["app-1"].wait_for(f"{SHOP} psql service=shop -c 'select 1'")
    world.wait_for_minions(name)
    assert world.highstate(name) == {name: {}}


SERVER = "pillar/dev/own-server/server.sls"


def start_of(world):
    """When the server was started, as it noted itself."""
    return world["postgresql-primary"].sh("sed -n 3p /var/lib/postgresql/*/main/postmaster.pid")


def show(server, setting):
    return server.sh(f"runuser -u postgres -- psql -qAtc 'show {setting}'").strip()
