"""The PostgreSQL server of this machine, on Debian: made, set, reloaded, and restarted where it may be."""

from __future__ import annotations

import pwd
import re
import subprocess
import tempfile
import time
from contextlib import closing
from pathlib import Path

from cryptography.x509 import Certificate

from pgpillar import certification, files, server, wire
from pgpillar.connect import gateway
from pgpillar.files import Guard
from pgpillar.model import Endpoint, Trouble
from pgpillar.paths import Paths
from pgpillar.server import Server
from pgpillar.tables import compared

PROGRAMS, SETTINGS, DATA = (Path(place) / "postgresql" for place in ("/usr/lib", "/etc", "/var/lib"))
NAME = "main"  # of Debian's cluster, on every machine
USER = "postgres"
GUARD = Guard(0o640, USER)
PATIENCE = 30  # seconds that a reload may take
CERTIFICATE = Path(Paths().server_certificate)


class ServerError(Trouble):
    """What is wrong with the server of this machine."""


def newest() -> str:
    """The major version that is installed; the newest, where there are several."""
    found = [path.parents[1].name for path in PROGRAMS.glob("*/bin/postgres")]
    if not found:
        raise ServerError("no PostgreSQL is installed here; the state postgresql.server installs Debian's")
    return max(found, key=int)


class Upkeep:
    """What the server of this machine is, and what it is to be."""

    def __init__(self, wanted: Server, version: str):
        self.wanted, self.version = wanted, version
        place = SETTINGS / version / NAME
        self.conf, self.hba = place / "conf.d" / "pgpillar.conf", place / "pg_hba.conf"
        self.texts = {self.conf: wanted.conf(), self.hba: wanted.hba()}
        self.live = Live(version)

    def changes(self) -> dict:
        """What would change."""
        moved = compared(server.settings_in(_text(self.conf)), self.wanted.settings)
        parts = {
            "cluster": {} if self._is_made() else {f"{self.version}/{NAME}": "new"},
            "settings": moved,
            "access": compared(server.rules_in(_text(self.hba)), server.rules_in(self.texts[self.hba])),
            "files": {str(path): fault for path, fault in self._faults().items() if _is_guard(fault)},
        }
        changes = {part: what for part, what in parts.items() if what}
        step = self._step(set(moved), bool(changes))
        return changes | ({"server": step} if step else {})

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
            _run("pg_createcluster", self.version, NAME, "--encoding=UTF8", "--locale=C.UTF-8", "--", "-k")
        for path, text in self.texts.items():
            if files.fault(path, text, GUARD):
                files.write(path, text, GUARD)
        if step:
            self._take(step)
        self._compare()

    def _take(self, step: str) -> None:
        if step == "reloaded":
            self.live.reload()
        else:
            _run("pg_ctlcluster", self.version, NAME, "restart" if self.live.is_up else "start")

    def _is_made(self) -> bool:
        return (self.hba.parent / "postgresql.conf").exists()

    def _faults(self) -> dict[Path, str]:
        found = {path: files.fault(path, text, GUARD) for path, text in self.texts.items()}
        return {path: fault for path, fault in found.items() if fault}

    def _check(self) -> None:
        """Have the server's own program read the settings, somewhere else."""
        with tempfile.TemporaryDirectory(prefix="pgpillar-") as directory:
            Path(directory).chmod(0o755)
            files.write(Path(directory, "postgresql.conf"), self.texts[self.conf], GUARD)
            said = self._postgres("-D", directory, "-C", "port")
        if said.returncode:
            known = [line.split("\t")[0] for line in self._postgres("--describe-config").stdout.splitlines()]
            advice = server.advice_on(said.stderr, known) or [said.stderr.strip()]
            told = [f"- {line}" for line in advice]
            raise ServerError("\n".join(["PostgreSQL would not take these settings:", *told]))

    def _postgres(self, *arguments: str) -> subprocess.CompletedProcess:
        program = PROGRAMS / self.version / "bin" / "postgres"
        account = pwd.getpwnam(USER)
        who = {"user": account.pw_uid, "group": account.pw_gid, "extra_groups": []}
        return subprocess.run([program, *arguments], capture_output=True, text=True, cwd="/", **who)

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
        return shown is not None and shown != certification.read(CERTIFICATE)

    def _overruled(self) -> list[str]:
        rows = {name: row for name, row in self.live.settings().items() if not row["pending_restart"]}
        return [
            f"{name} is set in {rows[name]['sourcefile']} as well; take it out there (ALTER SYSTEM RESET)"
            for name in sorted(self.wanted.settings.keys() & rows.keys())
            if rows[name]["sourcefile"] != str(self.conf)
        ]


class Live:
    """The running server, asked over its socket as its own system user."""

    def __init__(self, version: str):
        self.note = DATA / version / NAME / "postmaster.pid"

    @property
    def is_up(self) -> bool:
        try:
            return Path("/proc", self.note.read_text().split("\n")[0]).exists()
        except FileNotFoundError:
            return False

    def ask(self, query: str) -> list[dict]:
        port = int(self.note.read_text().split("\n")[3])
        endpoint = Endpoint(Paths().sockets, port=port, user=USER)
        with gateway(endpoint) as way, closing(way.open()) as connection, connection.cursor() as cursor:
            cursor.execute(query)
            names = [column.name for column in cursor.description]
            return [dict(zip(names, row, strict=True)) for row in cursor.fetchall()]

    def certificate(self) -> Certificate | None:
        """What it shows to clients now; none, where it listens to no network."""
        port, listens = (self.note.read_text().split("\n")[line] for line in (3, 5))
        return wire.certificate_at("127.0.0.1", int(port)) if listens else None

    def settings(self) -> dict[str, dict]:
        rows = self.ask("select name, context, sourcefile, pending_restart from pg_settings")
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
        deadline = time.monotonic() + PATIENCE
        while self.ask("select pg_conf_load_time() as at")[0]["at"] == before["at"]:
            if time.monotonic() > deadline:
                raise ServerError("the server was told to reload and did not; look into its log")
            time.sleep(0.05)  # there is nothing to wait on: it tells nobody

    def complaints(self) -> list[str]:
        """What it found wrong with its files."""
        settings = self.ask("select name, error from pg_file_settings where error is not null")
        told = [f"{row['name']}: {row['error']}" for row in settings if not _is_of_restart(row["error"])]
        rules = self.ask("select line_number, error from pg_hba_file_rules where error is not null")
        return told + [f"pg_hba.conf:{row['line_number']}: {row['error']}" for row in rules]


def _is_of_restart(error: str) -> bool:
    return "could not be applied" in error  # without a restart; that is told in another place


def _is_guard(fault: str) -> bool:
    return fault not in ("new", "changed")


def _text(path: Path) -> str:
    return path.read_text() if path.exists() else ""


def _run(*command: str) -> None:
    done = subprocess.run(command, capture_output=True, text=True, cwd="/")
    if done.returncode:
        said = re.sub(r"\s*\n\s*", "; ", (done.stderr + done.stdout).strip())
        raise ServerError(f"{' '.join(command[:3])} failed: {said[-600:]}")
