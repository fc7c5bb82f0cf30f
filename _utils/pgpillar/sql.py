"""Changes as SQL. Identifiers and literals are composed; in the text, asterisks stand for what is secret."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from itertools import groupby
from typing import NamedTuple

from psycopg2.sql import SQL, Composable, Composed, Identifier, Literal

from pgpillar import guc, scram
from pgpillar.kinds import KINDS
from pgpillar.model import EVERYWHERE, LATEST, MARK, PUBLIC, UNFINISHED_LIMIT, Secret
from pgpillar.plan import Change

NOW = 180000  # the version to write for where no server is asked


class Hidden(Literal):
    """A literal that the text never shows."""


def statements(change: Change, version: int = NOW) -> list[Composable]:
    """What is sent for one change, in order."""
    return [*_WRITERS[change.kind](change, version)]


def texts(change: Change, version: int = NOW) -> list[str]:
    """The same for people: secrets hidden, and no connection needed. Tells of other databases as well."""
    return [_text(statement) for statement in [*_elsewhere(change), *statements(change, version)]]


def script(changes: Iterable[Change], version: int = NOW) -> list[str]:
    """All that is sent for some changes, in order, with the place of each as a comment before it."""
    lines = []
    for database, some in groupby(changes, key=lambda change: change.database):
        lines.append(
            "-- "
            + (_text(SQL("in database {}").format(Identifier(database))) if database else "in the cluster")
        )
        lines += [_ended(statement) for change in some for statement in texts(change, version)]
    return lines


def _ended(statement: str) -> str:
    return statement if statement.startswith("--") else f"{statement};"


def _elsewhere(change: Change) -> Iterable[Composable]:
    """What a change does in databases that are not its own: a role that goes lets go of all it has."""
    if change.kind == "drop role":
        yield from shut_out(change.object.name)
        for database, _ in change.detail or ():
            yield SQL("-- in database {}").format(Identifier(database))
            yield from disown(change.object.name, change.object.reassign_to)
    if change.kind == "bootstrap":
        owner, url = change.detail
        yield SQL("-- {} is run as {}, on a connection of its own").format(SQL(url), Identifier(owner))


def _text(part: Composable) -> str:
    if isinstance(part, Composed):
        return "".join(map(_text, part.seq))
    if isinstance(part, Identifier):
        return ".".join('"' + name.replace('"', '""') + '"' for name in part.strings)
    if isinstance(part, Hidden):
        return "'********'"
    if isinstance(part, Literal):
        return _literal(part.wrapped)
    return part.string


def _literal(value: object) -> str:
    if isinstance(value, str):
        return ("E" if "\\" in value else "") + "'" + value.replace("\\", "\\\\").replace("'", "''") + "'"
    return "NULL" if value is None else str(value)


def _join(parts: Iterable[Composable]) -> Composed:
    return SQL(", ").join(parts)


def _role(name: str) -> Composable:
    return SQL("PUBLIC") if name == PUBLIC else Identifier(name)


# Roles


class _Option(NamedTuple):
    """How an option of a role is written, by its value."""

    word: str
    negation: str = "NO"

    def write(self, value: object) -> Composable:
        if isinstance(value, bool):
            return SQL(self.word if value else self.negation + self.word)
        if self.word == "VALID UNTIL":
            return SQL("VALID UNTIL ") + Literal(value.isoformat() if value else "infinity")
        return SQL(self.word + " ") + Literal(value)


_OPTIONS = {
    "login": _Option("LOGIN"),
    "inherit": _Option("INHERIT"),
    "connection_limit": _Option("CONNECTION LIMIT"),
    "valid_until": _Option("VALID UNTIL"),
    **{
        word.lower(): _Option(word)
        for word in ("SUPERUSER", "CREATEDB", "CREATEROLE", "REPLICATION", "BYPASSRLS")
    },
}


def _create_role(change: Change, version: int):
    role = change.object
    options = [("login", role.login)] + [(flag, True) for flag in sorted(role.attributes)]
    if role.connection_limit != -1:
        options.append(("connection_limit", role.connection_limit))
    if role.valid_until:
        options.append(("valid_until", role.valid_until))
    yield _with_options(SQL("CREATE ROLE {}").format(Identifier(role.name)), options)


def _alter_role(change: Change, version: int):
    yield _with_options(SQL("ALTER ROLE {}").format(Identifier(change.object)), change.detail)


def _with_options(head: Composable, options) -> Composed:
    return SQL(" ").join([head, *(_OPTIONS[name].write(value) for name, value in options)])


def _set_password(change: Change, version: int):
    yield SQL("ALTER ROLE {} PASSWORD {}").format(Identifier(change.object), Hidden(_verifier(change.detail)))


def _verifier(secret: Secret) -> str:
    text = secret.reveal()
    return text if scram.is_verifier(text) else scram.verifier(text)


def _join_role(change: Change, version: int):
    role, member = Identifier(change.object.role), Identifier(change.object.member)
    options = SQL(" WITH INHERIT TRUE, SET TRUE") if version >= 160000 else SQL("")
    yield SQL("GRANT {} TO {}").format(role, member) + options


def _keep_member(change: Change, version: int):
    """The same options as before, given by the admin: GRANT never takes one of them away here."""
    join = change.object
    options = (f"{name} {bool(value)}".upper() for name, value in join._asdict().items() if name in _JOINING)
    grant = SQL("GRANT {} TO {} WITH ").format(Identifier(join.role), Identifier(join.member))
    yield grant + SQL(", ".join(options))


_JOINING = ("admin", "inherit", "set")


def _leave_role(change: Change, version: int):
    revoke = SQL("REVOKE {} FROM {}").format(Identifier(change.object.role), Identifier(change.object.member))
    if version < 160000 or not change.detail:
        yield revoke
        return
    for grantor in change.detail:
        yield revoke + SQL(" GRANTED BY {} CASCADE").format(Identifier(grantor))


# Settings


def _set(what: str, database_too: bool = False):
    def write(change: Change, version: int):
        *_, name, value = change.detail
        yield (
            _whose(what, change, database_too)
            + SQL(" SET ")
            + _setting(name)
            + SQL(" TO ")
            + _value(name, value)
        )

    return write


def _reset(what: str, database_too: bool = False):
    def write(change: Change, version: int):
        yield _whose(what, change, database_too) + SQL(" RESET ") + _setting(change.detail[-2])

    return write


def _whose(what: str, change: Change, database_too: bool) -> Composed:
    whose = SQL("ALTER " + what + " {}").format(
        Identifier(change.detail[0] if database_too else change.object)
    )
    return whose + SQL(" IN DATABASE {}").format(Identifier(change.database)) if database_too else whose


def _setting(name: str) -> Composed:
    return SQL(".").join(map(Identifier, name.split(".")))


def _value(name: str, value: str) -> Composable:
    if name in guc.NAME_LISTS:
        return _join(map(Literal, guc.names_in(value)))
    return Literal(value)


# Databases


def _create_database(change: Change, version: int):
    """Nobody can connect before PUBLIC has lost CONNECT. The limit marks a database that is the admin's."""
    database = change.object
    # Any role may plant something in template1, or keep a session there so that nobody can copy it
    options = [
        SQL("ALLOW_CONNECTIONS false CONNECTION LIMIT ") + Literal(UNFINISHED_LIMIT),
        SQL("TEMPLATE ") + Identifier(database.template or "template0"),
    ]
    for word in ("encoding", "locale"):
        if value := getattr(database, word):
            options.append(SQL(word.upper() + " ") + Literal(value))
    yield SQL(" ").join([SQL("CREATE DATABASE {}").format(Identifier(database.name)), *options])
    yield from _close_and_open(database.name)


