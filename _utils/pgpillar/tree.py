"""What pillar may say under ``postgresql``: each key, the kind of its value, and what it means."""

from __future__ import annotations

from collections.abc import Mapping

from pgpillar import access as levels
from pgpillar.model import ABSENT, BOOTSTRAP_LOGIN, NOTHING, PRESENT, QUARANTINED, Consul, Extension
from pgpillar.shape import (
    Address,
    Choice,
    Either,
    Flag,
    Key,
    Kind,
    ListOf,
    MapOf,
    Moment,
    Name,
    Network,
    Notes,
    Number,
    Password,
    Path,
    Reserved,
    Scalar,
    Section,
    Settings,
    Text,
)

ROOT = Path(("postgresql",))
ROLE_NAME = Reserved(("public", "none", BOOTSTRAP_LOGIN), "a role name")
SCHEMA_NAME = Reserved(("information_schema",), "a schema name")
DATABASE_NAME = Reserved(("template0", "template1"), "a database name", prefixes=())
POOL_NAME = Reserved(("pgbouncer",), "the name of a pool", prefixes=())
HOST = r"/[^\s,]*|[\w.:-]+"  # no URL, for it may hold a password
SSLMODES = ("disable", "allow", "prefer", "require", "verify-ca", "verify-full")
PEM = r"(?s)\s*-----BEGIN CERTIFICATE-----.+-----END CERTIFICATE-----\s*"


class Extensions(Kind):
    """A list of names, or a mapping of name to version or {version, schema}."""

    _one = Section(
        {
            "version": Key(Text("a version"), "the version to hold, or 'latest'"),
            "schema": Key(Name(), "where its objects go; public if left out"),
        },
        short="version",
        expected="a version or a mapping",
    )

    def read(self, value, path, notes):
        if not isinstance(value, Mapping):
            value = dict.fromkeys(ListOf(Name(), alone=True).read(value, path, notes))
        read = MapOf(Name(), self._one).read(value, path, notes)
        return {name: Extension(name, entry["version"], entry["schema"]) for name, entry in read.items()}


ACCESS = MapOf(ROLE_NAME, Choice(*levels.LEVELS))
GROUP_ACCESS = MapOf(Name(), Either(Choice(*levels.LEVELS), MapOf(Name(), Choice(*levels.LEVELS))))
LIMIT = Number(-1)

ADMIN = Section(
    {
        "user": Key(Name(), "the role that administers the cluster", "postgres"),
        "database": Key(Name(), "the database it connects to first", "postgres"),
        "password": Key(Password(), "its password; keep it in a secrets file"),
        "run_as": Key(Text("a system user"), "the system user that peer authentication wants on a socket"),
        "minion": Key(
            ListOf(Text("a minion id"), alone=True),
            "which minions administer it; all that may, if left out",
            (),
        ),
    },
    short="user",
    expected="a user or a mapping",
)

REPLICA = Section(
    {
        "host": Key(Text("a host name", HOST), "the name its certificate is verified against", required=True),
        "port": Key(Number(1, 65535), "its port", 5432),
        "hostaddr": Key(Address(), "the address to dial"),
    },
    short="host",
)

CONSUL = Section(
    {
        "url": Key(
            Text("an address like http://127.0.0.1:8500", r"https?://[\w.-]+(:\d{1,5})?"),
            "where an agent answers: on this machine, if left out",
            Consul.url,
        ),
        "service": Key(
            Text("a name of letters, digits and '-'", r"[A-Za-z0-9-]+"),
            "what its servers are called in Consul; another one for each cluster is best",
            Consul.service,
        ),
        "datacenter": Key(
            Text("the name of a datacenter", r"[a-z0-9_-]+"), "Consul's datacenter; the agent's, if left out"
        ),
        "token": Key(Password(), "what Consul's ACLs know this node by; keep it in a secrets file"),
    }
)

CLUSTER = Section(
    {
        "host": Key(
            Text("a host name or a socket directory", HOST),
            "the name its certificate is verified against, or the directory of its socket",
            required=True,
        ),
        "hostaddr": Key(Address(), "the address to dial; host is still what is verified"),
        "port": Key(Number(1, 65535), "its port", 5432),
        "sslmode": Key(Choice(*SSLMODES), "how the server is verified", "verify-full"),
        "sslmode_reason": Key(Text("a reason"), "why sslmode is weaker than verify-full"),
        "ca": Key(Text("a PEM certificate", PEM), "the CA certificates, as PEM"),
        "ca_file": Key(Text("an absolute path", r"/.+"), "a file with the CA certificates"),
        "ca_server": Key(
            Text("a minion id"), "the minion that is its CA; the state tls.trust keeps ca_file as that says"
        ),
        "admin": Key(ADMIN, "who administers it"),
        "discovery": Key(
            Choice("static", "mine", "consul"), "where its primary and replicas are found", "static"
        ),
        "minions": Key(
            ListOf(Text("a minion id"), alone=True),
            "the minions of its servers, where discovery is mine or consul; no other is believed",
            (),
        ),
        "consul": Key(
            CONSUL, "how Consul is asked, where discovery is consul", CONSUL.read({}, Path(), Notes())
        ),
        "replicas": Key(ListOf(REPLICA), "its replicas, where discovery is static", ()),
        "max_connections": Key(
            Number(1, 262143), "how many connections each of its servers takes; check adds up the pools"
        ),
        "blocking_limit": Key(
            Number(1, 3600), "seconds for which a statement of an application may wait because of a run", 2
        ),
        "lock_timeout": Key(Number(1, 3600), "seconds to wait for a lock on an object", 10),
        "statement_timeout": Key(Number(1, 86400), "seconds that one statement may take", 600),
        "wait_for_others": Key(Number(0, 86400), "seconds to wait for another highstate to finish", 300),
        "dumps": Key(
            Text("an absolute path", r"/.+"), "where dumps of dropped databases go", "/var/backups/pgpillar"
        ),
    }
)

