"""App nodes: each has a directory that stands for /, a minion, and a pgbouncer on what the states wrote."""

import copy
import os
import pwd
import re
import shutil
import subprocess
import tempfile
import threading
from contextlib import closing, contextmanager
from pathlib import Path
from urllib.parse import quote

import psycopg2
import pytest

from devtools import debian
from devtools.embedded import Failed
from devtools.postgres import free_port, wait_for
from pgpillar import trial
from pgpillar.bouncer import Console
from pgpillar.paths import Paths
from tests.functional.minions import Minion
from tests.functional.node.mounts import laid_over

USER = "postgres"  # whom pgbouncer runs as


class AppNode:
    """A node that is converged by ``postgresql.client``."""

    def __init__(self, directory, name):
        self.name, self.root, self.port = name, Path(directory) / name, free_port()
        self.minion = Minion(self.root / "salt", id=name, pgpillar_root=str(self.root))
        self.paths = Paths(str(self.root))
        for place in (self.paths.sockets, Path(self.paths.log).parent):
            Path(place).mkdir(parents=True)
            shutil.chown(place, USER)
        Path(self.paths.certs).mkdir(parents=True)
        self.bouncer = None

    def apply(self, tree, test=False):
        """Converge, on a port of the node's own; returns {state's function: its result}."""
        tree = {**tree, "pgbouncer": {"port": self.port, **tree.get("pgbouncer", {})}}
        returned = self.minion.returned("postgresql.client", tree, test)
        return {key.split("_|-")[0] + "." + key.split("_|-")[-1]: state for key, state in returned.items()}

    def converge(self, tree):
        """Converge without a failure; returns what changed, by function."""
        states = self.apply(tree)
        assert all(state["result"] for state in states.values()), states
        return {name: state["changes"] for name, state in states.items() if state["changes"]}

    def refused(self, tree):
        """Converge to a failure of pgbouncer's state that changes nothing; returns what it says."""
        state = self.apply(tree)["pgbouncer.configured"]
        assert (state["result"], state["changes"]) == (False, {})
        return state["comment"]

    def start(self, ini=None):
        """Start pgbouncer on what the states wrote."""
        account = pwd.getpwnam(USER)
        who = (
            {"user": account.pw_uid, "group": account.pw_gid, "extra_groups": []} if os.geteuid() == 0 else {}
        )
        ini = ini or f"{self.paths.pgbouncer}/pgbouncer.ini"
        quiet = {"stdin": subprocess.DEVNULL, "stdout": subprocess.DEVNULL, "stderr": subprocess.DEVNULL}
        self.bouncer = subprocess.Popen([trial.PROGRAM, "-q", ini], cwd="/", **quiet, **who)
        wait_for(lambda: self.console.is_up, "pgbouncer does not come up")

    def stop(self):
        if self.bouncer:
            self.bouncer.kill()
            self.bouncer.wait()
            self.bouncer = None

    @property
    def console(self):
        return Console(self.paths.sockets, self.port, USER)

    def secret(self, user):
        return (Path(self.paths.secrets) / quote(user, safe="")).read_text()

    def connect(self, pool, user, password=None):
        """Log in to a pool over the node's socket, with the node's own password of the user."""
        where = {"host": self.paths.sockets, "port": self.port, "dbname": pool, "user": user}
        connection = psycopg2.connect(**where, password=password or self.secret(user), connect_timeout=10)
        connection.autocommit = True
        return connection

    def query(self, statement, pool="shop", user="shop_app", password=None):
        with closing(self.connect(pool, user, password)) as connection, connection.cursor() as cursor:
            cursor.execute(statement)
            return cursor.fetchall()

    @contextmanager
    def steady_client(self, pool="shop", user="shop_app"):
        """A client that asks all the time, connection after connection; gives the list of its errors."""
        errors, over, asked = [], threading.Event(), threading.Event()

        def ask():
            while not over.is_set():
                try:
                    self.query("select 1", pool, user)
                except psycopg2.Error as error:
                    errors.append(error)
                asked.set()

        client = threading.Thread(target=ask)
        client.start()
        try:
            asked.wait(10)
            yield errors
            asked.clear()
            asked.wait(10)
        finally:
            over.set()
            client.join()


