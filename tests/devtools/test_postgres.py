"""Private servers of every major version: verified, unprivileged, and silent about their passwords."""

import os
import shutil
import signal
import socket
import tempfile
import threading
from contextlib import closing, contextmanager
from pathlib import Path

import psycopg2
import pytest

from devtools import postgres, tls


@pytest.fixture(scope="module", params=postgres.majors())
def major(request):
    return request.param


@pytest.fixture(scope="module")
def server(major):
    with postgres.temporary(major) as running:
        yield running


@pytest.fixture
def place():
    """A directory that the servers' user can enter, which pytest's own are not."""
    directory = Path(tempfile.mkdtemp(dir="/tmp"))
    directory.chmod(0o755)
    yield directory
    shutil.rmtree(directory)


def one(server, statement, **connection):
    ((value,),) = server.query(statement, **connection)
    return value


def test_the_server_is_of_the_version_that_was_asked_for(server, major):
    assert int(one(server, "SHOW server_version_num")) // 10000 == major


def test_tls_verifies_the_name_and_dials_the_address(server):
    for name in server.names:
        where = {"over": "tls", "host": name, "hostaddr": "127.0.0.1"}
        assert one(server, "SELECT ssl FROM pg_stat_ssl WHERE pid = pg_backend_pid()", **where)


def test_another_authority_is_refused(server, tmp_path):
    tls.authority(tmp_path)
    with pytest.raises(psycopg2.OperationalError, match="certificate verify failed"):
        server.connect(over="tls", sslrootcert=tmp_path / "ca.pem")


def test_a_certificate_of_another_authority_is_refused(server, tmp_path):
    with presenting(server, authority=tls.authority(tmp_path)):
        with pytest.raises(psycopg2.OperationalError, match="certificate verify failed"):
            server.connect(over="tls")
        server.connect(over="tls", sslrootcert=tmp_path / "ca.pem").close()


def test_a_certificate_of_another_name_is_refused(server):
    with presenting(server, "elsewhere.example.internal"):
        with pytest.raises(psycopg2.OperationalError, match="does not match host name"):
            server.connect(over="tls")
        server.connect(over="tls", host="elsewhere.example.internal").close()


@contextmanager
def presenting(server, *names, **options):
    server.certify(*names, **options)
    yield
    server.certify()
    server.connect(over="tls").close()


def test_plain_text_is_refused(server):
    with pytest.raises(psycopg2.OperationalError, match="no pg_hba"):
        server.connect(over="tls", sslmode="disable")


def test_a_wrong_password_is_refused_on_both_ways(server):
    for way in ("socket", "tls"):
        with pytest.raises(psycopg2.OperationalError, match="password authentication failed"):
            server.connect(user=server.superuser, password="wrong", over=way)


@pytest.mark.parametrize("extension", ["citext", "hstore", "pg_trgm"])
def test_contrib_is_there(server, extension):
    server.query(f"CREATE EXTENSION {extension}")


def test_icu_sorts(server):
    server.query("CREATE COLLATION german (provider = icu, locale = 'de-DE')")
    assert one(server, """SELECT 'ä' < 'b' COLLATE german"""), "bytes would put it behind z"
    assert not one(server, """SELECT 'ä' < 'b' COLLATE "C" """)


def test_the_server_runs_unprivileged(server):
    owner = Path(f"/proc/{server.pid}").stat().st_uid
    assert owner == server.account.pw_uid != 0


def test_it_listens_on_the_loopback_alone(server):
    assert one(server, "SHOW listen_addresses") == "127.0.0.1"


def test_hba_lines_hold_until_others_are_set(server):
    server.hba(["local all all reject"])
    with pytest.raises(psycopg2.OperationalError, match="rejects"):
        server.connect()
    server.hba()
    server.connect().close()


def test_a_reload_returns_only_when_the_server_has_read(server):
    os.kill(server.pid, signal.SIGSTOP)
    wakes = threading.Timer(0.2, os.kill, (server.pid, signal.SIGCONT))
    wakes.start()
    server.reload()
    assert wakes.finished.is_set(), "a server that is stopped has read nothing"


def test_a_hosted_admin_makes_roles_and_databases_but_is_no_superuser(server):
    password = postgres.hosted_admin(server)
    with closing(server.connect("doadmin", password, "defaultdb", over="tls")) as session:
        session.autocommit = True
        cursor = session.cursor()
        cursor.execute("CREATE ROLE made")
        cursor.execute("CREATE DATABASE made")
        with pytest.raises(psycopg2.errors.InsufficientPrivilege):
            cursor.execute("SELECT * FROM pg_authid")


def test_a_crashed_server_comes_back_with_its_data(server):
    server.query("CREATE TABLE kept AS SELECT 1 AS there")
    server.query("CHECKPOINT")
    server.kill()
    assert not server.running
    again = postgres.Server(server.directory, server.bindir).start()
    assert (again.port, again.password, again.socket_dir) == (server.port, server.password, server.socket_dir)
    assert one(again, "SELECT there FROM kept", over="tls") == 1


