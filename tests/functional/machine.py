"""A machine with Debian's PostgreSQL and none of its data, beside a server that its own follows."""

import os
import shutil
import signal
import tempfile
import threading
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path

from psycopg2.sql import SQL, Identifier, Literal

from devtools import postgres
from pgpillar import promotion, replication, server, standing, upkeep
from pgpillar.model import Place
from pgpillar.paths import Paths
from pgpillar.replica import Replica
from tests.functional.conftest import HOST
from tests.functional.node.mounts import laid_over, seen_at

EMPTY = ("/var/lib/postgresql", "/var/log/postgresql", "/run/postgresql")
USER, PASSWORD, MINION = "it's a Replicator", "p:1 '\"\\%s {{}} sé cret", "DB.Two-1"
REWINDABLE = {"fsync": "off", "synchronous_commit": "off", "wal_log_hints": "on"}
HBA = (*postgres.HBA, "hostssl replication all 127.0.0.1/32 scram-sha-256")


class Machine:
    """The server of Debian's on it, and the other one of the same cluster."""

    def __init__(self, other):
        self.other, self.home, self.port = other, upkeep.Home(upkeep.newest()), postgres.free_port()

    def tree(self, **more):
        """What pillar says to it: it is its own port, not the other's."""
        return tree(self.other, self.port, networks=["127.0.0.0/8"], **more)

    @property
    def wanted(self):
        return server.read(self.tree(), 512)

    @property
    def following(self):
        place = Place(HOST, self.other.port, "127.0.0.1")
        return replication.following(place, self.wanted.endpoint, self.wanted.login, MINION)

    def replica(self):
        return Replica(self.wanted.follows(self.following), self.home)

    def fault(self, successor=None):
        return standing.fault(self.home, self.following, successor)

    def returning(self):
        return promotion.Return(self.replica())

    def ask(self, query, *values):
        return upkeep.Live(self.home).ask(query, *values)

    def part(self):
        """Promote it, have the other follow it, and promote that too, so that it is left behind."""
        self.other.stop()
        promotion.promote(self.home, self.wanted)
        self.other.settings["primary_conninfo"] = self._way_in()
        (self.other.data / "postgresql.auto.conf").write_text("")
        (self.other.data / "standby.signal").touch()
        self.other.start()
        query = "select 1 from pg_stat_replication where replay_lsn >= pg_current_wal_lsn()"
        postgres.wait_for(lambda: self.ask(query), "the other does not follow")
        self.other.promote()

    def _way_in(self):
        words = {"host": HOST, "hostaddr": "127.0.0.1", "port": self.port, "user": USER, "password": PASSWORD}
        return replication.conninfo(words | {"sslmode": "verify-full", "sslrootcert": self.other.ca})

    def stop(self):
        if upkeep.Live(self.home).is_up:
            self.home.ctl("stop", "--mode=immediate")

    def empty(self):
        """Take away all that it has of a server."""
        self.stop()
        for place in (self.home.data.parent, self.home.settings.parent):
            shutil.rmtree(place, ignore_errors=True)


def tree(other, port, **settings):
    return {
        "clusters": {"main": {"host": HOST, "hostaddr": "127.0.0.1", "port": port, "ca": other.ca_pem}},
        "server": {"replication": USER, "settings": REWINDABLE, **settings},
        "users": {USER: {"password": PASSWORD, "attributes": ["replication"]}},
    }


@contextmanager
def machines():
    """Such a machine; what is started for as long as the block lasts finds it in the machine's own places."""
    directory = Path(tempfile.mkdtemp(prefix="pgp-", dir="/tmp"))
    directory.chmod(0o755)
    with ExitStack() as at_the_end:
        at_the_end.callback(shutil.rmtree, directory)
        _lay_over(directory, at_the_end)
        os.environ["_SYSTEMCTL_SKIP_REDIRECT"] = "1"  # or Debian's tools would ask systemd, who sees nothing
        at_the_end.callback(os.environ.pop, "_SYSTEMCTL_SKIP_REDIRECT")
        made = Machine(_other(directory / "other"))
        at_the_end.callback(made.other.remove)
        at_the_end.callback(made.stop)
        _certify(made.other)
        yield made


def _lay_over(directory, stack):
    (directory / "etc").mkdir()
    stack.enter_context(laid_over("/etc", directory / "etc"))
    shutil.rmtree("/etc/postgresql", ignore_errors=True)
    for place in EMPTY:
        Path(directory, place[1:]).mkdir(parents=True)
        shutil.chown(directory / place[1:], "postgres", "postgres")
        stack.enter_context(seen_at(place, directory / place[1:]))


def _other(directory):
    """A server with a table that takes a while to copy."""
    bindir = upkeep.PROGRAMS / upkeep.newest() / "bin"
    made = postgres.Server(directory, bindir, settings=REWINDABLE).create()
    made.hba(HBA)
    made.start()
    role = SQL("create role {} login replication password {}")
    made.query(role.format(Identifier(USER), Literal(PASSWORD)))
    made.query("create table filling as select repeat(md5(i::text), 30) from generate_series(1, 50000) i")
    made.query("create table kept as select 'on both' as row")
    return made


def _certify(other):
    place = Path(Paths().server_certificate)
    place.parent.mkdir(parents=True)
    place.write_text("".join((other.configuration / f"server.{kind}").read_text() for kind in ("key", "crt")))
    shutil.chown(place, "postgres", "postgres")
    place.chmod(0o600)


@contextmanager
def cut(program, sign):
    """Kill, as a reset would, the program that the block starts, once there is the sign of its work."""
    over = threading.Event()
    watch = threading.Thread(target=_kill, args=(program, sign, over))
    watch.start()
    try:
        yield
    finally:
        over.set()
        watch.join()


def _kill(program, sign, over):
    while not over.wait(0.001):
        for child in _children() if sign.exists() else ():
            with suppress(OSError):  # it is gone
                if Path("/proc", child, "comm").read_text().strip() == program:
                    os.kill(int(child), signal.SIGKILL)
                    return


def _children():
    return " ".join(path.read_text() for path in Path("/proc/self/task").glob("*/children")).split()
