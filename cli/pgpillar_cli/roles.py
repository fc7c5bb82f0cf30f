"""Which nodes there are, by ``pillar/roles.yaml``, and whether top files and it speak of the same roles."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from fnmatch import fnmatchcase
from itertools import chain
from pathlib import Path
from typing import NamedTuple

import salt.utils.yaml
import yaml

from pgpillar.shape import ListOf, MapOf, Notes, Text, nearest
from pgpillar.shape import Path as PillarPath
from pgpillar_cli import complaints
from pgpillar_cli.findings import Finding
from pgpillar_cli.locate import line_of
from pgpillar_cli.place import Place

FILE, STATES = "pillar/roles.yaml", "salt/top.sls"
EVERYBODY = "*"  # in a top file, every role
ENTRIES = MapOf(Text("a minion id or a glob"), ListOf(Text("a role")))


class Entry(NamedTuple):
    """An entry of roles.yaml: which minions it means, and the roles that it gives them."""

    glob: str
    roles: tuple[str, ...]


class Node(NamedTuple):
    """A minion, the entry that fits it best, and the roles of all entries that fit it."""

    glob: str
    minion: str
    roles: tuple[str, ...]


def read(place: Place) -> tuple[list[Entry], list[Finding]]:
    """The entries, and what is wrong with the file."""
    try:
        text = (place.root / FILE).read_text(encoding="utf-8")
        entries = salt.utils.yaml.safe_load(text)
    except OSError:
        return [], [Finding("there is no such file", _FIX, file=FILE)]
    except UnicodeDecodeError:
        return [], [complaints.no_text(FILE)]
    except yaml.YAMLError as error:
        return [], [complaints.of_renderer(error, FILE)]
    notes = Notes()
    read = ENTRIES.read(entries, PillarPath(), notes)
    wrong = [Finding(*one[1:], one.path, FILE, line_of(one.path, text)) for one in notes.problems]
    if not read and not wrong:
        wrong = [Finding("this names no minion", _FIX, file=FILE)]
    return [Entry(*one) for one in read.items()], wrong


_FIX = "write 'minion: [role]' lines into it"


def node(entries: Iterable[Entry], minion: str) -> Node | None:
    """The node of this name, where an entry means it."""
    fitting = [one for one in entries if fnmatchcase(minion, one.glob)]
    if not fitting:
        return None
    best = max(fitting, key=lambda one: (one.glob == minion, len(one.glob)))
    return Node(best.glob, minion, tuple(dict.fromkeys(chain(*(one.roles for one in fitting)))))


def examples(entries: Iterable[Entry]) -> list[Node]:
    """For each entry a minion that it means, and where there is such a one, that no other means better."""
    entries = [*entries]
    fitting = [[node(entries, _example(one.glob, number)) for number in range(1, 10)] for one in entries]
    return [
        next((node for node in nodes if node.glob == one.glob), nodes[0])
        for one, nodes in zip(entries, fitting, strict=True)
    ]


def _example(glob: str, number: int) -> str:
    """A minion id that a glob takes: shop-1 for shop-*."""
    begun = re.sub(r"^\*", "minion", glob)
    return re.sub(r"\[!?(.)[^]]*\]|[*?]", lambda found: found[1] or str(number), begun)


# What top files say of roles


def given(top: Path) -> dict[str, list]:
    """The roles that a top file of ours speaks of, each with its files. Its Jinja stands in comments."""
    try:
        data = yaml.safe_load(top.read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError, yaml.YAMLError):
        return {}
    found = data.items() if isinstance(data, dict) else ()
    return {role: files for role, files in found if isinstance(role, str) and isinstance(files, list)}


def without_minions(place: Place, top: Path, entries: Iterable[Entry]) -> Iterator[Finding]:
    """The roles of a top file that no minion has."""
    known = sorted({role for one in entries for role in one.roles})
    for role in given(top).keys() - {EVERYBODY, *known}:
        path = str(PillarPath((role,)))
        fix = f"give it to one in roles.yaml; {nearest(role, known)}"
        line = line_of(path, top.read_text())
        yield Finding(f"no minion has the role {role!r}", fix, path, place.relative(top), line)


def without_files(place: Place, entries: Iterable[Entry]) -> Iterator[Finding]:
    """The roles of roles.yaml that no top file speaks of, where each of them speaks of roles at all."""
    tops = [given(one.top) for one in place.all_environments()]
    known = sorted(set(chain(*tops, given(place.root / STATES))) - {EVERYBODY})
    for one in entries if all(tops) else ():
        for index, role in enumerate(one.roles):
            path = PillarPath((one.glob, index))
            if role not in known:
                message = f"no top.sls speaks of the role {role!r}"
                line = line_of(str(path), (place.root / FILE).read_text())
                yield Finding(message, nearest(role, known), str(path), FILE, line)
