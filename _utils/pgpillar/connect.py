"""Connections to a cluster as its admin, and what their failures mean."""

from __future__ import annotations

import ctypes
import os
import platform
import pwd
import re
import tempfile
import time
from collections.abc import Iterator, Mapping
from contextlib import closing, contextmanager
from pathlib import Path

import psycopg2
from psycopg2 import errors
from psycopg2.extensions import libpq_version
from psycopg2.extras import PhysicalReplicationConnection

from pgpillar.handshake import refusal
from pgpillar.model import SYSTEM_CAS, Endpoint, Secret, Trouble

NO_PASSFILE = f"{os.devnull}/none"  # not devnull itself: libpq would complain of it at each connection

# The owner of a database can set these for every session in it. What a session starts with wins over that.
_NEUTRAL = {
    "search_path": "pg_catalog,pg_temp",  # left out, pg_temp would be searched first
    "role": "none",
    "row_security": "off",
    "local_preload_libraries": "",
    "idle_in_transaction_session_timeout": "0",
    "default_transaction_isolation": "read committed",
    "default_transaction_deferrable": "off",
    "default_tablespace": "",
    "temp_tablespaces": "",
    "quote_all_identifiers": "off",
    "standard_conforming_strings": "on",
    "transform_null_equals": "off",
    "array_nulls": "on",
    "extra_float_digits": "1",
    "bytea_output": "hex",
    "DateStyle": "ISO",
    "IntervalStyle": "postgres",
    "client_min_messages": "notice",
    "synchronous_commit": "local",  # a missing standby does not block a repair, which can be repeated
    "jit": "off",  # compiling takes longer than any question asked here
}
_NEUTRAL_SINCE = {"idle_session_timeout": ("0", 140000), "transaction_timeout": ("0", 170000)}
_EVENT_TRIGGERS_SINCE = 170000  # from then on a login can fire them, and a superuser can turn them off

# The proof of a password asks nothing, so that only a trigger at login can take time on the server.
# connect_timeout ends the wait for it here, and this ends it there.
_SHORT, _SHORT_SINCE = {"transaction_timeout": "5s"}, 170000

_FULL = "too many clients|remaining connection slots"
_FOR_A_SLOT = 5  # seconds


class ClusterError(Trouble):
    """What went wrong with a cluster, as a sentence that says what to do."""


@contextmanager
def gateway(endpoint: Endpoint, application: str = "pgpillar") -> Iterator[Gateway]:
    """A way in to the cluster. The CA stands in a file for as long as it is open."""
    with _ca_file(endpoint) as ca:
        yield Gateway(endpoint, ca, application)


def ca_of(endpoint: Endpoint) -> str:
    """The certificates that a cluster's servers are verified against, as PEM."""
    if endpoint.is_socket:
        return ""
    return endpoint.ca or Path(endpoint.ca_file or SYSTEM_CAS).read_text()


@contextmanager
def _ca_file(endpoint: Endpoint) -> Iterator[str]:
    if not endpoint.ca:
        yield endpoint.ca_file or SYSTEM_CAS
        return
    with tempfile.NamedTemporaryFile("w", prefix="pgpillar-ca-", suffix=".pem") as file:
        file.write(endpoint.ca)
        file.flush()
        yield file.name


