"""The effect of an edit of pillar, told from the pillar before and after it, without a server."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import fields, replace
from typing import NamedTuple

from pgpillar import refusals, sql, strangers, text
from pgpillar.model import ABSENT, PRESENT, Cluster, Endpoint, Server
from pgpillar.node import Client, Node, Pool
from pgpillar.pillar import Declared
from pgpillar.plan import Change, heirs, impossible_drop, plan

HIDDEN = ("password", "ca", "consul")  # what of an endpoint is not shown
OF_A_CLIENT = ("host", "port", "hostaddr", "discovery", "consul", "replicas", "sslmode", "ca", "ca_file")


class Effect(NamedTuple):
    """What becomes of one cluster."""

    changes: tuple[Change, ...] = ()
    refusals: tuple[str, ...] = ()  # why it cannot be
    way: tuple[str, ...] = ()  # what is new about how it is reached and administered
    forgotten: Mapping[str, object] = {}  # what pillar no longer names, and what stays as it is
    inherited: Mapping[str, object] = {}  # by database, what goes to other owners, if the server has it

    def told(self) -> dict:
        """The same as plain data, with the names of ``pg_access.plan``. No secret is in it."""
        return {
            "changes": text.tree(self.changes),
            **text.losses(self.changes),
            "powers": text.powers(self.changes),
            "sql": sql.script(self.changes),
            "refusals": [*self.refusals],
            "way": [*self.way],
            "forgotten": self.forgotten,
            "inherited": self.inherited,
        }


def of_cluster(name: str, before: Declared | None, after: Declared | None) -> Effect:
    """What an edit does to a cluster. One that pillar no longer names is left as it is."""
    old, new = (declared.cluster if declared else Cluster(name) for declared in (before, after))
    forgotten = strangers.forgotten(old, new)
    if after is None:
        return Effect(forgotten={"clusters": [name], **forgotten})
    way = tuple(_moves(before and before.endpoint, after.endpoint))
    if refused := (*_owners_that_go(old, new), *_refused(old, new)):
        return Effect((), refused, way, forgotten)
    return Effect(tuple(plan(old, new)), (), way, forgotten, dict(_inherited(old, new)))


def _refused(old: Cluster, new: Cluster) -> Iterator[str]:
    for sentences in refusals.possible(old, new).databases.values():
        yield from sentences


def _owners_that_go(old: Cluster, new: Cluster) -> Iterator[str]:
    """Why a role cannot go, as far as pillar says what it owns. A server may know of more."""
    owned = defaultdict(set)
    for name, now in old.databases.items():
        for one in (now, *now.schemas.values()):
            owned[one.owner].add((name, True))
    dependents = {role: tuple(sorted(places)) for role, places in owned.items()}
    known = replace(old, server=Server(sql.NOW, admin="", superuser=True, dependents=dependents))
    for name, role in sorted(new.roles.items()):
        if role.state == ABSENT and name in old.roles:
            yield from impossible_drop(role, known, new)


def _inherited(old: Cluster, new: Cluster) -> Iterator[tuple[str, list[str]]]:
    for name, database in sorted(new.databases.items()):
        now = old.databases.get(name)
        if now and now.state == database.state == PRESENT and now != database:
            found = heirs(now, database, new).items()
            lines = [
                f"what {owner} owns in {' and '.join(schemas)} goes to {heir}"
                for (owner, heir), schemas in found
            ]
            yield from [(name, lines)] if lines else ()


def _moves(before: Endpoint | None, after: Endpoint) -> Iterator[str]:
    if before:
        yield from _differences(before, after, [one.name for one in fields(Endpoint)])


def _move(what: str, old: object, new: object) -> Iterator[str]:
    if old != new:
        yield what if what in HIDDEN else f"{what.replace('_', ' ')}: {_shown(old)} → {_shown(new)}"


def _shown(value: object) -> str:
    if isinstance(value, tuple) and hasattr(value, "_asdict"):
        return ":".join(str(part) for part in value if part is not None)
    if isinstance(value, tuple):
        return ", ".join(map(_shown, value)) or "none"
    return "none" if value is None else str(value)


# App nodes


def of_node(before: Node | None, after: Node | None) -> dict[str, list[str]]:
    """What becomes of each pool of a node; under '', what is new for all of them. Any of it is a reload."""
    if after is None:
        return {}
    names = sorted({*(before.pools if before else ()), *after.pools})
    moves = {name: [*_pool(name, before, after)] for name in names}
    moves[""] = [*_settings(before, after)] if before else []
    return {name: lines for name, lines in moves.items() if lines}


def of_clients(before: Node | None, after: Node | None) -> dict[str, list[str]]:
    """What is new about the files that the users of a node are given."""
    old, new = (node.clients if node else {} for node in (before, after))
    names = [one.name for one in fields(Client)]
    moves = {user: [*_differences(old[user], new[user], names)] for user in sorted({*old} & {*new})}
    return {name: lines for name, lines in moves.items() if lines}


def of_leaving(before: Node | None, after: Node | None) -> dict[str, list[str]]:
    """The pools of a node that pillar no longer knows of. Nobody goes there to change them."""
    return {"pools": sorted(before.pools)} if before and before.pools and after is None else {}


def _pool(name: str, before: Node | None, after: Node) -> Iterator[str]:
    old, new = before.pools.get(name) if before else None, after.pools.get(name)
    if not new:
        yield "goes"
    elif not old:
        yield f"new: database {new.database} as {new.user}, on the {new.target}"
    else:
        yield from _differences(old, new, [one.name for one in fields(Pool)])
        ends = before.endpoints.get(old.cluster), after.endpoints.get(new.cluster)
        yield from _differences(*ends, OF_A_CLIENT) if all(ends) else ()


def _differences(old: object, new: object, names: Iterable[str]) -> Iterator[str]:
    for name in names:
        yield from _move(name, getattr(old, name), getattr(new, name))


def _settings(before: Node, after: Node) -> Iterator[str]:
    yield from _move("port", before.port, after.port)
    for name in sorted({*before.settings, *after.settings}):
        yield from _move(name, before.settings.get(name), after.settings.get(name))
