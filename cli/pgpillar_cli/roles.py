"""Which nodes there are: for each entry of ``pillar/roles.yaml``, one minion that it stands for."""

from __future__ import annotations

import re
from typing import NamedTuple

import salt.utils.yaml
import yaml

from pgpillar.shape import ListOf, MapOf, Notes, Text
from pgpillar.shape import Path as PillarPath
from pgpillar_cli import complaints
from pgpillar_cli.findings import Finding
from pgpillar_cli.place import Place

FILE = "pillar/roles.yaml"
ENTRIES = MapOf(Text("a minion id or a glob"), ListOf(Text("a role")))


class Node(NamedTuple):
    """A minion as an entry of roles.yaml means it, and the roles that it names."""

    minion: str
    roles: tuple[str, ...]


def read(place: Place) -> tuple[list[Node], list[Finding]]:
    """A node for each entry, and what is wrong with the file."""
    try:
        entries = salt.utils.yaml.safe_load((place.root / FILE).read_text())
    except OSError:
        return [], [Finding("there is no such file", "write 'minion: [role]' lines into it", file=FILE)]
    except yaml.YAMLError as error:
        return [], [complaints.of_renderer(error, FILE)]
    notes = Notes()
    read = ENTRIES.read(entries, PillarPath(), notes)
    wrong = [Finding(one.message, one.fix, one.path, FILE) for one in notes.problems]
    return [Node(_example(glob), names) for glob, names in read.items()], wrong


def _example(glob: str) -> str:
    """A minion id that a glob takes: shop-1 for shop-*."""
    return re.sub(r"\[!?(.)[^]]*\]|[*?]", lambda found: found[1] or "1", glob)
