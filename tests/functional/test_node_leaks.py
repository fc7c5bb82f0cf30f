"""Both passwords of an app node converge, rotate and fail at the highest log level, and are found nowhere.

The real one is what the server and pgbouncer know; the node's own is what pgbouncer and the application know.
"""

import contextlib
import json
import shutil
import tempfile
from pathlib import Path

import pytest

from tests.functional.conftest import Cluster, clean
from tests.functional.leaks import ANY_VERIFIER, LOUD, PLANTED, Sampler, forms, found, is_open, plant
from tests.functional.minions import Minion, restarted
from tests.functional.node.conftest import AppNode

REAL = {"first": "R3al'\"\\%s{{}} ü", "rotated": "R0tated'\"\\%(x)s ü", "wrong": "Wr0ng'\"\\%% ü &+/=?#@"}
TALKATIVE = {"log_connections": 1, "log_disconnections": 1, "log_pooler_errors": 1}
USER = "games"  # the system user of the application


class History:
    """What highstates of a node printed and returned, and all passwords that it ever had."""

    def __init__(self, cluster, node, scratch):
        self.cluster, self.node, self.scratch = cluster, node, scratch
        self.printed, self.states, self.own = {}, {}, set()
        self.log_before = len(cluster.server.log.read_bytes())  # it is the log of other tests as well

    def hold(self, password="first", **settings):
        """Let pillar hold a real password; the server learns it only by ``rotate``."""
        tree = self.tree(password)
        endpoint = {"host": "127.0.0.1", "port": self.cluster.server.port, "ca": self.cluster.server.ca_pem}
        user = {**tree["users"]["app"], "run_as": USER}
        pooler = {"port": self.node.port, "settings": {**TALKATIVE, **settings}}
        self.node.minion.hold(
            {**tree, "clusters": {"main": endpoint}, "users": {"app": user}, "pgbouncer": pooler}
        )

    def tree(self, password):
        databases = {"shop": {"owner": "keeper", "access": {"app": "write"}}}
        users = {"app": {"password": REAL[password]}}
        return self.cluster.tree(databases=databases, users=users, groups={"keeper": {}})

    def rotate(self, password):
        self.cluster.converge(**{key: self.tree(password)[key] for key in ("databases", "users", "groups")})

    def call(self, name, *what):
        """Run salt-call as people do, at the highest log level; returns what it returns."""
        log = ["--log-level", "all", "--log-file", str(self.scratch / "log"), "--log-file-level", "all"]
        out, err = self.node.minion.start(*log, *what).wait()
        self.printed |= {f"{name}: stdout": out.encode(), f"{name}: stderr": err.encode()}
        return json.loads(out)["local"]

    def highstate(self, name):
        returned = self.call(name, "state.highstate")
        self.states[name] = {key.split("_|-")[0]: state for key, state in returned.items()}
        self.own.add(self.node.secret("app"))

    def needles(self):
        return set().union(*map(forms, [*REAL.values(), *self.own]))


@pytest.fixture(scope="module")
def history(servers, default_major, tmp_path_factory):
    with (
        clean(servers(default_major)) as server,
        restarted(server, **LOUD),
        tempfile.TemporaryDirectory(prefix="pgp-", dir="/tmp") as directory,
        contextlib.ExitStack() as at_the_end,
    ):
        Path(directory).chmod(0o755)
        scratch = tmp_path_factory.mktemp("scratch")
        node = AppNode(directory, "shop-1")
        at_the_end.callback(node.stop)
        options = {"id": node.name, "pgpillar_root": str(node.root), "cache_jobs": True}
        node.minion = Minion(node.root / "minion", **options)
        server.query("create extension if not exists pg_stat_statements; select pg_stat_statements_reset()")
        history = History(Cluster(server), node, scratch)
        of_others = passing()
        with Sampler(lambda: open_files(node.root, passing() - of_others)) as history.sampler:
            plant(node.root / "etc" / "planted")
            _converge_rotate_and_fail(history)
        yield history


def passing():
    """The places of what is there for a moment only."""
    return set(Path("/tmp").glob("pgpillar-*"))


def open_files(root, more):
    """What anybody can read of the node, and of more places."""
    places = [root / "etc", root / "var", *more]
    return [path for place in places if is_open(place) for path in place.rglob("*") if is_open(path)]


