"""What is declared: the same users, databases and grants for pgpillar's pillar and for Salt's own states."""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

from pgpillar import scram


class Workload(NamedTuple):
    """What pillar declares for ``n`` databases, and Salt's own states for the same, as far as they go."""

    title: str
    pillar: Callable[[int], dict]
    own_states: Callable[[int, bool], dict]


def _password(name: str) -> str:
    return f"the password of {name}"


def _users(names) -> dict:
    return {name: {"password": _password(name)} for name in names}


def _numbers(n: int) -> list[str]:
    return [f"{number:04}" for number in range(n)]


# N users, N databases, N grants


def _grants(n: int) -> dict:
    return {
        "groups": {"keeper": {}},
        "users": _users(f"user{i}" for i in _numbers(n)),
        "databases": {f"db{i}": {"owner": "keeper", "access": {f"user{i}": "read"}} for i in _numbers(n)},
    }


def _own_grants(n: int, tuned: bool) -> dict:
    states = {"keeper": _state("group.present")}
    for i in _numbers(n):
        states |= {
            f"user{i}": _user(f"user{i}", tuned),
            f"db{i}": _state("database.present", owner="keeper"),
            f"user{i} at db{i}": _grant(f"user{i}", "database", f"db{i}", "CONNECT"),
        }
    return states


# The same with an owner, a writer and a reader, and a schema of its own in each database


def _full(n: int) -> dict:
    return {
        "users": _users(f"{part}{i}" for i in _numbers(n) for part in ("owner", "writer", "reader")),
        "databases": {
            f"db{i}": {
                "owner": f"owner{i}",
                "schemas": {"app": {}},
                "access": {f"writer{i}": "write", f"reader{i}": "read"},
            }
            for i in _numbers(n)
        },
    }


def _own_full(n: int, tuned: bool) -> dict:
    states = {}
    for i in _numbers(n):
        for part in ("owner", "writer", "reader"):
            states[f"{part}{i}"] = _user(f"{part}{i}", tuned)
        states[f"db{i}"] = _state("database.present", owner=f"owner{i}")
        states[f"app at db{i}"] = _state("schema.present", name="app", dbname=f"db{i}", owner=f"owner{i}")
        for user in (f"writer{i}", f"reader{i}"):
            states[f"{user} at db{i}"] = _grant(user, "database", f"db{i}", "CONNECT")
            for schema in ("app", "public"):
                states[f"{user} at db{i} {schema}"] = _grant(user, "schema", schema, "USAGE", f"db{i}")
    return states


def _user(name: str, tuned: bool) -> dict:
    """The best tuning spares Salt the hashing: the verifier itself stands in the state."""
    password = scram.verifier(_password(name), salt=name.encode()) if tuned else _password(name)
    return _state("user.present", name=name, encrypted="scram-sha-256", login=True, password=password)


def _grant(user: str, kind: str, name: str, privilege: str, database: str | None = None) -> dict:
    place = {"maintenance_db": database} if database else {}
    return _state(
        "privileges.present", name=user, object_name=name, object_type=kind, privileges=[privilege], **place
    )


def _state(function: str, **arguments) -> dict:
    return {f"postgres_{function}": [{name: value} for name, value in arguments.items()]}


WORKLOADS = {
    "grants": Workload("N users, N databases, N grants", _grants, _own_grants),
    "full": Workload("3N users, N databases with a schema, write and read access", _full, _own_full),
}


LEVELS = {"writer": "write", "editor": "write", "reader": "read", "analyst": "read"}
ROLES_EACH = 1 + len(LEVELS)


def scale(n: int) -> dict:
    """Pillar for ``n`` databases, each with an owner, two writers and two readers of its own."""
    return {
        "users": _users(f"{part}{i}" for i in _numbers(n) for part in ("owner", *LEVELS)),
        "databases": {
            f"db{i}": {
                "owner": f"owner{i}",
                "access": {f"{part}{i}": level for part, level in LEVELS.items()},
            }
            for i in _numbers(n)
        },
    }
