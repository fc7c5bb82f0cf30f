"""Real servers. A test gets a clean cluster and says what pillar holds; nothing here is a stand-in."""

import contextlib
import copy
import secrets
import subprocess
import sysconfig
from contextlib import closing
from pathlib import Path

import pytest
from psycopg2 import sql

from devtools import debian, embedded, postgres
from pgpillar import connect, dump, execute, pillar, text
from pgpillar.model import Trouble

HOST = "postgresql.example.internal"  # a name of the servers' certificates


@pytest.fixture(scope="session")
def servers():
    """Running servers by major version, each started when it is first asked for."""
    with contextlib.ExitStack() as stack:
        running = {}

        def get(major):
            if major not in running:
                running[major] = stack.enter_context(postgres.temporary(major))
            return running[major]

        yield get


def pytest_generate_tests(metafunc):
    """Tests that are marked so run on the first and the last major version as well."""
    mark = metafunc.definition.get_closest_marker("first_and_last_major")
    if mark and "default_major" in metafunc.fixturenames and not metafunc.config.getoption("--major"):
        first, *_, last = postgres.majors()
        metafunc.parametrize("default_major", sorted({first, usual_major(), last}), indirect=True)


def usual_major():
    installed = [major for major in postgres.majors() if postgres.installed(major)]
    return (installed or postgres.majors())[-1]


@pytest.fixture(scope="session")
def default_major(request):
    """The major version of servers, where a test does not choose."""
    return getattr(request, "param", None) or request.config.getoption("--major") or usual_major()


@pytest.fixture
def server(servers, default_major):
    """A server without databases and roles of its own, before and after."""
    with clean(servers(default_major)) as running:
        yield running


@pytest.fixture(params=postgres.majors())
def every_server(request, servers):
    """A clean server of each major version in turn."""
    with clean(servers(request.param)) as running:
        yield running


@pytest.fixture(scope="module")
def lasting(servers, default_major):
    """A clean cluster that all tests of a module share: each heals what it has broken."""
    with clean(servers(default_major)) as running:
        yield Cluster(running)


@contextlib.contextmanager
def clean(server):
    server.start()
    wipe(server)
    yield server
    server.start()
    wipe(server)


def wipe(server):
    """End every other session, and drop every database and role that initdb did not make."""
    with closing(server.connect()) as session, session.cursor() as cursor:
        session.autocommit = True
        cursor.execute(
            "select pg_terminate_backend(pid) from pg_stat_activity where pid <> pg_backend_pid()"
            " and backend_type = 'client backend'"
        )
        cursor.execute(
            "select datname from pg_database where datname not in ('postgres', 'template0', 'template1')"
        )
        for (name,) in cursor.fetchall():
            cursor.execute(sql.SQL("alter database {} is_template false").format(sql.Identifier(name)))
            cursor.execute(sql.SQL("drop database {} with (force)").format(sql.Identifier(name)))
        cursor.execute("select rolname from pg_roles where rolname !~ '^pg_' and rolname <> current_user")
        for name in [name for (name,) in cursor.fetchall()]:
            cursor.execute(sql.SQL("drop owned by {}").format(sql.Identifier(name)))
            cursor.execute(sql.SQL("drop role {}").format(sql.Identifier(name)))


