"""Days on which a run is cut in the middle: of the roles, between two databases' steps, in a script."""

from contextlib import contextmanager

import pytest

from devtools.postgres import HBA, wait_for
from tests.functional.minions import Minion, finish, restarted

GOES_ON = "create table kept ()"
SLEEPS = f"{GOES_ON}; select pg_sleep_for('1 hour')"
HOLDER = """
    select pid from pg_stat_activity join pg_locks using (pid)
    where locktype = 'transactionid' and state = 'idle in transaction'"""
CUT = "the connection was lost; run this again"


@pytest.fixture
def hold(session):
    """Hold a lock for as long as a block lasts, in a session of its own."""

    @contextmanager
    def holding(statement):
        holder = session(autocommit=False)
        holder.run(statement)
        try:
            yield holder
        finally:
            if not holder.session.closed:
                holder.session.close()

    return holding


LOGIN_THAT_IS_LEFT = (
    "roles",
    "pgpillar_bootstrap",
    "remove the login of bootstrap scripts, which an interrupted run left",
)


class Script:
    """The script of a database between two others, which sleeps until it is woken up."""

    def __init__(self, day):
        self.minion = day.minion
        script = self.minion.script("sleeps.sql", SLEEPS)
        shop = {**day.tree["databases"]["shop"], "bootstrap": script}
        day.declare(databases={"forum": "shop", "shop": shop, "wiki": "shop"})

    def wake(self):
        self.minion.script("sleeps.sql", GOES_ON)


@pytest.fixture
def script(day):
    return Script(day)


def test_in_the_roles(day, watcher, hold):
    day.declare(users={"shop": {"settings": {"work_mem": "5MB"}}, "app": {}, "analyst": {}})
    foretold = day.apply(test=True)
    with hold("lock table pg_authid in share mode"), day.applying() as run:
        watcher.end(watcher.wait_for_a_waiter())
    failed = run.result()
    assert failed.result is False
    assert f"roles: role 'analyst': create user: {CUT}" in failed.comment
    assert failed.changes == {}, "created, and rolled back"
    assert day.heals().lines == foretold.lines


def test_right_after_create_database(day, server):
    day.declare(databases={})
    roles = day.heals()
    day.declare()
    foretold = day.apply(test=True)
    server.hba(["hostssl shop all all reject", *HBA])
    try:
        failed = day.fails("database 'shop': cannot connect", "let this address in there")
    finally:
        server.hba()
    assert failed.changes == {"databases": {"shop": ["create, closed to PUBLIC"]}}
    healed = day.heals(done=failed.lines | roles.lines)
    assert failed.lines | healed.lines == foretold.lines


def test_in_a_database(day, watcher, hold):
    shop = {**day.tree["databases"]["shop"], "template": template_that_waits(day.cluster)}
    day.declare(databases={"shop": shop, "wiki": "shop"})
    foretold = day.apply(test=True)
    with hold("lock table pg_shdescription in share mode"), day.applying() as run:
        watcher.end(watcher.wait_for_a_waiter())
    failed = run.result()
    assert failed.result is False
    assert f"- database 'shop': create schema reporting, owner shop: {CUT}" in failed.comment
    assert set(failed.changes["databases"]) == {"shop", "wiki"}
    healed = day.heals(done=failed.lines)
    assert failed.lines | healed.lines == foretold.lines


def template_that_waits(cluster):
    """A database whose copies wait, at the first DDL, for a table that all databases share."""
    cluster.query("create database waits template template0")
    lock = "lock table pg_shdescription in row exclusive mode"
    function = f"returns event_trigger language plpgsql as $$ begin {lock}; end $$"
    cluster.query(f"create schema hidden; create function hidden.wait() {function}", dbname="waits")
    cluster.query(
        "create event trigger wait on ddl_command_start execute function hidden.wait()", dbname="waits"
    )
    return "waits"


