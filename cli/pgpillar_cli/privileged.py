"""Which files of pillar are privileged: those that ``pillar/privileged.yaml`` lists, by name or by a glob."""

from __future__ import annotations

from collections.abc import Iterable
from fnmatch import fnmatchcase
from pathlib import PurePosixPath

import salt.utils.yaml
import yaml

from pgpillar.authors import LIST
from pgpillar.shape import ListOf, Notes, Text
from pgpillar.shape import Path as PillarPath
from pgpillar_cli import complaints
from pgpillar_cli.findings import Finding
from pgpillar_cli.locate import line_of
from pgpillar_cli.place import Place

GLOBS = ListOf(Text("a file below pillar/, or a glob of files"))
EXAMPLE = "write '- postgresql/clusters.sls' lines into it"


def read(place: Place) -> tuple[list[str] | None, list[Finding]]:
    """What it lists, or nothing where there is no such file; and what is wrong with it."""
    try:
        text = (place.root / LIST).read_text(encoding="utf-8")
        listed = salt.utils.yaml.safe_load(text)
    except FileNotFoundError:
        return None, []
    except UnicodeDecodeError:
        return None, [complaints.no_text(LIST)]
    except yaml.YAMLError as error:
        return None, [complaints.of_renderer(error, LIST)]
    if not isinstance(listed, list):
        return None, [Finding("this is no list", EXAMPLE, file=LIST, line=1)]
    notes = Notes()
    globs = GLOBS.read(listed, PillarPath(), notes)
    wrong = [Finding(*one[1:], one.path, LIST, line_of(one.path, text)) for one in notes.problems]
    return [*globs], wrong


def lists(globs: Iterable[str], file: str) -> bool:
    """Whether a file, named from the root, is among them. A glob takes each directory by itself."""
    parts = PurePosixPath(file).parts[1:]
    return any(_fits(parts, PurePosixPath(glob).parts) for glob in globs)


def _fits(parts: tuple[str, ...], globs: tuple[str, ...]) -> bool:
    return len(parts) == len(globs) and all(map(fnmatchcase, parts, globs))
