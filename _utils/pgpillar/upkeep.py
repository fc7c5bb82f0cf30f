"""The PostgreSQL server of this machine, on Debian: made, set, reloaded, and restarted where it may be."""

from __future__ import annotations

import os
import pwd
import re
import signal
import subprocess
import tempfile
import time
from collections.abc import Callable, Iterable
from contextlib import closing, suppress
from pathlib import Path

import psycopg2
from cryptography.x509 import Certificate

from pgpillar import certification, files, handshake, lock, server
from pgpillar.connect import explained, gateway
from pgpillar.files import Guard
from pgpillar.model import Endpoint, Trouble
from pgpillar.paths import Paths
from pgpillar.replication import TORN
from pgpillar.server import Server
from pgpillar.tables import compared

PROGRAMS, SETTINGS, DATA = (Path(place) / "postgresql" for place in ("/usr/lib", "/etc", "/var/lib"))
NAME = "main"  # of Debian's cluster, on every machine
USER = "postgres"
GUARD, PRIVATE = Guard(0o640, USER), Guard(0o600, USER)
LOCALE = ("--encoding=UTF8", "--locale=C.UTF-8")
PATIENCE = 30  # seconds that a server may take to do as it was told
SET_HERE = """
select name, context, sourcefile, pending_restart from pg_settings where source not in ('client', 'session')
"""
CERTIFICATE = Path(Paths().server_certificate)


class ServerError(Trouble):
    """What is wrong with the server of this machine."""


def newest() -> str:
    """The major version that is installed; the newest, where there are several."""
    found = [path.parents[1].name for path in PROGRAMS.glob("*/bin/postgres")]
    if not found:
        raise ServerError("no PostgreSQL is installed here; the state postgresql.server installs Debian's")
    return max(found, key=int)


class Home:
    """Where Debian has the files of a cluster."""

    def __init__(self, version: str):
        self.version = version
        self.data, self.settings = DATA / version / NAME, SETTINGS / version / NAME
        self.conf, self.hba = self.settings / "conf.d" / "pgpillar.conf", self.settings / "pg_hba.conf"
        self.start = self.settings / "start.conf"
        self.log = Path(f"/var/log/postgresql/postgresql-{version}-{NAME}.log")
        self.signal = self.data / "standby.signal"
        self.coming = self.data.with_name(f"{NAME}.coming")  # a copy that is not whole yet
        self.torn = self.data.with_name(f"{NAME}.torn")  # says that a rewind began

    @property
    def has_data(self) -> bool:
        return (self.data / "PG_VERSION").exists()

    @property
    def has_settings(self) -> bool:
        return (self.settings / "postgresql.conf").exists()

    @property
    def is_replica(self) -> bool:
        return self.signal.exists()

    @property
    def left_a_copy(self) -> bool:
        """Whether a copy was cut off: nobody makes it any more, and no server ever ran in it."""
        has_run = (self.coming / "postmaster.opts").exists()
        return self.coming.is_dir() and not has_run and lock.is_free(self.coming)

    def conninfo(self) -> str | None:
        """How it follows another, if it was told."""
        return server.settings_in(_text(self.conf)).get("primary_conninfo")

    def control(self) -> dict[str, str]:
        """What is noted in the data of a server, also of one that is down."""
        said = run_as_server(self.version, "pg_controldata", "-D", self.data)
        lines = (line.partition(":") for line in said.splitlines())
        return {name: value.strip() for name, _, value in lines}

    def create(self) -> None:
        """Make the cluster; where there are data, the settings that Debian has for them."""
        _run("pg_createcluster", self.version, NAME, *LOCALE, "--", "-k")

    def ctl(self, verb: str, *options: str) -> None:
        _run("pg_ctlcluster", self.version, NAME, verb, *options)


