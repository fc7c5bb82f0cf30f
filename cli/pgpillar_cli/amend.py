"""What is edited where, when pillar gets another database, user, access, role or password."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from fnmatch import fnmatchcase
from typing import NamedTuple

from ruamel.yaml.comments import CommentedMap

from pgpillar.shape import nearest
from pgpillar_cli import roles, vault
from pgpillar_cli.edit import Edit, EditError, File, flow, text
from pgpillar_cli.place import Environment

SERVER = "pillar/postgresql/server.sls"
NOBODYS = "all"  # where the users stand that no role has, and the others are included


def add_database(edit: Edit, name: str, owner: str) -> None:
    databases = edit.mapping(SERVER, "postgresql", "databases")
    if name in databases:
        raise EditError(f"database {name!r} is there already, in {SERVER}")
    databases[text(name)] = text(owner)
    edit.note(SERVER, f"database {name}, owner {owner}")


def has_group(edit: Edit, name: str) -> bool:
    return name in edit.mapping(SERVER, "postgresql", "groups")


def add_user(edit: Edit, name: str, role: str | None, minions: Iterable[str]) -> bool:
    """A password in each environment that has none of this user yet. Gives whether there was such a one."""
    if minions and not role:
        raise EditError("--minion says who has a role, so say which, with --role")
    without = [one for one in edit.place.environments() if not _holders(edit, one, "users", name)]
    if without and role:
        add_role(edit, role, minions)
    for environment in without:
        file = _secrets_file(edit, environment, role or NOBODYS)
        entry = _entry(file.mapping("postgresql", "users"), name, environment)
        _set_password(edit, environment, Holder(file, entry), vault.new_password(), f"password of {name}")
    return bool(without)


def _entry(users: CommentedMap, name: str, environment: Environment) -> CommentedMap:
    users[text(name)] = CommentedMap() if environment.is_secret else flow({})
    return users[name]


def describe_user(edit: Edit, name: str, **keys) -> None:
    """What is no secret of a user."""
    users = edit.mapping(SERVER, "postgresql", "users")
    users[text(name)] = flow(keys)
    edit.note(SERVER, f"user {name}")


def give(edit: Edit, user: str, database: str, level: str) -> None:
    """Access to a database. One that was written short is written long."""
    databases = edit.mapping(SERVER, "postgresql", "databases")
    if database not in databases:
        raise EditError(f"there is no database {database!r} in {SERVER}; {nearest(database, databases)}")
    if isinstance(databases[database], str):
        databases[database] = CommentedMap({"owner": databases[database]})
    entry = edit.mapping(SERVER, "postgresql", "databases", database)
    if not entry.get("access"):
        entry["access"] = flow({})
    entry["access"][text(user)] = level
    edit.note(SERVER, f"{level} on {database} for {user}")


def name_pool(edit: Edit, name: str, database: str, user: str) -> None:
    pools = edit.mapping(SERVER, "postgresql", "pools")
    if name in pools:
        raise EditError(f"pool {name!r} is there already, in {SERVER}")
    pools[text(name)] = flow({"database": text(database), "user": text(user)})
    edit.note(SERVER, f"pool {name}, to {database} as {user}")


# Roles


def add_role(edit: Edit, role: str, minions: Iterable[str]) -> None:
    """A role with what it needs to be seen: who has it, which file it sees, which states it is given."""
    if not re.fullmatch(r"[\w-]+", role) or role == NOBODYS:
        raise EditError(f"{role!r} is no name of a role; use letters, digits, '_' and '-'")
    _give_role(edit, role, minions)
    for environment in edit.place.environments():
        file = f"pillar/{environment.name}/top.sls"
        _list(edit, file, role, f"secrets.postgresql-users.{role}")
    if not edit.file(roles.STATES).is_new:
        _list(edit, roles.STATES, role, "postgresql.client")


def _give_role(edit: Edit, role: str, minions: Iterable[str]) -> None:
    for minion in minions:
        _list(edit, roles.FILE, minion, role)
    if not any(role in (names or ()) for names in edit.mapping(roles.FILE).values()):
        raise EditError(f"no minion has the role {role!r} yet; say which with --minion, by id or by a glob")


def _list(edit: Edit, file: str, key: str, item: str) -> None:
    """See that a list in a file has an item."""
    items = edit.mapping(file).setdefault(text(key), flow([]))
    if item not in items:
        items.append(text(item))
        edit.note(file, f"{key}: {item}")


# Secrets


class Holder(NamedTuple):
    """A secrets file, and the mapping in it that a password is in."""

    file: File
    entry: CommentedMap


def _secrets_file(edit: Edit, environment: Environment, role: str) -> File:
    file = edit.file(f"pillar/{environment.name}/secrets/postgresql-users/{role}.sls")
    if role != NOBODYS and file.is_new:
        _include(edit, environment, f"secrets.postgresql-users.{role}")
    return file


def _include(edit: Edit, environment: Environment, name: str) -> None:
    """See that who administers gets a new file as well."""
    file = f"pillar/{environment.name}/secrets/postgresql-users/{NOBODYS}.sls"
    included = edit.mapping(file).setdefault("include", [])
    if not any(fnmatchcase(name, pattern) for pattern in included):
        included.append(name)
        edit.note(file, f"include {name}")


def change_password(edit: Edit, environment: Environment, section: str, name: str, password: str) -> None:
    """Another password of a user, or of the admin of a cluster, where its first one stands."""
    holders = _holders(edit, environment, section, name)
    if not holders:
        raise EditError(f"no file of {environment.name} has a password of {_WHOSE[section].format(name)}")
    _set_password(edit, environment, holders[0], password, f"another password of {name}")


_WHOSE = {
    "users": "user {!r}; for the admin of a cluster, add --admin",
    "clusters": "the admin of cluster {!r}; for a user, leave out --admin",
}


def _holders(
    edit: Edit, environment: Environment, section: str, name: str
) -> list[tuple[File, CommentedMap]]:
    """The secrets files in which a password of this name stands, each with the mapping that it is in."""
    within = {"users": ("postgresql", "users", name), "clusters": ("postgresql", "clusters", name, "admin")}
    found = ((file, _at(file.data, within[section])) for file in _secrets_files(edit, environment))
    return [Holder(file, entry) for file, entry in found if entry and "password" in entry]


def _secrets_files(edit: Edit, environment: Environment) -> Iterator[File]:
    directory = environment.pillar / environment.name / "secrets"
    for path in sorted(directory.rglob("*.sls")):
        yield edit.file(edit.place.relative(path))


def _at(data: object, keys: Iterable[str]) -> CommentedMap | None:
    for key in keys:
        data = data.get(key) if isinstance(data, CommentedMap) else None
    return data if isinstance(data, CommentedMap) else None


def _set_password(edit: Edit, environment: Environment, holder: Holder, password: str, what: str) -> None:
    file, entry = holder
    if not environment.is_secret:
        entry["password"] = text(password)
        return edit.note(file.name, what)
    keys = vault.keys(edit.place, environment)
    file.begin_with(vault.SHEBANG)
    entry.fa.set_block_style()
    entry["password"] = text(vault.encrypted(password, keys))
    return edit.note(file.name, f"{what}, encrypted for {vault.named(keys)}")
