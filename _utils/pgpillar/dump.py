"""A dump of a database before it is dropped, taken while nobody else can get in."""

from __future__ import annotations

import os
import pwd
import re
import subprocess
import tempfile
from contextlib import contextmanager
from datetime import UTC, datetime
from glob import glob
from pathlib import Path

from psycopg2.sql import SQL, Identifier

from pgpillar.connect import NO_PASSFILE, ClusterError, Gateway
from pgpillar.model import Database

APPLICATION = "pgpillar pg_dump"
LOOK = 1  # seconds between two looks at whether pg_dump waits for somebody
PROGRAMS = "/usr/lib/postgresql/*/bin/pg_dump"


class Blocked(ClusterError):
    """Somebody who was in the database already holds what pg_dump needs."""


def before_drop(connection, gateway: Gateway, database: Database, version: int) -> Path:
    """Write the dump and return where it is. The database is quarantined before and after."""
    program = program_for(version // 10000)
    with _open_to_the_admin(connection, database):
        return _written(program, connection, gateway, database)


def program_for(major: int) -> str:
    found = {int(re.search(r"/(\d+)/bin/", path)[1]): path for path in glob(PROGRAMS)}
    fitting = [found[had] for had in sorted(found) if had >= major]
    if not fitting:
        raise ClusterError(
            f"nothing was dropped: no pg_dump of version {major} or newer is here to write a dump with; "
            f"install postgresql-client-{major} on this minion"
        )
    return fitting[0]


@contextmanager
def _open_to_the_admin(connection, database: Database):
    name = Identifier(database.name)
    holders = {grant.grantee for grant in database.grants if grant.privilege == "CONNECT"} - {"public"}
    with connection.cursor() as cursor:
        for role in [SQL("PUBLIC"), *map(Identifier, sorted(holders))]:
            cursor.execute(SQL("REVOKE CONNECT ON DATABASE {} FROM {}").format(name, role))
        cursor.execute("SELECT current_user, rolsuper FROM pg_roles WHERE rolname = current_user")
        admin, superuser = cursor.fetchone()
        if not superuser:
            cursor.execute(SQL("GRANT CONNECT ON DATABASE {} TO {}").format(name, Identifier(admin)))
        cursor.execute(SQL("ALTER DATABASE {} ALLOW_CONNECTIONS true").format(name))
        try:
            yield
        finally:
            cursor.execute(SQL("ALTER DATABASE {} ALLOW_CONNECTIONS false").format(name))


def _written(program: str, connection, gateway: Gateway, database: Database) -> Path:
    directory = Path(gateway.endpoint.dumps)
    stamp = datetime.now(UTC).strftime("%Y%m%dT%H%M%SZ")
    target = directory / f"{re.sub(r'[^A-Za-z0-9_.-]', '_', database.key)}-{stamp}.dump"
    try:
        directory.mkdir(parents=True, mode=0o700, exist_ok=True)
        with _whole(target) as out:
            _dump(program, connection, gateway, database.name, out)
            _check(program, out.name)
    except OSError as error:
        raise ClusterError(f"nothing was dropped: cannot write {target}: {error.strerror}") from None
    return target


@contextmanager
def _whole(target: Path):
    """A file that has its name only once it is whole, and is gone where it is not."""
    partial = target.with_suffix(".partial")
    try:
        with open(partial, "wb", opener=lambda path, flags: os.open(path, flags, 0o600)) as out:
            yield out
            os.fsync(out.fileno())
        partial.rename(target)
    finally:
        partial.unlink(missing_ok=True)


def _dump(program: str, connection, gateway: Gateway, name: str, out) -> None:
    with _passfile(gateway) as passfile:
        command = [
            program,
            "--format=custom",
            "--no-password",
            "--dbname",
            _conninfo(gateway, name, passfile),
        ]
        options = {"stdout": out, "stderr": subprocess.PIPE, "env": _environment(), **_account(gateway)}
        with subprocess.Popen(command, **options) as running:
            try:
                said = _watched(running, connection, gateway, name)
            except BaseException:
                running.kill()
                raise
    if running.returncode:
        why = _cause(said.decode(errors="replace"))
        raise ClusterError(f"nothing was dropped: pg_dump of {name!r} failed: {why}{_remedy(why)}")


def _watched(running: subprocess.Popen, connection, gateway: Gateway, name: str) -> bytes:
    """What pg_dump says. It waits for locks without a limit, whatever its session asks for."""
    limit, waited = gateway.endpoint.lock_timeout, 0
    while True:
        try:
            return running.communicate(timeout=LOOK)[1]
        except subprocess.TimeoutExpired:
            waited += LOOK if _waits(connection, name, waited >= limit) else 0
        if waited > limit:
            running.communicate()
            raise Blocked(f"nothing was dropped: pg_dump of {name!r} waited {limit} s for a lock")


def _waits(connection, name: str, is_over: bool) -> bool:
    """Whether pg_dump waits for a lock. Once its time is over, its session ends."""
    with connection.cursor() as cursor:
        cursor.execute(_END_OF_WAIT if is_over else _WAITS, [name, APPLICATION])
        return bool(cursor.rowcount)


_WAITS = """
    select pid from pg_catalog.pg_stat_activity
    where datname = %s and application_name = %s and usename = current_user and wait_event_type = 'Lock'"""
_END_OF_WAIT = _WAITS.replace("select pid", "select pg_catalog.pg_terminate_backend(pid)")


def _remedy(why: str) -> str:
    if "row-level security" not in why:
        return ""
    return "; have a superuser give the admin BYPASSRLS, or end FORCE ROW LEVEL SECURITY there"


# What pg_dump says first, and what the server said to it; the rest is its queries and hints
_CAUSE = re.compile(
    r"^(?:pg_dump: (?:detail|error): )?Error message from server: (.+)$"
    r"|^pg_dump: error: (?!query was|The command was)(.+)$",
    re.M,
)


def _cause(said: str) -> str:
    found = ["".join(parts).strip().rstrip(".") for parts in _CAUSE.findall(said)]
    return ": ".join(found[:2]) or said.strip().partition("\n")[0] or "no reason was given"


def _environment() -> dict[str, str]:
    return {"PATH": os.environ.get("PATH", "/usr/bin:/bin"), "LC_ALL": "C.UTF-8"}


def _conninfo(gateway: Gateway, name: str, passfile: str) -> str:
    """What the owner set on the database does not count, and no trigger of its fires at pg_dump's login."""
    patient = {"lock_timeout": "0", "statement_timeout": "0", **gateway.without_event_triggers()}
    parameters = {
        **gateway.parameters(name, **patient),
        "passfile": passfile,
        "application_name": APPLICATION,
    }
    return " ".join(f"{key}='{_escaped(value)}'" for key, value in parameters.items() if value != "")


def _escaped(value: object) -> str:
    return str(value).replace("\\", "\\\\").replace("'", "\\'")


@contextmanager
def _passfile(gateway: Gateway):
    """The password for as long as pg_dump runs, in a file that only it can read."""
    if not gateway.endpoint.password:
        yield NO_PASSFILE
        return
    secret = gateway.endpoint.password.reveal().replace("\\", "\\\\").replace(":", "\\:")
    with tempfile.NamedTemporaryFile("w", prefix="pgpillar-") as file:
        file.write(f"*:*:*:*:{secret}\n")
        file.flush()
        yield file.name


def _account(gateway: Gateway) -> dict:
    name = gateway.system_user()
    if name is None:
        return {}
    account = pwd.getpwnam(name)
    return {"user": account.pw_uid, "group": account.pw_gid, "extra_groups": []}


def _check(program: str, path: str) -> None:
    """A dump that cannot be listed cannot be restored."""
    listed = subprocess.run(
        [program.replace("pg_dump", "pg_restore"), "--list", path], capture_output=True, check=False
    )
    if listed.returncode:
        raise ClusterError(f"nothing was dropped: the dump {path} cannot be read back")