class Upkeep:
    """What the server of this machine is, and what it is to be."""

    gets_certificate = False  # whether a preview is to take the one that is due for one that is there

    def __init__(self, wanted: Server, home: Home):
        self.wanted, self.home = wanted, home
        self.texts = {
            self.home.conf: wanted.conf(),
            self.home.hba: wanted.hba(),
            self.home.start: server.HEAD + "auto\n",
        }
        self.live = Live(self.home)

    def changes(self) -> dict:
        """What would change."""
        parts = self._parts()
        changes = {part: what for part, what in parts.items() if what}
        step = self._step(set(parts["settings"]), bool(changes))
        return changes | ({"server": step} if step else {})

    def _parts(self) -> dict[str, dict]:
        if self.home.torn.exists():
            raise ServerError(TORN)
        rules = server.rules_in(self.texts[self.home.hba])
        return {
            "cluster": {} if self._is_made() else {f"{self.home.version}/{NAME}": self._beginning()},
            "settings": compared(server.settings_in(_text(self.home.conf)), self.wanted.settings),
            "access": compared(server.rules_in(_text(self.home.hba)), rules),
            "files": {str(path): why for path, why in self._faults().items() if self._is_told(path, why)}
            | {str(path): "gone" for path in self._leftovers()},
        }

    def _leftovers(self) -> list[Path]:
        """A copy that was cut off, and what a primary has no use for, since it follows nobody."""
        places = (Path(Paths().replication_passfile), Path(Paths().replication_ca))
        copies = [self.home.coming] if self.home.left_a_copy else []
        return copies + [path for path in places if path not in self.texts and path.exists()]

    def _beginning(self) -> str:
        return "new"

    def _is_told(self, path: Path, fault: str) -> bool:
        """Whether it is told as a file, for what is in it is not told otherwise."""
        return path not in (self.home.conf, self.home.hba) or fault not in ("new", "changed")

    def _step(self, moved: set[str], is_changed: bool) -> str | None:
        """What the server itself has to do about it."""
        if not self.live.is_up:
            return "started"
        held = self.live.held(moved)
        if held and self.wanted.may_restart:
            return f"restarted for {', '.join(sorted(held))}"
        is_behind = self.live.is_older_than([*self.texts]) or self._shows_another()
        return "reloaded" if is_changed or is_behind else None

    def waits(self) -> list[str]:
        """The settings that wait for a restart, which pillar does not allow now."""
        return [] if self.wanted.may_restart or not self.live.is_up else sorted(self.live.held(set()))

    def run(self) -> None:
        """Make it so. What the server would refuse is refused before anything is touched."""
        step = self.changes().get("server")
        self._check()
        if not self._is_made():
            self._make()
        for path in self._faults():
            files.write(path, self.texts[path], self._guard(path))
        for path in self._leftovers():
            files.remove(path)
        if step:
            self._take(step)
        self._compare()

    def _make(self) -> None:
        if self.home.has_data or self.home.has_settings:
            missing = self.home.settings if self.home.has_data else self.home.data
            raise ServerError(f"{missing} is gone; bring it back: nothing here replaces what a server held")
        self.home.create()

    def _take(self, step: str) -> None:
        if step == "reloaded":
            self.live.reload()
        else:
            self.home.ctl("restart" if self.live.is_up else "start")

    def _is_made(self) -> bool:
        return self.home.has_settings and self.home.has_data

    def _guard(self, path: Path) -> Guard:
        return GUARD

    def _faults(self) -> dict[Path, str]:
        found = {path: files.fault(path, text, self._guard(path)) for path, text in self.texts.items()}
        return {path: fault for path, fault in found.items() if fault}

    def _check(self) -> None:
        """Have the server's own program read the settings, somewhere else."""
        with tempfile.TemporaryDirectory(prefix="pgpillar-") as directory:
            Path(directory).chmod(0o755)
            files.write(Path(directory, "postgresql.conf"), self.texts[self.home.conf], GUARD)
            said = as_server(self.home.version, "postgres", "-D", directory, "-C", "port")
        if said.returncode:
            described = run_as_server(self.home.version, "postgres", "--describe-config")
            known = [line.split("\t")[0] for line in described.splitlines()]
            advice = server.advice_on(said.stderr, known) or [said.stderr.strip()]
            told = [f"- {line}" for line in advice]
            raise ServerError("\n".join(["PostgreSQL would not take these settings:", *told]))

    def _compare(self) -> None:
        """Whether the server goes by these files, and by nothing that stands above them."""
        faults = [*self.live.complaints(), *self._overruled()]
        if self._shows_another():
            faults.append(f"it shows another certificate than that of {CERTIFICATE}; its log says why")
        if faults:
            raise ServerError("the server does not go by its new files: " + "; ".join(faults))

    def _shows_another(self) -> bool:
        """Whether clients meet another certificate than that of its file, as where it refused to take it."""
        shown = self.live.certificate()
        return shown is not None and (self.gets_certificate or shown != certification.read(CERTIFICATE))

    def _overruled(self) -> list[str]:
        rows = {name: row for name, row in self.live.settings().items() if not row["pending_restart"]}
        return [
            f"{name} is set in {rows[name]['sourcefile']} as well; take it out there (ALTER SYSTEM RESET)"
            for name in sorted(self.wanted.settings.keys() & rows.keys())
            if rows[name]["sourcefile"] != str(self.home.conf)
        ]


