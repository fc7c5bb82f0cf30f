"""What a cluster is, as frozen values. What pillar wants and what a server has are the same types."""

from __future__ import annotations

import hmac
import ipaddress
import re
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import datetime
from functools import cached_property
from types import MappingProxyType
from typing import NamedTuple

PUBLIC = "public"  # PostgreSQL reserves the name, so no role can be called this
LATEST = "latest"
SYSTEM_CAS = "/etc/ssl/certs/ca-certificates.crt"
NO_SCHEMA = ""
EVERYWHERE = ""  # the schema of a default grant that holds in every schema
BY_OWNER = ""  # the grantor of a grant that the owner of the object made

BOOTSTRAP_LOGIN = "pgpillar_bootstrap"  # exists while a bootstrap script runs
UNFINISHED_LIMIT = int.from_bytes(b"pgpi", "big")  # the connection limit of a database that is being made
MARK = ("application_name", "pgpillar: unfinished")  # the admin's setting there, out of the owner's reach

PRESENT, QUARANTINED, ABSENT = "present", "quarantined", "absent"

NOTHING: Mapping = MappingProxyType({})


class Trouble(Exception):
    """What a person has to mend, in sentences meant for that person."""


@contextmanager
def told_as(error: type[Exception]) -> Iterator[None]:
    """Trouble, with files too, comes out as an error of the caller's kind."""
    try:
        yield
    except (Trouble, OSError) as trouble:
        raise error(str(trouble)) from None


class Secret:
    """A password. It can be compared and revealed, and it never shows itself."""

    __slots__ = ("_text",)

    def __init__(self, text: str):
        self._text = text

    def reveal(self) -> str:
        return self._text

    def __eq__(self, other) -> bool:
        return isinstance(other, Secret) and hmac.compare_digest(self._text.encode(), other._text.encode())

    def __hash__(self) -> int:
        return hash(self._text)

    def __repr__(self) -> str:
        return "Secret(********)"

    __str__ = __repr__

    def __reduce__(self):
        raise TypeError("a Secret is not to be stored or sent")


class Grant(NamedTuple):
    """One privilege on one object. A path that ends at the schema means every such object in it."""

    kind: str  # database, schema, table, column, sequence, routine
    path: tuple[str, ...]
    privilege: str
    grantee: str
    grantable: bool = False
    grantor: str = BY_OWNER


class DefaultGrant(NamedTuple):
    """One privilege that an object gets when its creator makes it."""

    creator: str
    schema: str
    kind: str
    privilege: str
    grantee: str
    grantable: bool = False


class Membership(NamedTuple):
    role: str
    member: str
    admin: bool = False
    inherit: bool = True
    set: bool = True


class Object(NamedTuple):
    """Something that exists and has an owner. A bound sequence follows its table's owner.

    The path begins with the schema, which is empty for what is in none.
    """

    kind: str
    path: tuple[str, ...]
    owner: str
    bound: bool = False


class EventTrigger(NamedTuple):
    """One whose function neither a superuser nor the admin owns. It runs as whoever makes a change."""

    name: str
    function: str
    owner: str


@dataclass(frozen=True)
class Role:
    name: str
    state: str = PRESENT
    login: bool = False
    inherit: bool = True
    attributes: frozenset[str] = frozenset()
    connection_limit: int = -1
    valid_until: datetime | None = None
    settings: frozenset[tuple[str, str]] = frozenset()
    password: Secret | str | None = field(default=None, repr=False)  # str: the verifier that a server keeps
    reassign_to: str | None = None


@dataclass(frozen=True)
class Schema:
    name: str
    owner: str | None = None  # None: whoever owns it
    required: bool = True  # public is closed where it is there, and not made where it is not


@dataclass(frozen=True)
class Extension:
    name: str
    version: str | None = None  # None: any; LATEST: what the server offers
    schema: str | None = None


@dataclass(frozen=True)
class Database:
    name: str
    owner: str
    state: str = PRESENT
    unfinished: bool = False  # made by pgpillar, and cut off before it was whole
    marked: bool = False  # by the admin, while a bootstrap script ran
    connection_limit: int = -1
    encoding: str | None = None
    locale: str | None = None
    template: str | None = None
    bootstrap: str | None = None
    settings: frozenset[tuple[str, str]] = frozenset()
    role_settings: frozenset[tuple[str, str, str]] = frozenset()
    schemas: Mapping[str, Schema] = field(default_factory=dict)
    extensions: Mapping[str, Extension] = field(default_factory=dict)
    grants: frozenset[Grant] = frozenset()
    default_grants: frozenset[DefaultGrant] = frozenset()
    creators_in: Mapping[str, frozenset[str]] = field(default_factory=dict)  # schema: who may create there
    writers: frozenset[str] = frozenset()  # who may have large objects of its own
    given_up: frozenset[Grant] = frozenset()  # what owners may no longer do with what they own
    beyond: frozenset[Grant] = frozenset()  # on what pillar cannot declare
    event_triggers: tuple[EventTrigger, ...] = ()
    objects: tuple[Object, ...] | None = None  # None: not known, as in pillar
    unseen: str = ""  # why its inside could not be read
    alias: str | None = field(default=None, compare=False)  # what pillar calls it, if not by its name

    @property
    def key(self) -> str:
        """Where it stands in pillar, under ``databases``."""
        return self.alias or self.name

    @property
    def creators(self) -> frozenset[str]:
        """The roles that may create objects in one schema or another."""
        return frozenset().union(*self.creators_in.values())


