"""A cluster of this host, where the admin is who it is in the operating system and has no password."""

import os
import pwd
from concurrent.futures import ThreadPoolExecutor

import pytest

from pgpillar import connect
from pgpillar.connect import ClusterError
from pgpillar.pillar import PillarError
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


def test_who_connects_is_by_default_called_as_the_admin_is(local):
    """On Debian both are postgres."""
    if local.server.account.pw_name == local.server.superuser:
        del local.admin["run_as"]
    local.settle(databases={"shop": "shop"}, users=["shop"])


@pytest.mark.parametrize("wrong", ["daemon", "no-such-account"])
def test_somebody_else_is_not_let_in(local, wrong):
    local.admin["run_as"] = wrong
    with pytest.raises(ClusterError, match=r"Peer authentication failed .*name the right system user"):
        local.attempt(users=["shop"])


@pytest.mark.usefixtures("clients")
def test_a_dump_is_taken_as_the_system_user_and_kept_by_its_own(local, tmp_path):
    tmp_path.chmod(0o700)
    local.endpoint["dumps"] = str(tmp_path)
    local.converge(databases={"shop": "shop"}, users=["shop"])
    for state in ("quarantined", "absent"):
        local.settle(databases={"shop": {"owner": "shop", "state": state}}, users=["shop"])
    (written,) = tmp_path.glob("*")
    assert (written.stat().st_uid, written.stat().st_mode & 0o777) == (os.getuid(), 0o600)


@pytest.fixture
def with_password(cluster):
    """The admin's password as the proof, over the socket."""
    cluster.endpoint = {"host": str(cluster.server.socket_dir), "port": cluster.server.port}
    return cluster


def test_a_password_does_as_well(with_password):
    with_password.settle(databases={"shop": "shop"}, users=["shop"])
    assert with_password.query("select 1", user="shop", dbname="shop") == [(1,)]


def test_a_hosted_admin_may_use_the_socket(hosted):
    hosted.endpoint = {"host": str(hosted.server.socket_dir), "port": hosted.server.port}
    hosted.settle(databases={"shop": "shop"}, users=["shop"])


def test_a_wrong_password_is_said_to_be_one(with_password):
    with_password.admin["password"] = "wrong"
    with pytest.raises(
        ClusterError, match=r"password authentication failed .*mend its password in the secrets file"
    ):
        with_password.attempt(users=["shop"])


def test_a_socket_that_is_not_there_is_said_to_be_missing(with_password, tmp_path):
    with_password.endpoint["host"] = str(tmp_path)
    with pytest.raises(ClusterError, match="is the server running, and host and port right"):
        with_password.attempt(users=["shop"])


def test_a_socket_has_no_address(with_password):
    with_password.endpoint["hostaddr"] = "127.0.0.1"
    with pytest.raises(PillarError, match="clusters:main:hostaddr: a socket has no address"):
        with_password.attempt(users=["shop"])


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