class Live:
    """The running server, asked over its socket as its own system user."""

    def __init__(self, home: Home):
        self.note = home.data / "postmaster.pid"

    @property
    def is_up(self) -> bool:
        try:
            number = self.note.read_text().split("\n")[0]
            return Path("/proc", number, "comm").read_text().strip() == "postgres"
        except FileNotFoundError:
            return False

    def ask(self, query: str, *values: str) -> list[dict]:
        port = int(self.note.read_text().split("\n")[3])
        endpoint = Endpoint(Paths().sockets, port=port, user=USER)
        return ask(endpoint, query, *values)

    def certificate(self) -> Certificate | None:
        """What it shows to clients now; none, where it listens to no network."""
        port, listens = (self.note.read_text().split("\n")[line] for line in (3, 5))
        return handshake.certificate_at("127.0.0.1", int(port)) if listens else None

    def settings(self) -> dict[str, dict]:
        """All but those that the session which asks has set for itself."""
        rows = self.ask(SET_HERE)
        return {row["name"]: row for row in rows}

    def held(self, moved: set[str]) -> set[str]:
        """The settings that only a restart changes: of these, and of what waits for one already."""
        return {
            name
            for name, row in self.settings().items()
            if row["pending_restart"] or (name in moved and row["context"] == "postmaster")
        }

    def is_older_than(self, paths: list[Path]) -> bool:
        """Whether it has read its files before one of these was written."""
        (row,) = self.ask("select extract(epoch from pg_conf_load_time())::float8 as at")
        return any(path.stat().st_mtime > row["at"] for path in paths if path.exists())

    def reload(self) -> None:
        """Have it read its files, and wait until new connections meet what is in them."""
        (before,) = self.ask("select pg_conf_load_time() as at, pg_reload_conf()")
        if not wait_until(lambda: self.ask("select pg_conf_load_time() as at")[0]["at"] != before["at"]):
            raise ServerError("the server was told to reload and did not; look into its log")

    def is_streaming(self) -> bool:
        """Whether it receives what another writes."""
        return bool(self.ask("select pid from pg_stat_wal_receiver where status = 'streaming'"))

    def complaints(self) -> list[str]:
        """What it found wrong with its files."""
        settings = self.ask("select name, error from pg_file_settings where error is not null")
        told = [f"{row['name']}: {row['error']}" for row in settings if not _is_of_restart(row["error"])]
        rules = self.ask("select line_number, error from pg_hba_file_rules where error is not null")
        return told + [f"pg_hba.conf:{row['line_number']}: {row['error']}" for row in rules]


def _is_of_restart(error: str) -> bool:
    return "could not be applied" in error  # without a restart; that is told in another place


def wait_until(is_so: Callable[[], bool]) -> bool:
    """Whether it came to be so. There is nothing to wait on: a server tells nobody."""
    deadline = time.monotonic() + PATIENCE
    while not is_so():
        if time.monotonic() > deadline:
            return False
        time.sleep(0.05)
    return True


def ask(endpoint: Endpoint, query: str, *values: str) -> list[dict]:
    """What a server answers, by column."""
    with gateway(endpoint) as way, closing(way.open()) as connection, connection.cursor() as cursor:
        connection.autocommit = True
        try:
            cursor.execute(query, values or None)
        except psycopg2.Error as error:
            raise ServerError(f"{endpoint.host}: {explained(error)}") from None
        names = [column.name for column in cursor.description or ()]
        return [dict(zip(names, row, strict=True)) for row in (cursor.fetchall() if names else ())]


def as_server(
    version: str, program: str, *arguments: str | Path, keeps: Iterable[int] = ()
) -> subprocess.CompletedProcess:
    """Run one of PostgreSQL's programs as its system user. Nothing that it started goes on after it.

    ``keeps``: the locks that it is to hold as well, should this process end before it.
    """
    account = pwd.getpwnam(USER)
    who = {"user": account.pw_uid, "group": account.pw_gid, "extra_groups": [], "start_new_session": True}
    command = [PROGRAMS / version / "bin" / program, *arguments]
    with tempfile.TemporaryFile("w+") as out, tempfile.TemporaryFile("w+") as err:  # a pipe waits for all
        running = subprocess.Popen(
            command, stdout=out, stderr=err, cwd="/", env={"LC_ALL": "C.UTF-8"}, pass_fds=keeps, **who
        )
        try:
            running.wait()
        finally:
            with suppress(ProcessLookupError):
                os.killpg(running.pid, signal.SIGKILL)
        said = [file.seek(0) or file.read() for file in (out, err)]
    return subprocess.CompletedProcess(command, running.returncode, *said)


def run_as_server(version: str, program: str, *arguments: str | Path, keeps: Iterable[int] = ()) -> str:
    """The same, for one that is not to fail."""
    return _told(as_server(version, program, *arguments, keeps=keeps), program)


def _text(path: Path) -> str:
    return path.read_text() if path.exists() else ""


def _run(*command: str) -> None:
    _told(subprocess.run(command, capture_output=True, text=True, cwd="/"), " ".join(command[:4]))


def _told(done: subprocess.CompletedProcess, what: str) -> str:
    if done.returncode < 0:
        raise ServerError(f"{what} was killed by {signal.Signals(-done.returncode).name}")
    if done.returncode:
        said = re.sub(r"\s*\n\s*", "; ", (done.stderr + done.stdout).strip())
        raise ServerError(f"{what} failed: {said[-600:]}")
    return done.stdout