class Gateway:
    """Opens connections to one cluster. Nothing in the environment, such as PGPASSFILE, has a say."""

    def __init__(self, endpoint: Endpoint, ca: str, application: str):
        self.endpoint, self.ca, self.application = endpoint, ca, application
        self.version = 0  # of the server, unknown before the first connection
        self.superuser = False
        self.backends: set[int] = set()  # of all connections that were opened here

    def parameters(self, database: str | None = None, **settings: str) -> dict[str, object]:
        """How libpq reaches the cluster as its admin, with these settings; no password among it."""
        endpoint = self.endpoint
        parameters = {
            "host": endpoint.host,
            "port": endpoint.port,
            "user": endpoint.user,
            "dbname": database or endpoint.database,
            "application_name": self.application,
            "client_encoding": "UTF8",
            "connect_timeout": 10,
            "gssencmode": "disable",
            "options": self._options(settings),
            "passfile": NO_PASSFILE,
            "keepalives_idle": 30,
            "tcp_user_timeout": 60000,
        }
        if not endpoint.is_socket:
            parameters |= {"sslmode": endpoint.sslmode, "sslrootcert": self.ca, "sslcert": "", "sslkey": ""}
        if endpoint.hostaddr:
            parameters["hostaddr"] = endpoint.hostaddr
        return parameters

    def _options(self, more: Mapping[str, str]) -> str:
        settings = {
            **_NEUTRAL,
            **self._newer(),
            "lock_timeout": f"{self.endpoint.lock_timeout}s",
            "statement_timeout": f"{self.endpoint.statement_timeout}s",
            **more,
        }
        return _as_options(settings)

    def _newer(self) -> dict[str, str]:
        """The neutral settings that only newer servers know."""
        return {name: value for name, (value, since) in _NEUTRAL_SINCE.items() if self.version >= since}

    def open(self, database: str | None = None, **settings: str):
        """A connection as the admin, with these settings beside the usual ones."""
        try:
            with effective_user(self.system_user()):
                connection = self._connect_in_turn(self.parameters(database, **settings))
        except psycopg2.OperationalError as error:
            raise ClusterError(self.explained(error)) from None
        if not self.version:
            self._learn_from(connection)
        return connection

    def _connect_in_turn(self, parameters: dict):
        """On a full server the slots that are reserved for superusers serve one database after another."""
        until = time.monotonic() + _FOR_A_SLOT
        while True:
            try:
                return self._connect(parameters, self.endpoint.password)
            except psycopg2.OperationalError as error:
                if not re.search(_FULL, str(error)) or time.monotonic() > until:
                    raise
            time.sleep(0.1)

    def open_to_read(self, database: str):
        """A connection that writes nothing and, where the admin can prevent it, fires no trigger at login."""
        return self.open(database, default_transaction_read_only="on", **self.without_event_triggers())

    def without_event_triggers(self) -> dict[str, str]:
        """The setting that keeps a login from firing triggers, where the admin can prevent it."""
        can = self.superuser and self.version >= _EVENT_TRIGGERS_SINCE
        return {"event_triggers": "off"} if can else {}

    def open_as(self, user: str, password: Secret, database: str, role: str):
        """A connection as another user, which acts as ``role`` from the start."""
        settings = {
            "role": role,
            "lock_timeout": f"{self.endpoint.lock_timeout}s",
            "statement_timeout": f"{self.endpoint.statement_timeout}s",
            **({"client_connection_check_interval": "1s"} if self.version >= 140000 else {}),
        }
        parameters = {**self.parameters(database), "user": user, "options": _as_options(settings)}
        try:
            return self._connect(parameters, password)
        except psycopg2.OperationalError as error:
            if not self.endpoint.is_socket:
                raise ClusterError(self.explained(error, user)) from None
        return self._open_by_tcp(parameters, password)

    def _open_by_tcp(self, parameters: dict, password: Secret):
        """On a socket, pg_hba.conf may let in nobody with a password."""
        try:
            return self._connect({**parameters, "host": "localhost"}, password)
        except psycopg2.OperationalError:
            user = parameters["user"]
            raise ClusterError(
                f"the server does not let in {user!r}, as which bootstrap scripts run; add this line to its "
                f"pg_hba.conf, above the others for local: local all {user} scram-sha-256"
            ) from None

    def _learn_from(self, connection) -> None:
        """The first connection was opened without the settings that only newer servers know."""
        self.version = connection.server_version
        self.superuser = connection.info.parameter_status("is_superuser") == "on"
        newer = self._newer()
        if newer:
            connection.autocommit = True
            with connection.cursor() as cursor:
                cursor.execute("; ".join(f"SET {name} TO '{value}'" for name, value in newer.items()))
            connection.autocommit = False

    def command(self, text: str) -> list[tuple]:
        """What the server answers to a command of replication."""
        parameters = {**self.parameters(), "options": "", "connection_factory": PhysicalReplicationConnection}
        try:
            connection = self._connect(parameters, self.endpoint.password)
        except psycopg2.OperationalError as error:
            raise ClusterError(self.explained(error)) from None
        with closing(connection), connection.cursor() as cursor:
            cursor.execute(text)
            return cursor.fetchall()

    def lets_in(self, user: str, password: Secret) -> bool:
        """Whether the server accepts this password of this user; found out by logging in."""
        parameters = {
            **self.parameters(),
            "user": user,
            "options": _as_options(_SHORT if self.version >= _SHORT_SINCE else {}),
            "application_name": "pgpillar login check",
            **_ASKING,
        }
        try:
            connection = self._connect(parameters, password)
        except psycopg2.OperationalError as error:
            return _verdict(error, self, user)
        asked = connection.info.used_password
        connection.close()
        if not asked:
            raise _unasked(user)
        return True

    def _connect(self, parameters: dict, password: Secret | None):
        # An empty password would make libpq look for one elsewhere
        secret = {"password": password.reveal()} if password else {}
        connection = psycopg2.connect(**parameters, **secret)
        self.backends.add(connection.info.backend_pid)
        return connection

    def system_user(self) -> str | None:
        """Peer authentication looks at who connects: root steps down to the user that the role maps to."""
        endpoint = self.endpoint
        if not endpoint.is_socket or endpoint.password or os.getuid():
            return None
        name = endpoint.run_as or endpoint.user
        return name if _has_account(name) else None

    def explained(self, error: psycopg2.Error, user: str | None = None) -> str:
        where = f"{self.endpoint.host}:{self.endpoint.port}"
        if self.endpoint.hostaddr:
            where += f" ({self.endpoint.hostaddr})"
        text = first_line(error)
        if "certificate verify failed" in text and (why := refusal(self.endpoint, self.ca)):
            text += f": {why}"
        cannot = f"cannot connect to {where} as {user or self.endpoint.user!r}: {text}"
        for pattern, advice in _CONNECTION_FAULTS:
            if re.search(pattern, text):
                return f"{cannot}; {advice}"
        return cannot