def _converge_rotate_and_fail(history):
    node = history.node
    history.rotate("first")
    history.hold()
    history.highstate("first")
    node.start()
    node.query("select 1", user="app")
    history.highstate("again")
    _look(history, f"sockets={node.paths.sockets}", f"port={node.port}")
    history.hold("rotated")
    assert history.call("plan", "pgbouncer.plan", f"root={node.root}") == {"pools": {"shop": "password"}}
    history.highstate("too early")
    history.rotate("rotated")
    history.highstate("rotate")
    Path(node.paths.secrets, "app").unlink()
    history.call("foretold", "state.highstate", "test=True")
    history.highstate("secret lost")
    node.query("select 1", user="app")
    history.hold("wrong")
    history.highstate("wrong password")
    history.hold("rotated", pool_mode="nonsense")
    history.highstate("pgbouncer refuses")
    history.hold("rotated", default_pool_size=7)
    history.cluster.server.stop()
    history.highstate("server is down")
    history.cluster.server.start()
    _refuse_to_reload(history)


def _look(history, *at):
    assert set(history.call("pools", "pgbouncer.pools", *at)) == {"shop"}
    for table in ("databases", "users", "config"):
        assert history.call(f"show {table}", "pgbouncer.show", table, *at)


def _refuse_to_reload(history):
    """A pgbouncer that runs on a file of its own does not take up the new ones."""
    node = history.node
    node.stop()
    ini = Path(node.paths.pgbouncer, "own.ini")
    ini.write_text(Path(node.paths.pgbouncer, "live", "pgbouncer.ini").read_text())
    ini.chmod(0o640)
    shutil.chown(ini, group="postgres")
    node.start(str(ini))
    history.highstate("reload refused")


# Where it could be


def test_the_runs_did_what_they_were_to_do(history):
    results = {name: states["pgbouncer"]["result"] for name, states in history.states.items()}
    failing = {"too early", "wrong password", "pgbouncer refuses", "server is down", "reload refused"}
    assert results == {name: name not in failing for name in results}
    assert history.states["again"]["pgbouncer"]["changes"] == {}
    assert "pool_mode" in history.states["pgbouncer refuses"]["pgbouncer"]["comment"]
    assert "did not take up" in history.states["reload refused"]["pgbouncer"]["comment"]
    assert history.states["rotate"]["pgbouncer"]["changes"]["pools"] == {"shop": "password"}
    assert len(history.own) == 2, "the first one of the node, and the one after that was lost"


def test_what_is_planted_is_found(history):
    for planted in PLANTED:
        assert any(planted.encode() in seen for seen in history.sampler.seen)


def test_nothing_is_printed_or_returned(history):
    assert b"pgbouncer.configured" in history.printed["first: stderr"], "logged at all"
    assert found({*history.needles(), ANY_VERIFIER}, history.printed) == set()


def test_nothing_is_in_the_log_file(history):
    log = (history.scratch / "log").read_bytes()
    assert log.count(b"Executing state pgbouncer.configured") == len(history.states) + 1
    assert found({*history.needles(), ANY_VERIFIER}, {"log": log}) == set()


def test_nothing_is_in_a_command_line_an_environment_or_an_open_file(history):
    assert any(b"/usr/sbin/pgbouncer" in seen for seen in history.sampler.seen), "it saw the scratch instance"
    assert found(history.needles(), {seen: seen for seen in history.sampler.seen}) == set()


def test_nothing_is_in_the_caches_of_the_minion(history):
    files = contents(history.node.minion.root)
    assert any("minion_jobs" in path.parts for path in files), "the job cache is where we look"
    assert found({*history.needles(), ANY_VERIFIER}, files) == set()


def test_nothing_is_in_the_log_of_pgbouncer(history):
    log = Path(history.node.paths.log).read_bytes()
    assert b"login attempt: db=shop user=app" in log
    assert found({*history.needles(), ANY_VERIFIER}, {"log": log}) == set()


def test_nothing_is_in_the_log_and_the_statistics_of_the_server(history):
    log = history.cluster.server.log.read_bytes()[history.log_before :]
    assert b"connection authorized: user=app database=shop" in log
    statements = [text for (text,) in history.cluster.query("select query from pg_stat_statements")]
    places = {"log": log, "statistics": "\n".join(statements).encode()}
    assert found({*history.needles(), ANY_VERIFIER}, places) == set()


def test_those_hold_them_who_must_and_nobody_else_can_read_those(history):
    files = contents(history.node.root)
    real, own = (found(set().union(*map(forms, some)), files) for some in (REAL.values(), history.own))
    assert {path.name for path in real} == {"own.ini", "pgbouncer.ini"}
    plain = {"userlist.txt"}  # where a verifier does not work
    assert {path.name for path in own} - plain == {"app", "pgpass", "shop.env"}
    assert not [path for path in real | own if is_open(path)]


def contents(directory):
    return {path: path.read_bytes() for path in directory.rglob("*") if path.is_file()}
