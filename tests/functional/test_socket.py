"""A cluster of this host, where the admin is who it is in the operating system and has no password."""

import os
import pwd
from concurrent.futures import ThreadPoolExecutor

import pytest

from pgpillar import connect
from tests.functional.conftest import Cluster

DATABASES = {f"db{number}": "shop" for number in range(12)}


@pytest.fixture
def local(server):
    """Peer authentication as the account that the server runs as, and as nobody else."""
    ident = server.data / "pg_ident.conf"
    before = ident.read_text()
    ident.write_text(f"admins {server.account.pw_name} {server.superuser}\n")
    server.hba(["local all all peer map=admins"])
    cluster = Cluster(server)
    cluster.endpoint = {"host": str(server.socket_dir), "port": server.port}
    cluster.admin = {"user": server.superuser, "run_as": server.account.pw_name}
    yield cluster
    ident.write_text(before)
    server.hba()


def test_every_reader_connects_as_the_system_user(local):
    assert set(local.converge(databases=DATABASES, users=["shop"])["databases"]) == set(DATABASES)
    for _ in range(5):
        assert local.converge(databases=DATABASES, users=["shop"]) == {}


def test_nothing_is_printed(local, capfd):
    local.converge(databases={"shop": "shop"}, users=["shop"])
    assert capfd.readouterr() == ("", "")


def test_only_the_thread_that_connects_acts_as_another():
    """What the minion does beside it, it goes on doing as root."""
    with ThreadPoolExecutor(1) as beside:
        assert beside.submit(acting_as).result() == os.getuid()  # the thread is there before
        with connect.effective_user("nobody"):
            there = beside.submit(acting_as).result()
            assert (acting_as(), there) == (pwd.getpwnam("nobody").pw_uid, os.getuid())
    assert acting_as() == os.getuid()


def acting_as():
    return os.stat("/proc/thread-self").st_uid