def _close_and_open(database: str):
    yield SQL("REVOKE ALL ON DATABASE {} FROM PUBLIC").format(Identifier(database))
    yield SQL("ALTER DATABASE {} ALLOW_CONNECTIONS true").format(Identifier(database))


def _open_database(change: Change, version: int):
    """One that an interrupted run has created may still be open to PUBLIC."""
    statements = [*_close_and_open(change.database)]
    yield from statements if change.detail else statements[1:]


def _finish_database(change: Change, version: int):
    owner, limit = change.detail
    database = Identifier(change.object)
    yield SQL("GRANT CONNECT ON DATABASE {} TO {}").format(database, Identifier(owner))
    yield SQL("ALTER DATABASE {} CONNECTION LIMIT {}").format(database, Literal(limit))


def mark(database: str) -> Composable:
    """Only the admin and superusers can write the admin's settings, whoever owns the database."""
    return SQL("{} SET {} TO {}").format(_admin_in(database), _setting(MARK[0]), Literal(MARK[1]))


def unmark(database: str) -> Composable:
    return SQL("{} RESET {}").format(_admin_in(database), _setting(MARK[0]))


def _admin_in(database: str) -> Composable:
    return SQL("ALTER ROLE CURRENT_USER IN DATABASE {}").format(Identifier(database))


def _unmark_database(change: Change, version: int):
    yield unmark(change.object)


def _own_database(change: Change, version: int):
    yield SQL("ALTER DATABASE {} OWNER TO {}").format(Identifier(change.object), Identifier(change.detail[1]))