class Cluster:
    """A server as pgpillar sees it: ``declare`` what pillar holds, then preview, converge, and look."""

    def __init__(self, server, admin=None, password=None, database="postgres", **endpoint):
        self.server = server
        self.admin = {
            "user": admin or server.superuser,
            "password": password or server.password,
            "database": database,
        }
        self.endpoint = {
            "host": HOST,
            "hostaddr": "127.0.0.1",
            "port": server.port,
            "ca": server.ca_pem,
            **endpoint,
        }
        self.scripts = {}
        self.passwords = {}

    def tree(self, databases=None, users=(), groups=None, **more):
        """What stands under ``postgresql`` in pillar. Users given by name alone get a password each."""
        users = {name: {} for name in users} if not isinstance(users, dict) else copy.deepcopy(users)
        for name, entry in users.items():
            if entry.get("state") != "absent":
                entry.setdefault("password", self.passwords.setdefault(name, secrets.token_urlsafe(12)))
        return {
            "clusters": {"main": {**self.endpoint, "admin": self.admin}},
            "databases": databases or {},
            "users": users,
            "groups": groups or {},
            **more,
        }

    def declared(self, *args, **kwargs):
        return pillar.read(self.tree(*args, **kwargs))["main"]

    def preview(self, *args, **kwargs):
        """The tree of what would change."""
        return text.tree(self.forecast(*args, **kwargs).changes)

    def forecast(self, *args, **kwargs):
        """The same, as the engine has it, and with what is known to fail."""
        declared = self.declared(*args, **kwargs)
        with connect.gateway(declared.endpoint) as gateway:
            return execute.preview(gateway, declared.cluster, self.fetch)

    def converge(self, *args, **kwargs):
        """The tree of what changed; a failure fails the test."""
        outcome = self.attempt(*args, **kwargs)
        assert not outcome.failures
        return text.tree(outcome.changes)

    def attempt(self, *args, **kwargs):
        """The outcome, whatever it is."""
        declared = self.declared(*args, **kwargs)
        with connect.gateway(declared.endpoint) as gateway:
            return execute.converge(gateway, declared.cluster, self.fetch)

    def fetch(self, url):
        """A bootstrap script of the test's, as Salt's file server has it or has it not."""
        if url not in self.scripts:
            raise Trouble(f"{url} is not there")
        return self.scripts[url]

    def settle(self, *args, **kwargs):
        """Foretell, converge as foretold, and find nothing left to do. Returns what changed."""
        foretold = self.preview(*args, **kwargs)
        changed = self.converge(*args, **kwargs)
        assert changed == foretold
        assert self.converge(*args, **kwargs) == {}
        return changed

    def query(self, statement, parameters=None, dbname="postgres", **connection):
        """Rows, as the superuser, or as ``user`` with the password that pillar gave it, over verify-full."""
        if "user" in connection:
            connection = {"over": "tls", "password": self.passwords.get(connection["user"]), **connection}
        return self.server.query(statement, parameters, dbname=dbname, **connection)


@pytest.fixture
def cluster(server):
    """A clean cluster that a superuser administers."""
    return Cluster(server)


@pytest.fixture
def neighbour(servers, default_major):
    """A second clean cluster, of another version."""
    with clean(servers(next(major for major in postgres.majors() if major != default_major))) as running:
        yield Cluster(running)


@pytest.fixture
def every_cluster(every_server):
    return Cluster(every_server)


@pytest.fixture
def hosted(server, default_major):
    """A clean cluster whose admin is no superuser, as hosting providers have it."""
    if default_major < 15:
        pytest.skip("an admin that is no superuser is enough from PostgreSQL 15 on alone")
    return make_hosted(server)


@pytest.fixture
def every_hosted(every_server):
    return make_hosted(every_server)


def make_hosted(server):
    password = postgres.hosted_admin(server)
    return Cluster(server, admin="doadmin", password=password, database="defaultdb")


@pytest.fixture
def clients(default_major, monkeypatch):
    """Where a pg_dump is that is as new as the server: this machine's, or else the newest that there is."""
    with contextlib.suppress(connect.ClusterError):
        return Path(dump.program_for(default_major)).parent
    try:
        programs = debian.fetched("14", "postgresql-client-18")
    except embedded.Failed as reason:
        pytest.skip(f"a pg_dump of PostgreSQL {default_major} or newer cannot be had: {reason}")
    monkeypatch.setattr(dump, "PROGRAMS", f"{programs}{dump.PROGRAMS}")
    return Path(dump.program_for(default_major)).parent


@pytest.fixture
def bare_python(tmp_path):
    """A Python that has all that Salt needs, pip, and no psycopg2."""
    subprocess.run(["/usr/bin/python3", "-m", "venv", tmp_path / "bare"], check=True)
    (packages,) = (tmp_path / "bare" / "lib").glob("python*/site-packages")
    for entry in Path(sysconfig.get_path("purelib")).iterdir():
        if not entry.name.startswith("psycopg2") and not (packages / entry.name).exists():
            (packages / entry.name).symlink_to(entry)
    return tmp_path / "bare" / "bin" / "python"