SCHEMA = Section(
    {
        "owner": Key(ROLE_NAME, "who owns it; the owner of the database if left out"),
        "access": Key(ACCESS, "role: read, write or owner", NOTHING),
    },
    short="owner",
    expected="an owner or a mapping",
)

DATABASE = Section(
    {
        "owner": Key(ROLE_NAME, "the user or group that owns it"),
        "name": Key(DATABASE_NAME, "what its server calls it, if not by this key"),
        "cluster": Key(Name(), "the cluster it is in; may be left out where there is one"),
        "state": Key(Choice(PRESENT, QUARANTINED, ABSENT), "present, quarantined or absent", PRESENT),
        "schemas": Key(MapOf(SCHEMA_NAME, SCHEMA), "schema: {owner, access}", NOTHING),
        "access": Key(ACCESS, "role: read, write or owner", NOTHING),
        "extensions": Key(Extensions(), "what CREATE EXTENSION is to make", NOTHING),
        "bootstrap": Key(
            Text("a salt:// address", r"salt://[^\x00-\x1f\x7f]+"),
            "SQL to run once, when the database is new",
        ),
        "connection_limit": Key(LIMIT, "how many connections it takes; -1 for any number", -1),
        "settings": Key(Settings(), "setting: value", frozenset()),
        "encoding": Key(Text("an encoding", r"[A-Za-z0-9_-]+"), "its encoding when it is made"),
        "locale": Key(Text("a locale", r"[\w.@-]+"), "its locale when it is made"),
        "template": Key(Name(), "the database it is copied from when it is made"),
    },
    short="owner",
    expected="an owner or a mapping",
)

ROLE_KEYS = {
    "groups": Key(ListOf(Name(), alone=True), "the groups it is in", ()),
    "cluster": Key(
        ListOf(Name(), alone=True), "the clusters it is on; those of its databases if left out", ()
    ),
    "state": Key(Choice(PRESENT, ABSENT), "present or absent", PRESENT),
    "reassign_to": Key(ROLE_NAME, "who gets what it owns when it goes"),
    "settings": Key(Settings(), "setting: value", frozenset()),
    "access": Key(GROUP_ACCESS, "database: level, or database: {schema: level}", NOTHING),
}

USER = Section(
    {
        "password": Key(Password(), "its password; keep it in a secrets file"),
        "run_as": Key(Text("a system user"), "the system user that may read its client files"),
        "direct": Key(Flag(), "whether it may bypass the pool, and so know its real password", False),
        "valid_until": Key(Moment(), "when its password ends"),
        "connection_limit": Key(LIMIT, "how many connections it may have; -1 for any number", -1),
        "attributes": Key(
            ListOf(Choice("createdb", "createrole", "replication", "bypassrls"), alone=True),
            "what else it may do",
            (),
        ),
        **ROLE_KEYS,
    },
    expected="a mapping with a password",
)
GROUP = Section(ROLE_KEYS)

POOL = Section(
    {
        "database": Key(Name(), "the database it leads to", required=True),
        "user": Key(ROLE_NAME, "the user it logs in as", required=True),
        "target": Key(Choice("primary", "replica"), "primary or replica", "primary"),
        "mode": Key(
            Choice("session", "transaction", "statement"),
            "when a connection is given back; pgbouncer's pool_mode, which is transaction, if left out",
        ),
        "size": Key(Number(1, 100000), "how many server connections it may hold"),
    }
)

PGBOUNCER = Section(
    {
        "port": Key(
            Number(1, 65535), "the port it listens on, on the loopback and in its socket's name", 6432
        ),
        "settings": Key(
            MapOf(Text("a setting of pgbouncer", r"[a-z0-9_]+"), Scalar()),
            "any other setting, by pgbouncer's own name",
            NOTHING,
        ),
    }
)

SERVER = Section(
    {
        "cluster": Key(Name(), "the cluster it serves; may be left out where there is one"),
        "networks": Key(
            ListOf(Network(), alone=True), "where its users may come from; from nowhere, if left out", ()
        ),
        "settings": Key(Settings(), "any setting of postgresql.conf, by its own name", frozenset()),
        "replication": Key(
            ROLE_NAME, "the user by which its replicas follow the primary; it has none, if left out"
        ),
        "memory": Key(Number(64), "megabytes to size it for; what the machine has, if left out"),
        "restart": Key(Flag(), "whether highstate may restart it now, where a setting asks for that", False),
    }
)

TREE = Section(
    {
        "clusters": Key(MapOf(Name(), CLUSTER), "name: {host, …}", NOTHING),
        "databases": Key(MapOf(DATABASE_NAME, DATABASE), "database: owner", NOTHING),
        "users": Key(MapOf(ROLE_NAME, USER), "user: {password: …}", NOTHING),
        "groups": Key(MapOf(ROLE_NAME, GROUP), "group: {access: …}", NOTHING),
        "authorities": Key(
            ListOf(Text("letters, digits, '-', '_' and '.'", r"\w[\w.-]*")),
            "on the minion that is the CA: the first signs, and all of them are trusted",
            ("ca-1",),
        ),
        "server": Key(SERVER, "how a server of one's own is set, on the minion that is that server"),
        "pools": Key(MapOf(POOL_NAME, POOL), "pool: {database, user, …}", NOTHING),
        "pgbouncer": Key(
            PGBOUNCER, "how the pgbouncer of an app node is set", PGBOUNCER.read({}, Path(), Notes())
        ),
    }
)
