"""Secrets converge, rotate and fail in real highstates at the highest log level, and are found nowhere."""

from contextlib import closing

import pytest
from psycopg2.extensions import encrypt_password
from psycopg2.sql import SQL, Literal

from devtools import postgres
from pgpillar.model import UNFINISHED_LIMIT
from tests.functional.conftest import Cluster, clean, make_hosted
from tests.functional.leaks import ANY_VERIFIER, LOUD, PLANTED, Sampler, forms, found, parts, plant
from tests.functional.minions import Minion, finish, restarted

ADMIN = "Adm1n'\"\\%s: für $$ alle"
SECRETS = {"admin": ADMIN, "wrong": "Wr0ng'\"\\%s: für $$ alle", "shop": "Sh0p é'\"\\% &+/=?#@"}
SECRETS |= {
    "app": "F1rst-app'\"\\%s{{}} ü",
    "rotated": "R0tated-app'\"\\%(x)s ü",
    "late": "L4te-app'\"\\%% ü",
}


# The runs


class History:
    """What a series of highstates printed, and left behind."""

    def __init__(self, cluster, minion, scratch):
        self.cluster, self.minion, self.scratch = cluster, minion, scratch
        self.printed, self.verdicts, self.verifiers = {}, {}, set()

    def hold(self, app="app", admin="admin", **shop):
        self.cluster.admin["password"] = SECRETS[admin]
        tree = self.cluster.tree(
            databases={"shop": {"owner": "shop", "access": {"app": "write"}, **shop}},
            users={"shop": {"password": SECRETS["shop"]}, "app": {"password": SECRETS[app]}},
        )
        self.minion.hold(tree)

    def start(self, *what):
        log = ["--log-level", "all", "--log-file", str(self.scratch / "log"), "--log-file-level", "all"]
        return self.minion.start(*log, *what, TMPDIR=str(self.scratch / "tmp"))

    def call(self, name, *what):
        out, err = self.start(*what).wait()
        self.printed |= {f"{name}: stdout": out.encode(), f"{name}: stderr": err.encode()}

    def highstate(self, name, process=None):
        self.verdicts[name], out, err = finish(process or self.start("state.highstate"))
        self.printed |= {f"{name}: stdout": out.encode(), f"{name}: stderr": err.encode()}
        self._take_verifiers()

    def _take_verifiers(self):
        if self.cluster.server.running:
            rows = self.cluster.query(
                "select rolpassword from pg_authid where rolname in ('app', 'shop', 'chief')"
            )
            self.verifiers |= {verifier for (verifier,) in rows if verifier}

    def needles(self, *more):
        plain = set().union(*map(forms, SECRETS.values()))
        return plain.union(more, *map(parts, self.verifiers))


@pytest.fixture(scope="module")
def history(servers, default_major, tmp_path_factory):
    with clean(servers(default_major)) as server, restarted(server, **LOUD):
        _make_admin(server)
        scratch = tmp_path_factory.mktemp("scratch")
        (scratch / "tmp").mkdir()
        history = History(Cluster(server, "chief", ADMIN), Minion(scratch / "minion"), scratch)
        with Sampler(lambda: (scratch / "tmp").rglob("*")) as history.sampler:
            plant(scratch / "tmp" / "planted")
            _converge_rotate_and_fail(history)
        yield history


def _make_admin(server):
    """A superuser with a password that is easy to get wrong; made before the server's log is looked at."""
    with closing(server.connect()) as session, session.cursor() as cursor:
        verifier = encrypt_password(ADMIN, "chief", scope=session, algorithm="scram-sha-256")
        cursor.execute("set log_statement = 'none'; set log_min_duration_statement = -1")
        cursor.execute(SQL("create role chief superuser login password {}").format(Literal(verifier)))
        cursor.execute("create extension if not exists pg_stat_statements; select pg_stat_statements_reset()")
        session.commit()


