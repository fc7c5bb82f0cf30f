"""The verbs for pgbouncer's console, on one that runs."""

import threading

import pytest
from salt.exceptions import CommandExecutionError

pytestmark = pytest.mark.every_pgbouncer


@pytest.fixture
def call(running):
    def ask(verb, *arguments, **named):
        at = {"sockets": running.paths.sockets, "port": running.port}
        return running.minion._caller.cmd(f"pgbouncer.{verb}", *arguments, **named, **at)

    return ask


def test_paused_clients_wait_until_they_are_resumed(running, call):
    assert call("pause", "shop")
    answers = []
    client = threading.Thread(target=lambda: answers.append(running.query("select 1")))
    client.start()
    client.join(0.5)
    assert answers == [], "it was to wait"
    assert call("resume", "shop")
    client.join(10)
    assert answers == [[(1,)]]


def test_a_pool_that_is_not_done_in_time_is_not_paused(running, call):
    with running.connect("shop", "shop_app") as busy, busy.cursor() as cursor:
        cursor.execute("begin; select 1")
        with pytest.raises(CommandExecutionError, match="nothing is paused"):
            call("pause", "shop", patience=0.5)
        cursor.execute("commit")
        assert running.query("select 2") == [(2,)]


def test_a_reconnected_pool_has_another_session(running, call):
    (before,) = running.query("select pg_backend_pid()")
    assert running.query("select pg_backend_pid()") == [before]
    assert call("reconnect", "shop")
    assert running.query("select pg_backend_pid()") != [before]


@pytest.mark.parametrize("verb", ["pause", "resume", "reconnect"])
def test_what_is_no_name_of_a_pool_is_refused(call, verb):
    with pytest.raises(CommandExecutionError, match="is not the name of a pool"):
        call(verb, 'shop"; SHUTDOWN')