def test_in_a_script(day, script, watcher):
    foretold = day.apply(test=True)
    with day.applying() as run:
        watcher.end(watcher.wait_for_a_waiter())
    failed = run.result()
    assert failed.result is False
    assert f"- database 'shop': salt://sleeps.sql failed and left nothing behind: {CUT}" in failed.comment
    assert set(failed.changes["databases"]) == {"forum", "shop", "wiki"}
    script.wake()
    healed = day.heals(done=failed.lines)
    assert failed.lines | healed.lines == foretold.lines


def test_the_lock_of_the_cluster_is_lost(day, script, watcher):
    """Nothing is kept, and nothing is begun, without it."""
    script.minion.script("sleeps.sql", f"{GOES_ON}; select pg_sleep_for('1 s')")
    foretold = day.apply(test=True)
    with day.applying() as run:
        watcher.wait_for_a_waiter()
        ((holder,),) = watcher.rows(HOLDER)
        watcher.end(holder)
    failed = run.result()
    assert failed.result is False
    assert "database 'shop': the connection that holds the lock on the cluster was lost" in failed.comment
    assert failed.changes["databases"]["shop"][-1] == "mark as finished"
    assert "wiki" not in failed.changes["databases"]
    script.wake()
    healed = day.heals(done=failed.lines)
    assert failed.lines | healed.lines == foretold.lines


def test_the_server_crashes(day, script, server, session):
    with restarted(server, synchronous_commit="on"):
        foretold = day.apply(test=True)
        with day.applying() as run:
            session().wait_for_a_waiter()
            server.kill()
    failed = run.result()
    assert failed.result is False
    assert "- database 'shop': salt://sleeps.sql failed" in failed.comment
    assert CUT in failed.comment
    assert set(failed.changes["databases"]) == {"forum", "shop"}
    script.wake()
    healed = day.heals(done=failed.lines)
    assert failed.lines | healed.lines == foretold.lines | {LOGIN_THAT_IS_LEFT}


def test_while_a_database_is_dumped_to_be_dropped(day, cluster):
    """It was left open to the admin alone, so it is still as good as closed."""
    day.heals()
    day.declare(databases={"shop": {"state": "absent"}})
    day.fails("database 'shop' is still open, and only a quarantined one is dropped")
    day.declare(databases={"shop": {"state": "quarantined"}})
    day.heals()
    cluster.query("revoke connect on database shop from public, shop, app, analyst")
    cluster.query("alter database shop allow_connections true")
    day.declare(databases={"shop": {"state": "absent"}})
    assert day.apply(test=True).changes == {"databases": {"shop": ["dump, then drop"]}}


def test_salt_is_killed(day, script, watcher, tmp_path):
    """The server, from 14 on, ends what the dead process had begun, and the next run does it."""
    day.minion.hold(day.tree)
    call = day.minion.start("state.highstate", TMPDIR=str(tmp_path))
    backend = watcher.wait_for_a_waiter()
    call.kill()
    if watcher.session.server_version < 140000:
        watcher.end(backend)
    gone = "select 1 from pg_stat_activity where pid = %s"
    wait_for(lambda: not watcher.rows(gone, backend), "the script of a dead run goes on")
    assert day.cluster.query("select to_regclass('kept')", dbname="shop") == [(None,)]
    script.wake()
    healed, _, _ = finish(day.minion.start("state.highstate"))
    assert healed.result is True
    assert day.apply().changes == {}


def test_several_highstates_at_once(day, tmp_path):
    """One changes, and the others find nothing to do."""
    minions = [Minion(tmp_path / str(number)) for number in range(5)]
    for minion in minions:
        minion.hold(day.tree)
    foretold = day.apply(test=True)
    started = [minion.start("state.highstate") for minion in minions]
    finished = [finish(process) for process in started]
    verdicts = [verdict for verdict, _, _ in finished]
    assert [verdict.result for verdict in verdicts] == [True] * 5
    (changed,) = [verdict for verdict in verdicts if verdict.changes]
    assert changed.lines == foretold.lines
    assert day.apply().changes == {}
