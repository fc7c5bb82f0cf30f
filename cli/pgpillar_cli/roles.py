"""Which nodes there are: for each entry of ``pillar/roles.yaml``, one minion that it stands for."""

from __future__ import annotations

import re
from fnmatch import fnmatchcase
from typing import NamedTuple

import salt.utils.yaml
import yaml

from pgpillar.shape import ListOf, MapOf, Notes, Text
from pgpillar.shape import Path as PillarPath
from pgpillar_cli import complaints
from pgpillar_cli.findings import Finding
from pgpillar_cli.locate import line_of
from pgpillar_cli.place import Place

FILE = "pillar/roles.yaml"
ENTRIES = MapOf(Text("a minion id or a glob"), ListOf(Text("a role")))


class Node(NamedTuple):
    """A minion that an entry of roles.yaml means, and the roles that it names."""

    glob: str
    minion: str
    roles: tuple[str, ...]

    def called(self, minion: str) -> Node | None:
        """The minion of this name, where the entry means it as well."""
        return self._replace(minion=minion) if fnmatchcase(minion, self.glob) else None


def read(place: Place) -> tuple[list[Node], list[Finding]]:
    """A node for each entry, and what is wrong with the file."""
    try:
        text = (place.root / FILE).read_text(encoding="utf-8")
        entries = salt.utils.yaml.safe_load(text)
    except OSError:
        return [], [Finding("there is no such file", "write 'minion: [role]' lines into it", file=FILE)]
    except UnicodeDecodeError:
        return [], [complaints.no_text(FILE)]
    except yaml.YAMLError as error:
        return [], [complaints.of_renderer(error, FILE)]
    notes = Notes()
    read = ENTRIES.read(entries, PillarPath(), notes)
    wrong = [Finding(*one[1:], one.path, FILE, line_of(one.path, text)) for one in notes.problems]
    return [Node(glob, _example(glob), names) for glob, names in read.items()], wrong


def _example(glob: str) -> str:
    """A minion id that a glob takes: shop-1 for shop-*."""
    begun = re.sub(r"^\*", "minion", glob)
    return re.sub(r"\[!?(.)[^]]*\]|[*?]", lambda found: found[1] or "1", begun)
