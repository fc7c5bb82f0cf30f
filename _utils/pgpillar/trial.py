"""A scratch pgbouncer that tries files before they are used: it has no other way to test them."""

from __future__ import annotations

import fcntl
import os
import pwd
import re
import subprocess
import tempfile
import time
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import BinaryIO

import psycopg2

from pgpillar import files
from pgpillar.bouncer import BouncerError, Console
from pgpillar.connect import NO_PASSFILE, first_line
from pgpillar.model import Secret
from pgpillar.node import Pool
from pgpillar.pgbouncer import INI, Home
from pgpillar.shape import nearest

PROGRAM = "/usr/sbin/pgbouncer"
PREFIX = "pgpillar-trial-"
PATIENCE = 5  # seconds to come up, and to log in
LOGINS = 8
MOST = 2**20  # bytes of what it says

# Nobody waits for a scratch instance longer than it takes to see that a login fails
HASTE = {"query_wait_timeout": str(PATIENCE), "server_connect_timeout": "5", "log_disconnections": "1"}

# What pgbouncer logs of a pool's way to its server. To the client that waits for it, it tells nothing.
_CLOSED = r" S-\w+: {}/.*@(\S+) closing because: (.*) \(age="
_TLS = r"WARNING (TLS handshake error: .*)"
_SEVERAL = "where the host has several addresses, give the one to dial in hostaddr"


def told(pools: Iterable[Pool], reasons: Iterable[str | None]) -> dict[str, str]:
    """The pools that failed, by name, and why. No failure is None, and nothing else."""
    return {pool.name: reason for pool, reason in zip(pools, reasons, strict=True) if reason is not None}


class Trial:
    """A scratch instance that is up. What it ``said`` stands in a file without a name."""

    def __init__(self, directory: Path, console: Console, said: BinaryIO):
        self.directory, self.console, self.said = directory, console, said

    def failures(self, pools: list[Pool], passwords: Mapping[str, Secret]) -> dict[str, str]:
        """The pools through which a login fails, and why."""
        with ThreadPoolExecutor(LOGINS) as pool:
            reasons = pool.map(lambda one: self._failure(one, passwords[one.user]), pools)
            return told(pools, reasons)

    def _failure(self, pool: Pool, password: Secret) -> str | None:
        where = {"host": str(self.directory), "port": 6432, "dbname": pool.name, "user": pool.user}
        try:
            connection = psycopg2.connect(
                **where,
                password=password.reveal(),
                connect_timeout=PATIENCE,
                passfile=NO_PASSFILE,
                sslmode="disable",
            )
            connection.autocommit = True  # statement mode refuses a transaction
            connection.cursor().execute("select 1")
            connection.close()
        except psycopg2.Error as error:
            return self._told(pool) or first_line(error)
        return None

    def _told(self, pool: Pool) -> str | None:
        """What keeps pgbouncer from the pool's server, by its log."""
        log = _log(self.said)
        closed = [f"{why} at {where}" for where, why in re.findall(_CLOSED.format(re.escape(pool.name)), log)]
        advice = [_SEVERAL] if "connect failed" in "".join(closed) else re.findall(_TLS, log)
        reasons = "; ".join(dict.fromkeys(closed + advice))
        return f"pgbouncer came no further than: {reasons}" if reasons else None


@contextmanager
def instance(texts: Callable[[Home], Mapping[str, str]], user: str) -> Iterator[Trial]:
    """A scratch instance on these files, for as long as it is needed."""
    account = pwd.getpwnam(user) if os.geteuid() == 0 else None
    _tidy({os.geteuid(), account.pw_uid if account else os.geteuid()})
    directory = Path(tempfile.mkdtemp(prefix=PREFIX, dir="/tmp"))
    try:
        with _held(directory):
            place = Home(
                str(directory), str(directory), str(directory / "log"), str(directory / "pid"), 6432, False
            )
            written = texts(place)
            for name, text in written.items():
                _write(directory / name, text, account)
            if account:  # from here on, whatever is in it may be another thing by the time that we look
                os.chown(directory, account.pw_uid, account.pw_gid)
            with tempfile.TemporaryFile() as said, _running(directory, account, said) as process:
                trial = Trial(directory, Console(str(directory), 6432, user), said)
                _await(process, trial, written[INI])
                yield trial
    finally:
        files.remove(directory)


