"""The pgbouncer of a node: its console, and the directory of its files."""

from __future__ import annotations

import grp
import os
import pwd
import re
import socket
import threading
from collections.abc import Iterator, Mapping
from contextlib import closing, contextmanager
from pathlib import Path

import psycopg2

from pgpillar import files, package, pgbouncer
from pgpillar.connect import NO_PASSFILE, ClusterError, effective_user
from pgpillar.files import Guard
from pgpillar.pgbouncer import INI

LIVE = "live"
BEFORE = f"{INI}.before-pgpillar"


class BouncerError(ClusterError):
    """What is wrong with the pgbouncer of this node."""


class NobodyThere(BouncerError):
    """There is no pgbouncer that could be asked."""


class TookTooLong(BouncerError):
    """pgbouncer is still at what it was asked to do."""


_NOBODY = re.compile("failed: (Connection refused|No such file or directory)$", re.MULTILINE)


class Console:
    """The admin console. It lets in, without a password, who runs as the same system user."""

    def __init__(self, sockets: str, port: int, user: str):
        self.where = {"host": sockets, "port": port, "user": "pgbouncer", "dbname": "pgbouncer"}
        self.user = user if os.geteuid() == 0 else None

    def ask(self, command: str, patience: float | None = None) -> list[dict[str, object]]:
        """One command, and the rows that it answers. After ``patience`` seconds it hangs up."""
        try:
            with effective_user(self.user):
                connection = psycopg2.connect(**self.where, connect_timeout=5, passfile=NO_PASSFILE)
            with closing(connection):
                connection.autocommit = True
                with connection.cursor() as cursor, _within(connection, patience):
                    cursor.execute(command)
                    names = [column.name for column in cursor.description or ()]
                    return [dict(zip(names, row, strict=True)) for row in cursor.fetchall()] if names else []
        except psycopg2.Error as error:
            said = str(error).strip()
            kind = NobodyThere if _NOBODY.search(said) else BouncerError
            raise kind(f"pgbouncer did not take {command!r}: {said}") from None

    def pause(self, what: str, patience: float) -> None:
        """Pause a pool, or all. Where clients are not done in time, they go on as before."""
        try:
            self.ask(f"PAUSE{what}", patience)
        except TookTooLong:
            self.ask(f"RESUME{what}")
            raise

    @property
    def is_up(self) -> bool:
        """Whether it answers. False is where nobody is there; one that cannot be asked is an error."""
        try:
            return self._socket.exists() and bool(self.ask("SHOW VERSION"))
        except NobodyThere:
            return False

    @property
    def _socket(self) -> Path:
        return Path(self.where["host"], f".s.PGSQL.{self.where['port']}")

    def settings(self) -> dict[str, str]:
        return {row["key"]: row["value"] for row in self.ask("SHOW CONFIG")}

    def databases(self) -> dict[str, dict]:
        return {row["name"]: row for row in self.ask("SHOW DATABASES")}


@contextmanager
def _within(connection, seconds: float | None) -> Iterator[None]:
    """Hang up on what is not done in so many seconds, if any are given: PAUSE heeds no cancel request."""
    if not seconds:
        yield
        return
    over = threading.Event()
    with socket.socket(fileno=os.dup(connection.fileno())) as line:
        timer = threading.Timer(seconds, lambda: (over.set(), line.shutdown(socket.SHUT_RDWR)))
        timer.start()
        try:
            yield
        except psycopg2.Error:
            if over.is_set():
                raise TookTooLong(f"clients are at work after {seconds} seconds; nothing is paused") from None
            raise
        finally:
            timer.cancel()


def addresses(host: str) -> set[str]:
    """Where a name leads from here, as pgbouncer dials it; nowhere, where nobody knows it."""
    try:
        return {found[4][0] for found in socket.getaddrinfo(host, None, type=socket.SOCK_STREAM)}
    except OSError:
        return set()


def process(pid_file: str) -> str | None:
    """The number of the pgbouncer that keeps this file, if it runs."""
    try:
        number = files.read(Path(pid_file)).strip()
        is_one = Path("/proc", number, "comm").read_text() == "pgbouncer\n"
        return (
            number if is_one and Path("/proc", number, "cmdline").read_text() else None
        )  # "" is of a dead one
    except OSError:
        return None