@contextmanager
def effective_user(name: str | None) -> Iterator[None]:
    """Act as another system user, for what a socket's other end sees of us. None: as ourselves.

    Only the calling thread does: ``os.seteuid`` would change the process under the feet of its other threads.
    """
    if name is None:
        yield
        return
    if not _has_account(name):
        raise ClusterError(f"there is no system user {name!r} on this machine")
    own = os.geteuid()
    _set_effective_user(pwd.getpwnam(name).pw_uid)
    try:
        yield
    finally:
        _set_effective_user(own)


# The number of Linux's setresuid, with identifiers of 32 bits
_SETRESUID = {
    "x86_64": 117,
    "i686": 208,
    "aarch64": 147,
    "armv7l": 208,
    "ppc64le": 164,
    "riscv64": 147,
    "s390x": 208,
}


def _set_effective_user(uid: int) -> None:
    machine = platform.machine()
    if machine not in _SETRESUID:
        raise ClusterError(
            f"cannot act as another system user on {machine}; give the admin a password instead"
        )
    if ctypes.CDLL(None, use_errno=True).syscall(_SETRESUID[machine], -1, uid, -1):
        raise ClusterError(f"cannot act as system user {uid}: {os.strerror(ctypes.get_errno())}")


def _has_account(name: str) -> bool:
    try:
        pwd.getpwnam(name)
    except KeyError:
        return False
    return True


def first_line(error: psycopg2.Error) -> str:
    """libpq's own words, without the address that it puts before them."""
    lines = [line.strip() for line in str(error).splitlines() if line.strip()] or ["no reason was given"]
    text = re.sub(r"^.*?failed: (FATAL:\s+)?", "", lines[0])
    return text.removesuffix(".") or lines[0]


