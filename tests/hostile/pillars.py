"""Random trees of pillar, as dense as a small cluster allows: each role, level and place meets each other."""

from __future__ import annotations

import copy
from random import Random
from typing import NamedTuple

from tests.functional.test_round_trips import NASTY

LEVELS = ("read", "read", "write", "write", "owner")


class World(NamedTuple):
    """The names that the states of one case choose from."""

    users: tuple[str, ...]
    groups: tuple[str, ...]
    databases: tuple[str, ...]
    schemas: tuple[str, ...]


PLAIN = World(("ann", "bob", "eve"), ("team", "crew"), ("shop", "wiki"), ("s", "t"))


def world(random: Random) -> World:
    """One in three has names that want quoting."""
    if random.random() < 0.67:
        return PLAIN
    names = random.sample(NASTY, sum(map(len, PLAIN)))
    return World(*(tuple(names.pop() for _ in some) for some in PLAIN))


def states(random: Random, names: World, count: int, accepted) -> list[dict]:
    """Each is drawn anew, or is the one before with some entries of another."""
    found = []
    while len(found) < count:
        new = tree(random, names)
        if found:
            new = leaving(random, found[-1], _next(random, found[-1], new))
        if accepted(new):
            found.append(new)
    return found


def _next(random: Random, before: dict, other: dict) -> dict:
    if random.random() < 0.3:
        return other
    merged = copy.deepcopy(before)
    for section in merged:
        for name in sorted({*before[section], *other[section]}):
            if random.random() < 0.4 and name in other[section]:
                merged[section][name] = other[section][name]
            elif random.random() < 0.1 and name not in _used(merged):
                merged[section].pop(name, None)
    return merged


def _used(tree: dict) -> set[str]:
    return set(str(tree["databases"]).split("'"))


def leaving(random: Random, before: dict, after: dict) -> dict:
    """A role that is named no more goes, or is only named no more."""
    stay = sorted({*after["users"], *after["groups"]})
    for section in ("users", "groups"):
        for name in sorted({*before[section]} - set(stay)):
            if before[section][name].get("state") != "absent" and random.random() < 0.5:
                after[section][name] = {"state": "absent", "reassign_to": random.choice(stay)}
    return after


def tree(random: Random, names: World) -> dict:
    users, groups = _some(random, names.users, 2), _some(random, names.groups, 0)
    roles = [*users, *groups]
    databases = {name: _database(random, names, roles) for name in _some(random, names.databases, 1)}
    return {
        "users": {name: _role(random, databases, groups, user=True) for name in users},
        "groups": {name: _role(random, databases, groups[groups.index(name) + 1 :]) for name in groups},
        "databases": databases,
    }


def _some(random: Random, things, least: int) -> list:
    chosen = random.sample(things, random.randint(least, len(things)))
    return [one for one in things if one in chosen]


def _role(random: Random, databases: dict, groups: list, user: bool = False) -> dict:
    entry = {"groups": [name for name in groups if random.random() < 0.4]}
    if user:
        entry |= {"password": "a password", "attributes": _some(random, ["createdb", "createrole"], 0)}
    if random.random() < 0.3:
        name = random.choice(sorted(databases))
        schema = random.choice([None, "public", *databases[name]["schemas"]])
        level = random.choice(LEVELS)
        entry["access"] = {name: {schema: level} if schema else level}
    return entry


def _database(random: Random, names: World, roles: list) -> dict:
    entry = {"owner": random.choice(roles), "access": _access(random, roles)}
    schemas = _some(random, names.schemas, 0) + (["public"] if random.random() < 0.3 else [])
    entry["schemas"] = {name: _schema(random, roles) for name in schemas}
    if random.random() < 0.3:
        entry["extensions"] = {"citext": {"schema": random.choice(["public", *entry["schemas"]])}}
    return entry


def _schema(random: Random, roles: list) -> dict:
    owner = {"owner": random.choice(roles)} if random.random() < 0.6 else {}
    return {**owner, "access": _access(random, roles)}


def _access(random: Random, roles: list) -> dict:
    return {role: random.choice(LEVELS) for role in roles if random.random() < 0.4}
