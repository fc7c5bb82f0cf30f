"""App nodes follow the servers that announce themselves in the Salt mine, through a real master."""

import contextlib
import shutil
import tempfile
from pathlib import Path

import pytest
import yaml

from tests.functional.conftest import HOST
from tests.functional.node.conftest import AppNode
from tests.functional.node.mounts import laid_over
from tests.functional.pair import (
    ADDRESSES,
    FIRST,
    FIRST_AS_REPLICA,
    SECOND,
    SECOND_AS_REPLICA,
    seen,
    servers,
)
from tests.integration.conftest import PATIENCE


@pytest.fixture
def pair():
    with servers() as made:
        yield made


@pytest.fixture
def node():
    """An app node whose hosts file pgbouncer reads; what is started meanwhile reads it too."""
    directory = Path(tempfile.mkdtemp(prefix="pgp-", dir="/tmp"))
    directory.chmod(0o755)
    made = AppNode(directory, "app-1")
    (made.root / "etc").mkdir(exist_ok=True)
    with laid_over("/etc", made.root / "etc"):
        yield made
        made.stop()
    shutil.rmtree(directory)


@pytest.fixture
def declared(pair, node, pillar_dir):
    """Pillar: what everybody sees, and what each server says in the mine."""
    known = {"discovery": "mine", "minions": [*ADDRESSES, "db-never"]}
    tree = {**pair.tree(**known), "pgbouncer": {"port": node.port}}
    lines = [yaml.safe_dump({"postgresql": tree})]
    for minion, server in (("db-1", pair.first), ("db-2", pair.second)):
        announce = [{"mine_function": "pg_server.announce"}, {"cluster": "main"}]
        announce += [{"host": server.names[0]}, {"address": ADDRESSES[minion]}]
        announce += [{"socket": str(server.socket_dir)}]
        functions = yaml.safe_dump({"mine_functions": {"postgresql.main": announce}})
        lines.append(f"{{% if grains.id == '{minion}' %}}\n{functions}{{% endif %}}\n")
    (pillar_dir / "postgresql.sls").write_text("".join(lines))


@pytest.fixture
def ask(master, node, declared):
    """Run a function on a minion, from the master."""
    roots = {"app-1": {"pgpillar_root": str(node.root)}, "db-1": {}, "db-2": {}}
    minions = [master.salt_minion_daemon(name, overrides=more) for name, more in roots.items()]
    client = master.salt_cli(timeout=PATIENCE)

    def run(minion, *arguments, **options):
        return client.run(*arguments, minion_tgt=minion, **options).data

    with contextlib.ExitStack() as stack:
        for minion in minions:
            stack.enter_context(minion.started())
            run(minion.id, "saltutil.sync_all")
        yield run


@pytest.fixture
def converge(ask):
    """Have servers say what they are, then converge the node; gives what pgbouncer's state returned."""

    def run(*servers):
        for server in servers:
            ask(server, "mine.update")
        returned = ask("app-1", "state.apply", "postgresql.client")
        return next(state for key, state in returned.items() if key.startswith("pgbouncer_|-"))

    return run


def test_pools_follow_a_failover(pair, node, ask, converge, master):
    assert converge("db-1", "db-2")["result"]
    node.start()
    assert (seen(node, "shop"), seen(node, "shop_ro")) == (FIRST, SECOND_AS_REPLICA)
    assert converge("db-1", "db-2")["changes"] == {}

    # A primary that cannot be asked is no replica, and goes on being what it said last
    pair.first.stop()
    where = {"socket": str(pair.first.socket_dir), "address": "127.0.0.1"}
    assert "cannot connect to" in ask("db-1", "pg_server.announce", "main", **where)
    state = converge("db-1", "db-2")
    assert (state["result"], state["changes"]) == (True, {})

    # After a failover there are two that said so, until somebody vouches for the end of one
    pair.second.promote()
    state = converge("db-1", "db-2")
    assert (state["result"], state["changes"]) == (False, {})
    assert "cluster 'main' has more than one primary by the Salt mine: db-1 (at " in state["comment"]
    assert seen(node, "shop_ro") == SECOND
    master.salt_run_cli().run("cache.clear_mine", tgt="db-1")
    assert converge("db-2")["result"]
    assert (seen(node, "shop"), seen(node, "shop_ro")) == (SECOND, SECOND)

    # What comes back as a replica is one
    pair.bring_first_back()
    assert converge("db-1", "db-2")["result"]
    assert (seen(node, "shop"), seen(node, "shop_ro")) == (SECOND, FIRST_AS_REPLICA)


def test_a_minion_that_is_not_named_is_not_believed(node, ask, converge):
    claim = {"host": HOST, "address": "192.0.2.66", "port": 5432, "in_recovery": False, "asked": "now"}
    ask("app-1", "mine.send", "postgresql.main", mine_function="test.arg", **claim)
    state = converge("db-1", "db-2")
    assert state["result"], state
    node.start()
    assert seen(node, "shop") == FIRST