def test_the_password_is_in_no_argument_of_any_process(place, major):
    server = postgres.Server(place / "server", postgres.binaries(major))
    with watched_arguments() as seen, server:
        postgres.hosted_admin(server, password="of-the-hosted-admin")
    assert any(b"initdb" in arguments for arguments in seen), "the watch must see what it watches for"
    leaking = [line for line in seen if server.password.encode() in line or b"of-the-hosted-admin" in line]
    assert not leaking
    assert server.password not in server.log.read_text()
    assert not list(place.rglob("password")), "initdb's file is gone"


@contextmanager
def watched_arguments():
    """Give the set of all processes' arguments, and environments, as it grows."""
    seen, done = set(), threading.Event()
    watch = threading.Thread(target=lambda: watch_arguments(seen, done))
    watch.start()
    try:
        yield seen
    finally:
        done.set()
        watch.join()


def watch_arguments(seen, done):
    while not done.is_set():
        for process in Path("/proc").glob("[0-9]*"):
            for name in ("cmdline", "environ"):
                try:
                    seen.add((process / name).read_bytes())
                except OSError:  # it ended, or is another's
                    continue


@pytest.fixture
def newest():
    return postgres.binaries(postgres.majors()[-1])


def test_a_place_that_is_closed_to_the_servers_user_is_refused_by_name(place, newest):
    closed = place / "closed"
    closed.mkdir()
    assert postgres.enterable(closed / "not" / "yet", postgres.server_user().pw_name)
    closed.chmod(0)
    assert not postgres.enterable(closed, postgres.server_user().pw_name)
    with pytest.raises(postgres.Failed, match=f"cannot enter {closed}"):
        postgres.Server(closed, newest).create()
    closed.chmod(0o755)


def test_a_long_path_gets_a_short_socket_that_goes_with_the_server(place, newest):
    server = postgres.Server(place / ("deep" * 30), newest)
    with server:
        server.connect().close()
    server.remove()
    assert not server.socket_dir.exists()
    assert not server.directory.exists()


def test_a_socket_directory_that_a_reboot_took_away_is_made_again(place, newest):
    with postgres.Server(place / ("deep" * 30), newest) as server:
        server.stop()
        shutil.rmtree(server.socket_dir)
        server.start().connect().close()
    server.remove()


def test_another_port_is_kept_in_mind(place, newest):
    with postgres.Server(place / "server", newest) as server:
        server.stop()
        server.port = postgres.free_port()
        server.start()
        assert postgres.Server(place / "server", newest).port == server.port


def test_an_initdb_that_was_cut_off_leaves_no_server(place, newest, monkeypatch):
    server = postgres.Server(place / "server", newest)
    with monkeypatch.context() as patched, pytest.raises(KeyboardInterrupt):
        patched.setattr(Path, "rename", interrupt_at(server.data))
        server.create()
    assert not server.created
    with server:
        server.connect().close()


def interrupt_at(path, rename=Path.rename):
    def interrupted(self, target):
        if target == path:
            raise KeyboardInterrupt
        return rename(self, target)

    return interrupted


def test_a_server_that_cannot_start_says_why(place, newest):
    server = postgres.Server(place / "server", newest, settings={"shared_buffers": "many"}).create()
    with pytest.raises(postgres.Failed, match='invalid value for parameter "shared_buffers"'):
        server.start()


def test_settings_may_hold_quotes_and_backslashes(place, newest):
    with postgres.Server(place / "server", newest, settings={"cluster_name": r"it's \n"}) as server:
        assert one(server, "SHOW cluster_name") == r"it's \n"


@pytest.fixture
def pair(place):
    """A primary and its streaming replica, by the programs of Debian: npm's have no pg_basebackup."""
    bindir = next(filter(None, map(postgres.installed, reversed(postgres.majors()))))
    primary = postgres.Server(place / "primary", bindir, settings=postgres.FAST)
    replica = postgres.Server(place / "replica", bindir, settings=postgres.FAST)
    try:
        yield primary.create().start(), replica.follow(primary).start()
    finally:
        replica.remove()
        primary.remove()


def test_a_replica_follows_its_primary_until_it_is_promoted(pair):
    primary, replica = pair
    primary.query("CREATE TABLE what (id int)")
    postgres.wait_for(lambda: one(replica, "SELECT to_regclass('what')"), "the replica does not follow")
    assert one(replica, "SELECT pg_is_in_recovery()")
    replica.promote()
    assert not one(replica, "SELECT pg_is_in_recovery()")


def test_a_replica_is_verified_by_the_authority_of_its_primary(pair):
    primary, replica = pair
    assert one(replica, "SELECT 1", over="tls", sslrootcert=str(primary.ca)) == 1


def test_a_free_port_is_none_that_an_outgoing_connection_could_take_meanwhile():
    first = int(Path("/proc/sys/net/ipv4/ip_local_port_range").read_text().split()[0])
    assert max(postgres.free_port() for _ in range(100)) < first


@pytest.mark.parametrize("kind", [socket.SOCK_STREAM, socket.SOCK_DGRAM])
def test_a_port_that_somebody_has_is_not_free(kind):
    with socket.socket(type=kind) as taken:
        taken.bind(("127.0.0.1", 0))
        theirs = taken.getsockname()[1]
        with pytest.raises(StopIteration):
            postgres.free_port(among=[theirs])