def arguments(pid_file: str) -> list[str]:
    """What the pgbouncer that keeps this file was started with; nothing where none runs."""
    number = process(pid_file)
    return Path("/proc", number, "cmdline").read_text().split("\0") if number else []


class Installation:
    """The directory of a pgbouncer, with its generations; ``live`` leads to the one in use."""

    def __init__(self, directory: str, user: str):
        self.directory, self.user = Path(directory), user

    @property
    def live(self) -> Path:
        return self.directory / LIVE

    def path(self, name: str) -> Path:
        return self.directory / "generations" / name

    def texts(self) -> dict[str, str]:
        """What stands in the live files; nothing where there are none, or not all, or one is no text."""
        try:
            return {name: files.read(self.live / name, "strict") for name in pgbouncer.FILES}
        except (OSError, UnicodeDecodeError):
            return {}

    def faults(self) -> dict[str, str]:
        """What is wrong with what stands where ``live`` leads, and with what leads there, by path."""
        if not os.path.lexists(self.live):
            return {}
        include = self.directory / INI
        found = {include: files.fault(include, self._include(), self._guard(0o640))}
        found |= {self.live / name: self._fault(self.live / name) for name in pgbouncer.FILES}
        told = {str(path): fault for path, fault in found.items() if fault}
        left = {str(path): "gone" for path in self._left()}
        return self._faults_of_directories() | told | left

    def is_foreign(self) -> bool:
        """Whether somebody else's settings stand where pgpillar's are to be."""
        include = self.directory / INI
        if not include.is_file() or files.read(include) == self._include():
            return False
        return not package.is_untouched("pgbouncer", include)

    def _keep_foreign(self) -> None:
        if self.is_foreign():
            kept = self.directory / BEFORE
            if os.path.lexists(kept):
                files.remove(kept)
            os.link(self.directory / INI, kept)

    def _fault(self, path: Path) -> str | None:
        return files.fault_of_guard(path, self._guard(0o640)) if os.path.lexists(path) else None

    def _faults_of_directories(self) -> dict[str, str]:
        led_to = {self.directory: self._guard(0o755), self.live: self._guard(0o750)}
        inside = {self.path(""): self._guard(0o750)}
        return files.faults_of_directories(led_to) | files.faults_of_directories(inside, by_link=False)

    def _left(self) -> list[Path]:
        """Generations that are not in force, which hold passwords, and what a run that was cut off left."""
        place = self.path("")
        found = place.iterdir() if place.is_dir() and not place.is_symlink() else ()
        return sorted(path for path in found if path.name != self.current())

    def _guard(self, mode: int) -> Guard:
        return Guard(mode, "root", grp.getgrgid(pwd.getpwnam(self.user).pw_gid).gr_name)

    def write(self, name: str, texts: Mapping[str, str]) -> None:
        """Write a generation beside the live one."""
        beside = self.path(f".{name}.new")
        files.make_directory(self.directory, self._guard(0o755))  # from here on, root alone changes it
        files.make_folder(self.path(""), self._guard(0o750))
        for old in (beside, self.path(name)):
            if os.path.lexists(old):
                files.remove(old)
        files.make_folder(beside, self._guard(0o750))
        for file, text in texts.items():
            files.write(beside / file, text, self._guard(0o640))
        beside.rename(self.path(name))

    def switch(self, name: str) -> None:
        """Let ``live`` lead to a generation, and pgbouncer.ini to ``live``. Either is done in one step."""
        files.link(self.live, Path("generations") / name)
        self._keep_foreign()
        if (self.directory / INI).is_dir():
            files.remove(self.directory / INI)
        files.write(self.directory / INI, self._include(), self._guard(0o640))

    def current(self) -> str | None:
        return self.live.readlink().name if self.live.is_symlink() else None

    def tidy(self) -> None:
        """Remove every generation but the one in force."""
        for path in self._left():
            files.remove(path)

    def _include(self) -> str:
        return f";; Written by pgpillar; what is in force stands there.\n%include {self.live}/{INI}\n"
