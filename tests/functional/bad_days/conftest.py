"""What every bad day is held to: no traceback, no secret, and ``changes`` that add up."""

from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager

import pytest

from devtools.postgres import wait_for
from tests.functional.minions import Minion

SHOP = {
    "databases": {
        "shop": {
            "owner": "shop",
            "schemas": {"reporting": "shop"},
            "access": {"app": "write", "analyst": "read"},
        }
    },
    "users": ["shop", "app", "analyst"],
    "groups": {"readers": {}},
}


class Day:
    """One day of one cluster: what is declared is applied by the state, and every verdict is kept."""

    def __init__(self, cluster, minion):
        self.cluster, self.minion, self.verdicts = cluster, minion, []

    def declare(self, **more):
        """What pillar holds from now on; nothing has to be the shop."""
        self.tree = self.cluster.tree(**{**SHOP, **more})

    def apply(self, test=False):
        self.verdicts.append(self.minion.apply(self.tree, test=test))
        return self.verdicts[-1]

    def fails(self, *words, test=False):
        """Apply, and see it fail with these words in the comment."""
        verdict = self.apply(test)
        assert verdict.result is False, verdict
        for word in words:
            assert word in verdict.comment
        return verdict

    def refuses(self, *words):
        """Fail with these words, foretold or not, and have changed nothing."""
        for test in (True, False):
            assert self.fails(*words, test=test).changes == {}

    def refuses_shop(self, *words):
        """Fail with these words for the database shop, and change all else as foretold."""
        foretold, done = self.fails(*words, test=True), self.fails(*words)
        assert done.lines == foretold.lines
        assert set(done.changes["databases"]) == {"wiki"}
        for verdict in (foretold, done):
            assert [line.partition(": ")[0] for line in verdict.comment.splitlines()[1:]] == [
                "- database 'shop'"
            ]

    def heals(self, done=frozenset()):
        """Apply what is left: just that, neither less nor again. Then there is nothing left."""
        foretold = self.apply(test=True)
        healed = self.apply()
        assert healed.result is True, healed
        assert healed.lines == foretold.lines
        assert not healed.lines & done
        assert self.apply().changes == {}
        return healed

    @contextmanager
    def applying(self):
        """Apply while the block runs; the verdict is known once it has ended."""
        with ThreadPoolExecutor(1) as pool:
            yield pool.submit(self.apply)


@pytest.fixture
def minion(tmp_path):
    return Minion(tmp_path / "minion")


@pytest.fixture
def day(cluster, minion, caplog):
    caplog.set_level(1)
    day = Day(cluster, minion)
    day.declare()
    yield day
    shown = caplog.text + repr(day.verdicts)
    assert "Traceback" not in shown
    for secret in (cluster.server.password, *cluster.passwords.values()):
        assert secret not in shown


_WAITING = """
    select pid from pg_locks where not granted
    union select pid from pg_stat_activity where wait_event = 'PgSleep'"""


class Watcher:
    """A superuser's session that sees who waits for what, and can end it."""

    def __init__(self, session):
        self.session = session

    def rows(self, statement, *parameters):
        with self.session.cursor() as cursor:
            cursor.execute(statement, parameters or None)
            return cursor.fetchall() if cursor.description else []

    def run(self, statement, *parameters):
        self.rows(statement, *parameters)

    def waiting(self):
        """The backends that wait for a lock, or sleep."""
        return {pid for (pid,) in self.rows(_WAITING)}

    def wait_for_a_waiter(self, other_than=None):
        seen = set()
        wait_for(lambda: seen.update(self.waiting() - {other_than}) or seen, "nobody came to wait")
        (pid,) = seen
        return pid

    def end(self, pid):
        self.run("select pg_terminate_backend(%s)", pid)


@pytest.fixture
def session(server):
    """Make superuser sessions, closed at the end."""
    made = []

    def connect(dbname="postgres", autocommit=True):
        made.append(server.connect(dbname=dbname))
        made[-1].autocommit = autocommit
        return Watcher(made[-1])

    yield connect
    for one in made:
        one.close()


@pytest.fixture
def watcher(session):
    return session()