def _converge_rotate_and_fail(history):
    server = history.cluster.server
    history.hold()
    history.call("plan", "pg_access.plan")
    history.highstate("first")
    history.highstate("again")
    history.call("inspect", "pg_access.inspect")
    history.hold(app="rotated")
    history.highstate("rotate")
    history.hold(app="rotated", admin="wrong")
    history.highstate("wrong admin password")
    history.hold(app="rotated", bootstrap=history.minion.script("fails.sql", "select 1/0"))
    # As if it had been cut off before its script
    history.cluster.query(f"alter database shop connection limit {UNFINISHED_LIMIT}")
    history.cluster.query("alter database shop owner to chief")
    history.highstate("failing script")
    history.minion.script("fails.sql", "select pg_sleep_for('1 hour')")
    process = history.start("state.highstate")
    sleeper = "select 1 from pg_stat_activity where wait_event = 'PgSleep'"
    postgres.wait_for(lambda: server.query(sleeper), "the script is not run")
    server.kill()
    history.highstate("server dies", process)
    server.start()
    server.query("alter database shop connection limit -1")
    _fail_to_set_a_password(history, server)


def _fail_to_set_a_password(history, server):
    """The statement that holds the verifier waits, is looked at, and fails."""
    history.cluster.endpoint["lock_timeout"] = 2
    history.hold(app="late")
    with closing(server.connect()) as session, session.cursor() as cursor:
        cursor.execute("alter role app connection limit 7")
        process = history.start("state.highstate")
        waiting = "select pid from pg_locks where not granted"
        postgres.wait_for(lambda: server.query(waiting), "nobody waits for the role")
        history.seen = repr(server.query("select * from pg_stat_activity")).encode()
        history.highstate("late", process)


# Where it could be


def test_the_runs_did_what_they_were_to_do(history):
    results = {name: verdict.result for name, verdict in history.verdicts.items()}
    failing = {"wrong admin password", "failing script", "server dies", "late"}
    assert results == {name: name not in failing for name in results}
    assert ("roles", "app", "set password") in history.verdicts["rotate"].lines
    assert "set password: canceling statement due to lock timeout" in history.verdicts["late"].comment
    assert len(history.verifiers) == 4, "the admin's, shop's, and two of app's"


def test_what_is_planted_is_found(history):
    for planted in PLANTED:
        assert any(planted.encode() in seen for seen in history.sampler.seen)
    for shape in history.needles():
        assert found(history.needles(), {"here": b"before " + shape + b" after"}) == {"here"}


def test_nothing_is_printed_or_returned(history):
    assert b"pg_access" in history.printed["first: stderr"], "logged at all"
    assert found(history.needles(ANY_VERIFIER), history.printed) == set()


def test_nothing_is_in_the_log_file(history):
    log = (history.scratch / "log").read_bytes()
    assert log.count(b"Executing state pg_access.converged") >= 7
    assert found(history.needles(ANY_VERIFIER), {"log": log}) == set()


def test_nothing_is_in_a_command_line_an_environment_or_a_temporary_file(history):
    places = {seen: seen for seen in history.sampler.seen}  # other programs' verifiers may be among it
    assert found(history.needles(), places) == set()
    assert not list((history.scratch / "tmp").iterdir()), "nothing stays behind"


def test_nothing_is_in_the_caches_of_the_minion(history):
    files = {path: path.read_bytes() for path in history.minion.root.rglob("*") if path.is_file()}
    assert any(path.name == "pg_access.py" for path in files), "the cache is where we look"
    assert found(history.needles(ANY_VERIFIER), files) == set()


def test_nothing_is_in_the_log_of_the_server(history):
    log = history.cluster.server.log.read_bytes()
    assert b'statement: CREATE ROLE "app"' in log
    assert b"still waiting" in log
    assert found(history.needles(ANY_VERIFIER), {"log": log}) == set()


def test_nothing_is_in_the_statistics_of_the_server(history):
    statements = [text for (text,) in history.cluster.query("select query from pg_stat_statements")]
    assert any(text.startswith("SET LOCAL log_statement") for text in statements), "it is where we look"
    statistics = {"finished": "\n".join(statements).encode(), "running": history.seen}
    assert found(history.needles(ANY_VERIFIER), statistics) == set()


def test_a_hosted_server_may_log_the_verifier_and_never_the_password(server):
    """Only a superuser may keep a statement out of the log."""
    hosted = make_hosted(server)
    with restarted(server, log_statement="all", log_min_duration_statement="0"):
        before = len(server.log.read_bytes())
        hosted.converge(users={"shop": {"password": SECRETS["shop"]}})
        log = server.log.read_bytes()[before:]
    assert b"PASSWORD 'SCRAM-SHA-256$4096:" in log
    assert found(forms(SECRETS["shop"]) | forms(hosted.admin["password"]), {"log": log}) == set()
