"""A run beside an application that creates, drops, reads and locks all the time. Both succeed."""

import contextlib
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from threading import Event

import psycopg2
import pytest

from devtools.postgres import wait_for
from tests.functional.minions import restarted

SHOP = {
    "databases": {"shop": {"owner": "shop", "access": {"app": "write", "ann": "read"}}},
    "users": ["shop", "app", "ann"],
}
CHURN = (
    "create table moving (id serial primary key, what text)",
    "create or replace view seen as select 1 as one",
    "create or replace function f(int) returns int language sql as 'select $1'",
    "drop function f(int)",
    "drop view seen",
    "drop table moving",
)
# What the application creates from now on lacks a right
DRIFT = [
    f"alter default privileges for role shop in schema public revoke all on {what} from app, ann"
    for what in ("tables", "sequences", "functions")
]


@contextlib.contextmanager
def repeating(cluster, statements, **connection):
    """Run statements over and over for as long as a block lasts. Their first error is raised at its end."""
    end, rounds = Event(), [0]

    def repeat():
        with (
            closing(cluster.server.connect(dbname="shop", **connection)) as session,
            session.cursor() as cursor,
        ):
            session.autocommit = True
            while not end.is_set():
                for statement in statements:
                    cursor.execute(statement)
                rounds[0] += 1

    with ThreadPoolExecutor(1) as pool:
        running = pool.submit(repeat)
        wait_for(lambda: rounds[0] or running.done(), "the application does not start")
        try:
            yield rounds
        finally:
            end.set()
            running.result()


@pytest.fixture
def shop(cluster):
    return with_orders(cluster)


@pytest.fixture(params=["cluster", "hosted"])
def any_shop(request):
    """With an admin that is a superuser, and with one that is none."""
    return with_orders(request.getfixturevalue(request.param))


def with_orders(cluster):
    cluster.converge(**SHOP)
    cluster.query("create table orders (id serial primary key)", user="shop", dbname="shop")
    return cluster


def as_owner(cluster):
    return {"user": "shop", "password": cluster.passwords["shop"]}


def test_what_an_application_drops_meanwhile_fails_nobody(shop):
    with repeating(shop, CHURN, **as_owner(shop)) as rounds:
        for _ in range(10):
            before = rounds[0]
            shop.query("; ".join(DRIFT), dbname="shop")
            wait_for(lambda before=before: rounds[0] > before, "the application stands still")
            outcome = shop.attempt(**SHOP)
            assert outcome.failures == {}
            wait_for(lambda before=before: rounds[0] > before, "the application stands still")
    shop.converge(**SHOP)
    assert shop.converge(**SHOP) == {}
    assert shop.query("select count(*) from orders", user="ann", dbname="shop") == [(0,)]


@pytest.fixture
def two_owners(shop):
    return given_to_boss(shop)


def given_to_boss(shop):
    """A pillar that gives every table to another owner."""
    shop.query("create table other (id int)", user="shop", dbname="shop")
    return {
        **SHOP,
        "databases": {"shop": {"owner": "boss", "access": {"app": "write", "ann": "read"}}},
        "users": [*SHOP["users"], "boss"],
    }


def test_nobody_waits_for_long_behind_a_run_that_waits(shop, two_owners):
    """A reader keeps a table for longer than a run waits. Another one comes through meanwhile."""
    shop.endpoint.update(lock_timeout=8, blocking_limit=1)
    with closing(shop.server.connect(dbname="shop")) as reader, ThreadPoolExecutor(1) as pool:
        reader.cursor().execute("select from orders")
        run = pool.submit(shop.attempt, **two_owners)
        wait_for(lambda: shop.query("select 1 from pg_locks where not granted"), "the run does not wait")
        with closing(shop.server.connect(dbname="shop", options="-c lock_timeout=6s")) as another:
            for _ in range(3):
                another.cursor().execute("select from orders")
                another.rollback()
        pid = reader.info.backend_pid
        outcome = run.result()
    (failure,) = outcome.failures.values()
    assert f"backend {pid}" in failure
    shop.settle(**two_owners)


def test_an_application_is_never_the_victim_of_a_deadlock(shop, two_owners):
    """It locks in the other order, and is through in the end. So is the run."""
    shop.endpoint.update(lock_timeout=60)
    crossing = ["begin; lock table other, orders; commit", "begin; lock table orders, other; commit"]
    for owner in (two_owners, SHOP, two_owners):
        with repeating(shop, crossing):
            assert shop.attempt(**{**owner, "users": two_owners["users"]}).failures == {}
    assert shop.converge(**two_owners) == {}


FOR_EACH = "do $$ begin for n in 1..1500 loop {}; end loop; end $$"
CREATE = FOR_EACH.format("execute format('create table t%s ()', n); commit")
LOCK = FOR_EACH.format("execute format('lock table t%s', n)")


def test_more_tables_than_the_server_can_lock_change_owner_in_steps(any_shop):
    shop, two_owners = any_shop, given_to_boss(any_shop)
    with restarted(shop.server, max_locks_per_transaction=10, max_connections=20, max_worker_processes=2):
        shop.query(CREATE, user="shop", dbname="shop")
        with pytest.raises(psycopg2.errors.OutOfMemory):
            shop.query(LOCK, dbname="shop")
        foretold = shop.preview(**two_owners)
        assert shop.converge(**two_owners) == foretold
        assert shop.converge(**two_owners) == {}
    (moved,) = [line for line in foretold["databases"]["shop"] if "table" in line and "shop → boss" in line]
    assert moved == (
        "tables orders, other, t1 and 1,499 more in schema public owner: shop → boss, in 16 steps"
    )
    owners = "select tableowner, count(*) from pg_tables where tablename ~ '^t[0-9]' group by 1"
    assert shop.query(owners, dbname="shop") == [("boss", 1500)]


ATTIC = FOR_EACH.format("execute format('create table attic.t%s (id serial)', n); commit")


def test_more_tables_than_the_server_can_lock_are_left_to_an_heir_in_steps(any_shop):
    """They stand in a schema that pillar does not name, so that no change of the plan names them."""
    shop = any_shop
    shop.converge(**{**SHOP, "users": [*SHOP["users"], "boss"]})
    shop.query("create schema attic", user="shop", dbname="shop")
    leaving = {
        "databases": {"shop": {"owner": "boss", "access": {"app": "write", "ann": "read"}}},
        "users": {"app": {}, "ann": {}, "boss": {}, "shop": {"state": "absent", "reassign_to": "boss"}},
    }
    with restarted(shop.server, max_locks_per_transaction=10, max_connections=20, max_worker_processes=2):
        shop.query(ATTIC, user="shop", dbname="shop")
        shop.settle(**leaving)
    owners = "select tableowner, count(*) from pg_tables where schemaname = 'attic' group by 1"
    assert shop.query(owners, dbname="shop") == [("boss", 1500)]
