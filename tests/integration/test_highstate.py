"""The main way, through a master: pillar is compiled there, and the minion converges the cluster."""

import json
import secrets
import time

import pytest
import yaml

from devtools import postgres

SECRET = "a-password-that-must-not-be-seen-" + secrets.token_hex(8)


@pytest.fixture(scope="module")
def server():
    installed = [major for major in postgres.majors() if postgres.installed(major)]
    with postgres.temporary((installed or postgres.majors())[-1]) as running:
        yield running


@pytest.fixture
def declared(server, pillar_dir, tree):
    endpoint = {"host": "postgresql.example.internal", "hostaddr": "127.0.0.1", "port": server.port}
    main = {**endpoint, "ca": server.ca_pem, "admin": {"user": "postgres", "password": server.password}}
    users = {"shop": {"password": SECRET}, "analyst": {"password": SECRET + "-too"}}
    bootstrap = {"bootstrap": "salt://shop/schema.sql", "access": {"analyst": "read"}}
    (tree / "salt" / "shop").mkdir(exist_ok=True)
    (tree / "salt" / "shop" / "schema.sql").write_text("create table orders as select 7 as id;")
    pillar = {
        "clusters": {"main": main},
        "databases": {"shop": {"owner": "shop", **bootstrap}},
        "users": users,
    }
    (pillar_dir / "postgresql.sls").write_text(yaml.safe_dump({"postgresql": pillar}))
    return pillar


def only_state(returned):
    (state,) = returned.values()
    return state


@pytest.mark.parametrize("minion", ["processes"], indirect=True)
def test_a_highstate_through_the_master(call, declared, server, salt_root, event_listener, master):
    began = time.time()
    call("saltutil.sync_all")
    call("saltutil.refresh_pillar", wait=True)
    foretold = only_state(call("state.apply", "postgresql.admin", test=True))
    first = only_state(call("state.apply", "postgresql.admin"))
    again = only_state(call("state.apply", "postgresql.admin"))

    assert (foretold["result"], first["result"], again["result"]) == (None, True, True)
    assert first["changes"] == foretold["changes"]
    assert again["changes"] == {}
    assert server.query("select id from orders", user="analyst", password=SECRET + "-too", dbname="shop") == [
        (7,)
    ]

    events = event_listener.get_events([(master.id, "*")], after_time=began)
    assert any("postgresql.admin" in json.dumps(event.full_data, default=str) for event in events)
    assert not [event for event in events if SECRET in json.dumps(event.full_data, default=str)]
    assert not [path for path in written(salt_root) if SECRET.encode() in path.read_bytes()]


def written(salt_root):
    """All that master and minion have left on disk, but pillar itself and the master's own copy of it."""
    for path in salt_root.rglob("*"):
        if path.is_file() and path.parent.name != "pillar" and path.name != "data.p":
            yield path