def _limit_database(change: Change, version: int):
    yield SQL("ALTER DATABASE {} CONNECTION LIMIT {}").format(
        Identifier(change.object), Literal(change.detail)
    )


def _quarantine(change: Change, version: int):
    yield SQL("ALTER DATABASE {} ALLOW_CONNECTIONS false").format(Identifier(change.object))
    yield from _end_sessions(change, version)


def _end_sessions(change: Change, version: int):
    """Each in a statement of its own, and they are waited for."""
    yield _end("datname", change.object)


def _end(column: str, name: str) -> Composable:
    terminate = "SELECT pg_catalog.pg_terminate_backend(pid) FROM pg_catalog.pg_stat_activity WHERE {} = {}"
    return SQL(terminate).format(SQL(column), Literal(name))


def _drop_database(change: Change, version: int):
    """A template is not dropped."""
    yield SQL("ALTER DATABASE {} IS_TEMPLATE false").format(Identifier(change.object))
    yield SQL("DROP DATABASE {}").format(Identifier(change.object))


def _remove_login(change: Change, version: int):
    yield SQL("ALTER ROLE {} NOLOGIN PASSWORD NULL").format(Identifier(change.object))
    yield _end("usename", change.object)
    yield drop_owned(change.object)
    yield SQL("DROP ROLE {}").format(Identifier(change.object))


def _drop_role(change: Change, version: int):
    yield SQL("DROP ROLE {}").format(Identifier(change.object.name))


def shut_out(role: str) -> list[Composable]:
    """Before anything of a role that leaves is given to another. Its sessions are waited for besides."""
    return [SQL("ALTER ROLE {} NOLOGIN").format(Identifier(role)), _end("usename", role)]


def disown(role: str, heir: str | None) -> list[Composable]:
    """What is run in each database where a role that leaves still owns something or has rights."""
    return [*([reassign(role, heir)] if heir else []), drop_owned(role)]


def reassign(role: str, heir: str) -> Composable:
    return SQL("REASSIGN OWNED BY {} TO {}").format(Identifier(role), Identifier(heir))


def drop_owned(role: str) -> Composable:
    return SQL("DROP OWNED BY {}").format(Identifier(role))


# What is inside a database


def _create_schema(change: Change, version: int):
    schema = change.object
    yield SQL("CREATE SCHEMA IF NOT EXISTS {} AUTHORIZATION {}").format(
        Identifier(schema.name), Identifier(schema.owner)
    )


def _own_schema(change: Change, version: int):
    yield own_schema(change.object, change.detail[1])


def own_table(path: Sequence[str], owner: str) -> Composable:
    return SQL("ALTER TABLE {} OWNER TO {}").format(Identifier(*path), Identifier(owner))


def own_schema(schema: str, owner: str) -> Composable:
    return SQL("ALTER SCHEMA {} OWNER TO {}").format(Identifier(schema), Identifier(owner))


def _create_extension(change: Change, version: int):
    """Where no schema is asked for, the extension decides, and else it goes to public."""
    extension = change.object
    tail = SQL(" SCHEMA {}").format(Identifier(extension.schema)) if extension.schema else SQL("")
    tail += _version(" VERSION {}", extension.version)
    yield SQL("SET LOCAL search_path TO public")
    yield SQL("CREATE EXTENSION IF NOT EXISTS {}").format(Identifier(extension.name)) + tail + SQL(" CASCADE")
    yield SQL("SET LOCAL search_path TO pg_catalog, pg_temp")


def _update_extension(change: Change, version: int):
    yield SQL("ALTER EXTENSION {} UPDATE").format(Identifier(change.object)) + _version(
        " TO {}", change.detail[1]
    )


def _version(words: str, version: str | None) -> Composable:
    """The latest is what the server offers where no version is named."""
    return SQL("") if version in (None, LATEST) else SQL(words).format(Literal(version))


def _move_extension(change: Change, version: int):
    yield SQL("ALTER EXTENSION {} SET SCHEMA {}").format(
        Identifier(change.object), Identifier(change.detail[1])
    )


def _own_object(change: Change, version: int):
    one = change.object
    what = SQL(one.path[-1]) if one.kind in KINDS else object_of(one.path)  # the server has quoted it
    yield SQL("ALTER " + _OWNED[one.kind] + " {} OWNER TO {}").format(what, Identifier(change.detail))


_OWNED = {
    **{"table": "TABLE", "sequence": "SEQUENCE", "routine": "ROUTINE", "type": "TYPE"},
    **{name: kind.word for name, kind in KINDS.items()},
}


def object_of(path: tuple[str, ...]) -> Composed:
    """A routine's path ends with the types of its input arguments, as the server wrote them.

    With one IN among them the server does not compare them with arguments that other routines give out.
    """
    named = Identifier(*path[:2])
    if len(path) < 3:
        return Composed([named])
    return Composed([named, SQL(f"(IN {path[2]})" if path[2] else "()")])