@dataclass(frozen=True)
class Server:
    """What only a live server can tell."""

    version: int
    admin: str
    superuser: bool
    sees_passwords: bool = True
    founder: str = ""  # the superuser that initdb made
    superusers: frozenset[str] = frozenset()
    extensions: Mapping[str, tuple[str, ...]] = field(
        default_factory=dict
    )  # name: default version, then all of them
    of_superusers: frozenset[str] = (
        frozenset()
    )  # the extensions whose objects a superuser owns, whoever made them
    unknown_settings: Mapping[str, tuple[str, ...]] = field(
        default_factory=dict
    )  # of those that are wanted, with the ones that are known
    dependents: Mapping[str, tuple[tuple[str, bool], ...]] = field(
        default_factory=dict
    )  # role: (database, does it own there?)
    grantors: Mapping[tuple[str, str], tuple[str, ...]] = field(
        default_factory=dict
    )  # who gave (role, member)
    kept_by: Mapping[str, tuple[tuple[str, str, str], ...]] = field(
        default_factory=dict
    )  # role: (kind, database, what or whose) of what keeps it from being dropped
    in_use_by: Mapping[str, tuple[tuple[str, str], ...]] = field(
        default_factory=dict
    )  # database: (kind, name) of what keeps it from being dropped
    rights_elsewhere: Mapping[str, tuple[tuple[str, Grant], ...]] = field(
        default_factory=dict
    )  # database: (owner, right) where pillar declares nothing, of what a role that leaves has to do with
    has_login_of_scripts: bool = False  # which a run that was killed left
    occupied: frozenset[str] = frozenset()  # the closed databases in which sessions go on
    acts_for: frozenset[str] = frozenset()  # the admin, and the roles that it is in
    public_owner: str = "pg_database_owner"  # who owns the schema public of a new database

    def admin_acts_for(self, role: str) -> bool:
        """Whether the admin has the rights of a role already."""
        return self.superuser or role in {self.admin, self.public_owner, *self.acts_for}


@dataclass(frozen=True)
class Cluster:
    name: str
    roles: Mapping[str, Role] = field(default_factory=dict)
    memberships: frozenset[Membership] = frozenset()
    databases: Mapping[str, Database] = field(default_factory=dict)
    grants: frozenset[Grant] = frozenset()  # on what is in no database; pillar declares none
    server: Server | None = None

    @cached_property
    def managed(self) -> frozenset[str]:
        """Whose rights this has a say in: those of its roles that stay, and of PUBLIC."""
        return frozenset(name for name, role in self.roles.items() if role.state == PRESENT) | {PUBLIC}

    @cached_property
    def heirs(self) -> dict[str, str]:
        """Who gets what a role that goes owns."""
        leaving = (role for role in self.roles.values() if role.state == ABSENT and role.reassign_to)
        return {role.name: role.reassign_to for role in leaving}


def ip_address(text: object) -> str:
    """An IP address in its usual form; a ValueError where it is none.

    It is written into files, and Python takes anything as the zone of a link-local address, line breaks too.
    """
    found = ipaddress.ip_address(text if isinstance(text, str) else "")
    if not re.fullmatch(r"[\w.-]*", getattr(found, "scope_id", None) or "", re.ASCII):
        raise ValueError("the zone is not the name of an interface")
    return str(found)


def port(number: object) -> int:
    """The number of a port, also as a text; a ValueError where it is none."""
    if re.fullmatch(r"[0-9]{1,5}", str(number), re.ASCII) and 0 < int(number) < 2**16:
        return int(number)
    raise ValueError("not the number of a port")


class Place(NamedTuple):
    """A server: the name that its certificate is verified against, and the address to dial."""

    host: str
    port: int = 5432
    hostaddr: str | None = None


@dataclass(frozen=True)
class Consul:
    """The agent that tells where the servers of a cluster are, and under which name."""

    url: str = "http://127.0.0.1:8500"
    service: str = "postgresql"
    datacenter: str | None = None
    token: Secret | None = None


@dataclass(frozen=True)
class Endpoint:
    """How to reach a cluster as its admin."""

    host: str
    port: int = 5432
    hostaddr: str | None = None
    sslmode: str = "verify-full"
    sslmode_reason: str | None = None
    ca: str | None = None
    ca_file: str | None = None
    user: str = "postgres"
    database: str = "postgres"
    password: Secret | None = None
    run_as: str | None = None  # the system user that the socket's peer authentication wants
    minion: tuple[str, ...] = ()
    lock_timeout: int = 10
    blocking_limit: int = 2
    statement_timeout: int = 600
    wait_for_others: int = 300
    dumps: str = "/var/backups/pgpillar"
    discovery: str = "static"
    minions: tuple[str, ...] = ()
    consul: Consul = Consul()
    replicas: tuple[Place, ...] = ()

    @property
    def is_socket(self) -> bool:
        return self.host.startswith("/")