_CONNECTION_FAULTS = (
    (
        r"could not access file",
        "a setting of the database or of the role loads a library that is not there; reset it",
    ),
    (
        r"Connection refused|No such file or directory$|No such file",
        "is the server running, and host and port right?",
    ),
    (r"timeout expired|timed out|unreachable", "is a firewall between here and the server?"),
    (r"could not translate host name", "give the address in hostaddr, or mend the name's DNS"),
    (
        r"certificate has expired|is not yet valid",
        "if the clock is right, renew the server's certificate; if not, set the clock",
    ),
    (
        r"certificate verify failed|unable to get",
        "the server's certificate has expired, or is not from the cluster's ca: renew it, or mend ca",
    ),
    (
        r"does not match host name",
        "host in pillar must be a name that the certificate holds; the address belongs in hostaddr",
    ),
    (r"root certificate file", "give the CA in ca or ca_file"),
    (r"does not support SSL", "turn ssl on there; pgpillar does not fall back to plain text by itself"),
    (
        r"password authentication failed|no password supplied",
        "mend its password in the secrets file of this minion; or has its valid_until passed?",
    ),
    (r"Peer authentication failed", "name the right system user in clusters:…:admin:run_as"),
    (r"no pg_hba.conf entry|pg_hba.conf rejects", "let this address in there"),
    (r"starting up|shutting down|not yet accepting|recovery mode", "run this again when the server is up"),
    (r"too many clients|remaining connection slots", "free a connection, or raise max_connections"),
)

# The password was right, and only afterwards something else was wrong
_AFTER_THE_PASSWORD = "|".join(
    (
        "permission denied for database",
        "too many connections for",
        "not permitted to log in",
        "does not exist$",
        "not currently accepting",
        "due to transaction timeout",  # in a trigger at login
        "could not access file",  # that of a library which the user is to load
    )
)


def _as_options(settings: Mapping[str, str]) -> str:
    return " ".join(f"-c {name}={re.sub(_SPECIAL, _ESCAPED, value)}" for name, value in settings.items())


_SPECIAL, _ESCAPED = r"([\\\s])", r"\\\1"  # what separates two options, unless it is escaped


# From libpq 16 on, a server that asks for no password is found out before it can refuse for another reason
_ASKING = {"require_auth": "!none"} if libpq_version() >= 160000 else {}
_UNASKED = r"^authentication method requirement"


def _unasked(user: str) -> ClusterError:
    return ClusterError(
        f"cannot tell whether the password of {user!r} is right: the server lets it in without one"
        " (trust or peer in its pg_hba.conf); use scram-sha-256 there"
    )


def _verdict(error: psycopg2.OperationalError, gateway: Gateway, user: str) -> bool:
    text = first_line(error)
    if re.search(r"password authentication failed", text):
        return False
    if re.search(_UNASKED, text):
        raise _unasked(user)
    if re.search(_AFTER_THE_PASSWORD, text) and f'role "{user}" does not exist' not in text:
        return True
    why = gateway.explained(error, user)
    raise ClusterError(f"cannot tell whether the password of {user!r} is right: {why}")


def explained(error: psycopg2.Error, detail: bool = True) -> str:
    """A server's complaint as a sentence. The statement is left out: it may hold what is secret."""
    said = (error.diag.message_primary or first_line(error)).rstrip(".")
    if isinstance(error, (psycopg2.OperationalError, psycopg2.InterfaceError)) and not error.pgcode:
        return "the connection was lost; run this again, which goes on from what was kept"
    advice = next((advice for kind, advice in _ADVICE if isinstance(error, kind)), error.diag.message_hint)
    more = f" ({error.diag.message_detail.rstrip('.')})" if detail and error.diag.message_detail else ""
    return f"{said}{more}" + (f"; {advice}" if advice else "")


_ADVICE = (
    (errors.AdminShutdown, "the connection was cut from the server's side; run this again"),
    (errors.CrashShutdown, "the server is restarting; run this again"),
    (errors.LockNotAvailable, "somebody holds a lock for long; run this again when that is over"),
    (
        errors.QueryCanceled,
        "it took too long; raise statement_timeout in the cluster's pillar, or run this again",
    ),
    (
        errors.ReadOnlySqlTransaction,
        "the server is read-only: is it a replica, or set default_transaction_read_only?",
    ),
    (errors.InsufficientPrivilege, "have a superuser do it, or give the admin that right"),
    (errors.ObjectInUse, "end the sessions that use it, and run this again"),
    (errors.DiskFull, "make room on the server, and run this again"),
)