def _grant(change: Change, version: int):
    rights = change.object
    option = SQL(" WITH GRANT OPTION" if rights.cascade else "")
    grant = SQL("GRANT {} ON {} TO {}").format(
        _privileges(rights), _on(rights, change), _role(rights.grantee)
    )
    yield from acting_as(rights.acting, grant + option)


def _revoke(change: Change, version: int):
    """A right that somebody else passed on can only be taken back in that role's name."""
    rights = change.object
    revoke = SQL("REVOKE {}{} ON {} FROM {}{}").format(
        SQL("GRANT OPTION FOR " if rights.option_only else ""),
        _privileges(rights),
        _on(rights, change),
        _role(rights.grantee),
        SQL(" CASCADE" if rights.cascade else ""),
    )
    yield from acting_as(rights.grantor or rights.acting, revoke)


def acting_as(role: str | None, statement: Composable) -> list[Composable]:
    """A statement in the name of a role that the admin is a member of."""
    if not role:
        return [statement]
    return [SQL("SET LOCAL ROLE {}").format(Identifier(role)), statement, SQL("RESET ROLE")]


def _privileges(rights) -> Composable:
    if rights.kind != "column":
        return SQL(", ").join(map(SQL, rights.privileges))
    columns = _join(Identifier(path[2]) for path in rights.paths)
    return _join(SQL(privilege + " ({})").format(columns) for privilege in rights.privileges)


def _on(rights, change: Change) -> Composable:
    if rights.kind == "database":
        return SQL("DATABASE {}").format(Identifier(change.database))
    if rights.kind == "schema":
        return SQL("SCHEMA ") + _join(Identifier(*path) for path in rights.paths)
    if rights.kind == "column":
        return SQL("TABLE {}").format(Identifier(*rights.paths[0][:2]))
    if all(len(path) == 1 for path in rights.paths):
        return SQL(f"ALL {_PLURAL[rights.kind]} IN SCHEMA ") + _join(
            Identifier(*path) for path in rights.paths
        )
    return SQL(f"{rights.kind.upper()} ") + _join(map(object_of, rights.paths))


_PLURAL = {
    "table": "TABLES",
    "sequence": "SEQUENCES",
    "routine": "ROUTINES",
    "type": "TYPES",
    "schema": "SCHEMAS",
    "large object": "LARGE OBJECTS",
}


def _grant_default(change: Change, version: int):
    yield _default(change, "GRANT {} ON {} TO {}")


def _revoke_default(change: Change, version: int):
    yield _default(change, "REVOKE {} ON {} FROM {}")


def _default(change: Change, action: str) -> Composed:
    rights = change.object
    where = SQL("") if rights.schema == EVERYWHERE else SQL(" IN SCHEMA {}").format(Identifier(rights.schema))
    privileges = SQL(", ").join(map(SQL, rights.privileges))
    what = SQL(action).format(privileges, SQL(_PLURAL[rights.kind]), _role(rights.grantee))
    return SQL("ALTER DEFAULT PRIVILEGES FOR ROLE {}{} {}").format(Identifier(rights.creator), where, what)


def _bootstrap(change: Change, version: int):
    """Nothing by the admin: the script runs on a connection of its own."""
    return ()


_WRITERS = {
    "create role": _create_role,
    "alter role": _alter_role,
    "set password": _set_password,
    "set role setting": _set("ROLE"),
    "reset role setting": _reset("ROLE"),
    "join": _join_role,
    "keep member": _keep_member,
    "leave": _leave_role,
    "create database": _create_database,
    "open database": _open_database,
    "own database": _own_database,
    "limit database": _limit_database,
    "set database setting": _set("DATABASE"),
    "reset database setting": _reset("DATABASE"),
    "create schema": _create_schema,
    "own schema": _own_schema,
    "create extension": _create_extension,
    "update extension": _update_extension,
    "move extension": _move_extension,
    "own object": _own_object,
    "revoke": _revoke,
    "keep": _grant,
    "keep elsewhere": _grant,
    "revoke elsewhere": _revoke,
    "grant": _grant,
    "revoke default": _revoke_default,
    "grant default": _grant_default,
    "set role setting here": _set("ROLE", database_too=True),
    "reset role setting here": _reset("ROLE", database_too=True),
    "bootstrap": _bootstrap,
    "finish database": _finish_database,
    "unmark database": _unmark_database,
    "quarantine database": _quarantine,
    "end sessions": _end_sessions,
    "drop database": _drop_database,
    "drop role": _drop_role,
    "remove login": _remove_login,
}
