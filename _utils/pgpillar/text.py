"""Changes in words, for the people who read what a run did or would do."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import NamedTuple

from pgpillar import guc
from pgpillar.kinds import KINDS
from pgpillar.model import BY_OWNER, EVERYWHERE, PUBLIC, Cluster, Database, DefaultGrant, Grant, Object, Role
from pgpillar.plan import STEP, Change, DefaultRights, Rights, destructive

NAMES_SHOWN = 3


def tree(changes: Iterable[Change]) -> dict[str, dict[str, list[str]]]:
    """Changes as people read them: by kind of thing, then by name, then line by line."""
    found: dict = {}
    for change in changes:
        group, name = place(change)
        head, who = _parts(change)
        found.setdefault(group, {}).setdefault(name, {}).setdefault(head, []).append(who)
    return {group: {name: _merged(lines) for name, lines in names.items()} for group, names in found.items()}


def counted(number: int, what: str) -> str:
    """'2 problems'; nothing where there are none."""
    return f"{number} {what}{'' if number == 1 else 's'}" if number else ""


def leaves(found: object) -> int:
    """How many things a tree of changes tells."""
    if isinstance(found, Mapping):
        return sum(map(leaves, found.values()))
    return len(found) if isinstance(found, list) else 1


class Loss(NamedTuple):
    """Changes that destroy or take away alike; what one of them does, and what several do."""

    kinds: tuple[str, ...]
    one: str
    several: str


LOSSES = {
    "rights_taken": Loss(
        ("leave", "revoke", "revoke default", "revoke elsewhere"), "takes rights away", "take rights away"
    ),
    "databases_closed": Loss(("quarantine database", "end sessions"), "closes a database", "close databases"),
    "databases_dropped": Loss(("drop database",), "drops a database", "drop databases"),
    "roles_dropped": Loss(("drop role",), "drops a role", "drop roles"),
}


def losses(changes: Iterable[Change]) -> dict[str, dict]:
    """What changes destroy or take away: as a tree, and how many lines of it by kind."""
    found = destructive(changes)
    count = {
        name: leaves(tree(one for one in found if one.kind in loss.kinds)) for name, loss in LOSSES.items()
    }
    return {"destructive": tree(found), "losses": {name: number for name, number in count.items() if number}}


def unforeseen(changes: Iterable[Change]) -> list[str]:
    """The databases whose inside cannot be compared before the changes open them."""
    return [change.database for change in changes if change.kind == "open database" and not change.detail]


def lost(count: Mapping[str, int]) -> str:
    """'2 take rights away, 1 closes a database and 1 drops a role'; nothing where nothing is lost."""
    told = [
        f"{count[name]} {loss.one if count[name] == 1 else loss.several}"
        for name, loss in LOSSES.items()
        if count.get(name)
    ]
    return " and ".join(filter(None, [", ".join(told[:-1]), *told[-1:]]))


POWERS = frozenset({"bypassrls", "createdb", "createrole", "replication"})


def powers(changes: Iterable[Change]) -> list[str]:
    """What gives a role power beyond the databases that pillar names."""
    given = (f"{place(change)[1]}: {line(change)}" for change in changes if _gives_power(change))
    return [*dict.fromkeys(given)]


def _gives_power(change: Change) -> bool:
    judge = _POWERS.get(change.kind)
    return bool(judge and judge(change))


_POWERS = {
    "create role": lambda change: change.object.attributes,
    "alter role": lambda change: POWERS & {name for name, value in change.detail if value is True},
    "join": lambda change: change.object.role.startswith("pg_"),
    "set role setting": lambda change: not guc.is_everybodys(change.detail[0]),
    "set database setting": lambda change: not guc.is_everybodys(change.detail[0]),
}


class _Handover(NamedTuple):
    """What the lines have in common that say of several things that they change their owner alike."""

    kind: str
    schema: str
    owner: str
    heir: str


def _merged(lines: dict[str | _Handover, list]) -> list[str]:
    """What is given to many, or taken from many, takes one line, and so do things that change hands alike."""
    return [_joined(head, what) for head, what in lines.items()]


def _joined(head: str | _Handover, what: list) -> str:
    return head + ", ".join(what) if isinstance(head, str) else _handed_over(head, what)


def _handed_over(alike: _Handover, paths: list[tuple[str, ...]]) -> str:
    """A single thing with its schema in its name, several with their schema once."""
    told = thing(alike.kind, paths[0]) if len(paths) == 1 else _several(alike.kind, alike.schema, paths)
    steps = f", in {-(-len(paths) // STEP)} steps" if len(paths) > STEP else ""
    return f"{told} owner: {alike.owner} → {alike.heir}{steps}"


def _several(kind: str, schema: str, paths: list[tuple[str, ...]]) -> str:
    where = "" if kind in KINDS else f" in schema {schema}"
    return f"{_plural(kind)} {_first([_named(kind, path) for path in paths])}{where}"


def _first(names: list[str]) -> str:
    more = f" and {len(names) - NAMES_SHOWN:,} more" if len(names) > NAMES_SHOWN else ""
    return ", ".join(names[:NAMES_SHOWN]) + more


def _plural(kind: str) -> str:
    ending = {"y": "ies", "s": "ses"}.get(kind[-1])
    return kind[:-1] + ending if ending else kind + "s"


def inventory(cluster: Cluster) -> dict[str, dict]:
    """A cluster as plain data, without passwords."""
    return {
        "roles": {name: _role(role, cluster) for name, role in sorted(cluster.roles.items())},
        "databases": {name: _database(database) for name, database in sorted(cluster.databases.items())},
    }


def _role(role: Role, cluster: Cluster) -> dict:
    return {
        "login": role.login,
        "groups": sorted(join.role for join in cluster.memberships if join.member == role.name),
        "attributes": sorted(role.attributes),
        "connection_limit": role.connection_limit,
        "valid_until": role.valid_until and role.valid_until.isoformat(),
        "settings": dict(sorted(role.settings)),
    }


def _database(database: Database) -> dict:
    outside = {
        "owner": database.owner,
        "state": database.state,
        "encoding": database.encoding,
        "locale": database.locale,
        "connection_limit": database.connection_limit,
        "settings": dict(sorted(database.settings)),
        "grants": sorted(held(grant, database) for grant in database.grants | database.beyond),
    }
    if database.unseen:
        return {**outside, "not looked into": database.unseen}
    return outside if database.objects is None else {**outside, **_inside(database)}


def _inside(database: Database) -> dict:
    """What is not told of a database that was not looked into: it may well have some."""
    return {
        "schemas": {name: schema.owner for name, schema in sorted(database.schemas.items())},
        "extensions": {name: extension.version for name, extension in sorted(database.extensions.items())},
        "default_grants": sorted(map(given_on_new, database.default_grants)),
    }


def given_on_new(grant: DefaultGrant) -> str:
    return f"{grant.privilege} on {_new(grant)} to {_grantee(grant.grantee)}"


def _new(given: DefaultGrant | DefaultRights) -> str:
    where = "" if given.schema == EVERYWHERE else f" in schema {given.schema}"
    return f"new {given.kind}s of {given.creator}{where}"


def held(grant: Grant, database: Database | None = None) -> str:
    what = f"{grant.kind} {database.name}" if database and not grant.path else thing(grant.kind, grant.path)
    return f"{grant.privilege} on {what} to {_grantee(grant.grantee)}"


def thing(kind: str, path: tuple[str, ...]) -> str:
    """A thing with its schema, unless the server has written that into its name."""
    if kind in KINDS:
        return f"{kind} {path[-1]}"
    return f"{kind} {'.'.join(filter(None, [path[0], _named(kind, path)]))}"


def place(change: Change) -> tuple[str, str]:
    """Where a change stands in the tree."""
    if change.database:
        return "databases", change.database
    if change.kind in ("quarantine database", "end sessions", "drop database"):
        return "databases", change.object
    if change.kind in ("join", "keep member", "leave"):
        return "roles", change.object.member
    return "roles", getattr(change.object, "name", change.object)


def line(change: Change) -> str:
    head, what = _parts(change)
    return _joined(head, [what])


def _parts(change: Change) -> tuple[str | _Handover, str | tuple[str, ...]]:
    """What is done, and what may stand together: the roles that rights are for, the things of one owner."""
    written = _LINES[change.kind](change)
    return (written, "") if isinstance(written, str) else written


def _create_role(change: Change) -> str:
    role: Role = change.object
    more = [*sorted(role.attributes)]
    if role.connection_limit != -1:
        more.append(f"at most {role.connection_limit} connections")
    if role.valid_until:
        more.append(f"valid until {role.valid_until.isoformat()}")
    return ", ".join(["create user" if role.login else "create group", *more])


def _options(change: Change) -> str:
    return "set " + ", ".join(f"{name.replace('_', ' ')} {_value(value)}" for name, value in change.detail)


def _value(value: object) -> str:
    if isinstance(value, bool):
        return "on" if value else "off"
    if value is None:
        return "none"
    return value.isoformat() if hasattr(value, "isoformat") else str(value)


def _create_database(change: Change) -> str:
    database: Database = change.object
    given = [
        f"{key} {getattr(database, key)}"
        for key in ("template", "encoding", "locale")
        if getattr(database, key)
    ]
    if database.connection_limit != -1:
        given.append(f"at most {database.connection_limit} connections")
    return ", ".join(["create, closed to PUBLIC", *given])


def _move(what: str):
    """From what to what; or, where it is not known from what, as in a plan without a server, only to what."""
    return lambda change: f"{what}: {' → '.join(filter(None, change.detail))}"


def _grantee(name: str) -> str:
    return "PUBLIC" if name == PUBLIC else name


def _on(rights: Rights) -> str:
    if rights.kind == "database":
        return "the database"
    if rights.kind == "schema":
        return "schema " + ", ".join(path[0] for path in rights.paths)
    schema, names = rights.paths[0][0], [_named(rights.kind, path) for path in rights.paths if path[1:]]
    if not names:
        return f"all {rights.kind}s in schema {schema}"
    return f"{rights.kind}{'s' if len(names) > 1 else ''} {_first(names)} in schema {schema}"


def _named(kind: str, path: tuple[str, ...]) -> str:
    return f"{path[1]}({path[2]})" if kind == "routine" else ".".join(path[1:])


def _grant(change: Change) -> tuple[str, str]:
    rights: Rights = change.object
    option = "for a moment, the right to pass on " if rights.cascade else ""
    return f"grant {option}{', '.join(rights.privileges)} on {_on(rights)} to ", _grantee(rights.grantee)


def _revoke(change: Change) -> tuple[str, str]:
    rights: Rights = change.object
    option = "the right to pass on " if rights.option_only else ""
    passed_on = ", and what was passed on," if rights.cascade else ""
    given = f" (given by {rights.grantor})" if rights.grantor != BY_OWNER else ""
    what = f"{option}{', '.join(rights.privileges)}{passed_on} on {_on(rights)}{given}"
    return f"revoke {what} from ", _grantee(rights.grantee)


def _keep(change: Change) -> tuple[str, str]:
    """An undeclared role keeps what a declared role gave it, now from the owner."""
    rights: Rights = change.object
    option = " with the right to pass it on" if rights.cascade else ""
    given = f"{', '.join(rights.privileges)} on {_on(rights)}{option}"
    return f"grant anew {given} (was given by {rights.grantor}) to ", _grantee(rights.grantee)


def _default(action: str, to: str):
    def write(change: Change) -> tuple[str, str]:
        rights: DefaultRights = change.object
        return f"{action} {', '.join(rights.privileges)} on {_new(rights)} {to} ", _grantee(rights.grantee)

    return write


def _own_object(change: Change) -> tuple[_Handover, tuple[str, ...]]:
    one: Object = change.object
    return _Handover(one.kind, one.path[0], one.owner, change.detail), one.path


def _drop_role(change: Change) -> str:
    heir = change.object.reassign_to
    return "drop" + (f", what it owns goes to {heir}" if heir else "")


_LINES = {
    "create role": _create_role,
    "alter role": _options,
    "set password": lambda change: "set password",
    "set role setting": lambda change: "set {} = {}".format(*change.detail),
    "reset role setting": lambda change: f"reset {change.detail[0]}",
    "join": lambda change: f"join {change.object.role}",
    "keep member": lambda change: f"join {change.object.role} anew (was given by {', '.join(change.detail)})",
    "leave": lambda change: f"leave {change.object.role}",
    "create database": _create_database,
    "open database": lambda change: (
        "open the unfinished database, closed to PUBLIC" if change.detail else "open for connections again"
    ),
    "own database": _move("owner"),
    "limit database": lambda change: f"connection limit {change.detail}",
    "set database setting": lambda change: "set {} = {}".format(*change.detail),
    "reset database setting": lambda change: f"reset {change.detail[0]}",
    "create schema": lambda change: f"create schema {change.object.name}, owner {change.object.owner}",
    "own schema": lambda change: f"schema {change.object} " + _move("owner")(change),
    "create extension": lambda change: " ".join(
        filter(None, ["create extension", change.object.name, change.object.version])
    ),
    "update extension": lambda change: f"extension {change.object} " + _move("version")(change),
    "move extension": lambda change: f"extension {change.object} " + _move("schema")(change),
    "own object": _own_object,
    "revoke": _revoke,
    "keep": _keep,
    "keep elsewhere": _keep,
    "revoke elsewhere": _revoke,
    "grant": _grant,
    "revoke default": _default("revoke", "from"),
    "grant default": _default("grant", "to"),
    "set role setting here": lambda change: "{} acts here with {} = {}".format(*change.detail),
    "reset role setting here": lambda change: "{} acts here without {}".format(*change.detail),
    "bootstrap": lambda change: f"run {change.detail[1]} as {change.detail[0]}",
    "finish database": lambda change: "mark as finished",
    "unmark database": lambda change: "remove the mark of a run that was interrupted",
    "quarantine database": lambda change: "quarantine: refuse connections, keep the data",
    "end sessions": lambda change: "end the sessions that go on in it",
    "drop database": lambda change: "dump, then drop",
    "drop role": _drop_role,
    "remove login": lambda change: "remove the login of bootstrap scripts, which an interrupted run left",
}