def pytest_generate_tests(metafunc):
    """Tests that are marked so meet the pgbouncer of each Debian, and not the installed one alone."""
    mark = metafunc.definition.get_closest_marker("every_pgbouncer")
    if mark and "pgbouncer" in metafunc.fixturenames and not metafunc.config.getoption("--pgbouncer"):
        releases = [None, *debian.others(*mark.args)]
        ids = ["installed", *(f"Debian {release}" for release in releases[1:])]
        metafunc.parametrize("pgbouncer", releases, ids=ids, indirect=True)


@pytest.fixture
def pgbouncer(request, monkeypatch):
    """The version of pgbouncer that nodes have."""
    if release := getattr(request, "param", None) or request.config.getoption("--pgbouncer"):
        try:
            programs = debian.fetched(release, "pgbouncer")
        except Failed as reason:
            pytest.skip(f"pgbouncer of Debian {release} cannot be had: {reason}")
        monkeypatch.setattr(trial, "PROGRAM", f"{programs}/usr/sbin/pgbouncer")
    told = subprocess.run([trial.PROGRAM, "--version"], check=True, capture_output=True, text=True).stdout
    return tuple(int(number) for number in re.search(r"(\d+)\.(\d+)", told).groups())


@pytest.fixture
def make_node(tmp_path_factory, pgbouncer):
    """Make nodes by name."""
    directory = Path(tempfile.mkdtemp(prefix="pgp-", dir="/tmp"))
    directory.chmod(0o755)
    nodes = []

    def make(name):
        nodes.append(AppNode(directory, name))
        return nodes[-1]

    yield make
    for node in nodes:
        node.stop()
    shutil.rmtree(directory)


@pytest.fixture
def shop(cluster):
    """A converged cluster with a shop, and the pillar that a node with the shop's application sees."""
    users = {"shop": {}, "shop_app": {}, "wiki": {}}
    databases = {"wiki": "wiki", "shop": {"owner": "shop", "access": {"shop_app": "write"}}}
    cluster.converge(databases=databases, users=users)
    tree = cluster.tree(databases=databases, users=users)
    tree["clusters"]["main"] = {"host": "127.0.0.1", "port": cluster.server.port, "ca": cluster.server.ca_pem}
    tree["users"] = {"shop_app": tree["users"]["shop_app"]}
    return tree


@pytest.fixture
def node(make_node):
    return make_node("app-1")


@pytest.fixture
def own_etc(node):
    """A node whose /etc is the machine's, with what it writes there, while the test lasts."""
    with laid_over("/etc", node.root / "etc"):
        yield node


@pytest.fixture
def running(node, shop):
    """A node that is converged and at work."""
    node.converge(shop)
    node.start()
    return node


@pytest.fixture
def calm(running):
    """A node at work, whose client must see no error whatever the test does."""
    with running.steady_client() as errors:
        yield running
    assert errors == []


@pytest.fixture
def other_pool(running, with_wiki):
    """A node at work with a second user, whose client must see no error whatever befalls the first."""
    running.converge(with_wiki)
    with running.steady_client("wiki", "wiki") as errors:
        yield running
    assert errors == []


@pytest.fixture
def with_wiki(shop, cluster):
    """The pillar once the node has a second user."""
    tree = copy.deepcopy(shop)
    tree["users"]["wiki"] = {"password": cluster.passwords["wiki"]}
    return tree


@pytest.fixture
def certify(cluster):
    """Let the server show other certificates during the test."""
    yield cluster.server.certify
    cluster.server.certify()


@pytest.fixture
def two_clusters(shop, neighbour):
    """The pillar of a node whose users have their databases on two clusters, each with a CA of its own."""
    neighbour.converge(databases={"wiki": "wiki"}, users={"wiki": {}})
    other = {"host": "127.0.0.1", "port": neighbour.server.port, "ca": neighbour.server.ca_pem}
    tree = copy.deepcopy(shop)
    tree["clusters"]["other"] = other
    tree["databases"]["shop"]["cluster"] = "main"
    tree["databases"]["wiki"] = {"owner": "wiki", "cluster": "other"}
    tree["users"]["wiki"] = {"password": neighbour.passwords["wiki"]}
    return tree