@contextmanager
def _held(directory: Path) -> Iterator[None]:
    """A lock on a directory. It goes with whoever holds it, and an error says that somebody does."""
    number = os.open(directory, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW)
    try:
        fcntl.flock(number, fcntl.LOCK_EX | fcntl.LOCK_NB)
        yield
    finally:
        os.close(number)


def _tidy(owners: Collection[int]) -> None:
    """Remove what a trial that was killed has left, passwords among it. What others put there stays."""
    for directory in Path("/tmp").glob(f"{PREFIX}*"):
        with suppress(OSError):
            found = directory.lstat()
            # A younger one may not be held yet
            if found.st_uid in owners and time.time() - found.st_mtime > PATIENCE:
                with _held(directory):
                    files.remove(directory)


def _write(path: Path, text: str, account) -> None:
    with open(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w") as file:
        file.write(text)
    if account:
        os.chown(path, account.pw_uid, account.pw_gid)


@contextmanager
def _running(directory: Path, account, said: BinaryIO) -> Iterator[subprocess.Popen]:
    """pgbouncer, which ends with us, however that may be."""
    who = {"user": account.pw_uid, "group": account.pw_gid, "extra_groups": []} if account else {}
    command = ["setpriv", "--pdeathsig", "KILL", PROGRAM, str(directory / INI)]
    streams = {"stdin": subprocess.DEVNULL, "stdout": said, "stderr": subprocess.STDOUT}
    process = subprocess.Popen(command, cwd="/", **streams, **who)
    try:
        yield process
    finally:
        process.kill()
        process.wait()


def _await(process: subprocess.Popen, trial: Trial, ini: str) -> None:
    deadline = time.monotonic() + PATIENCE
    while not trial.console.is_up:
        if process.poll() is not None or time.monotonic() > deadline:
            complaints = _complaints(trial, ini)
            raise BouncerError(f"pgbouncer does not start on the new configuration: {complaints}")
        time.sleep(0.01)  # there is nothing to wait on: it tells nobody that it is up


def _complaints(trial: Trial, ini: str) -> str:
    lines = [
        line.split(" ", 4)[-1]
        for line in _log(trial.said).splitlines()
        if re.search("ERROR|FATAL|WARNING", line)
    ]
    return _named("; ".join(lines[-3:]), trial.directory / INI, ini) or "it said nothing"


def _named(said: str, file: Path, ini: str) -> str:
    """A line of files that are gone by the time that somebody reads this is called by its setting."""
    lines = ini.splitlines()
    return re.sub(
        rf"{re.escape(str(file))}:(\d+)",
        lambda found: f"setting {lines[int(found[1]) - 1].partition(' = ')[0]!r}",
        said,
    )


def _log(said: BinaryIO) -> str:
    return os.pread(said.fileno(), MOST, 0).decode(errors="replace")


def known_settings(user: str) -> list[str]:
    """The settings that the installed version knows."""
    bare = "[databases]\n[pgbouncer]\n"
    with instance(
        lambda place: {INI: f"{bare}unix_socket_dir = {place.sockets}\nlogfile = {place.log}\n"}, user
    ) as trial:
        return sorted(trial.console.settings())


def check_settings(names, user: str) -> None:
    """Refuse what the installed version does not know."""
    if not names or not Path(PROGRAM).exists():  # nor is there a version to ask, before it is installed
        return
    known = known_settings(user)
    unknown = [
        f"postgresql:pgbouncer:settings:{name}: {nearest(name, known)}" for name in names if name not in known
    ]
    if unknown:
        raise BouncerError("the installed pgbouncer does not know " + "; ".join(unknown))
