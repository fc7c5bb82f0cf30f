"""In which file, and in which line, a value of pillar stands.

The YAML is read once more for its positions alone. Values come from Salt.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path

import yaml

from pgpillar import review, shape
from pgpillar_cli.compiled import Loader, Source
from pgpillar_cli.findings import Finding

DEEPEST = 12  # keys of pillar stand less deep


class Locator:
    """Finds the place of a value in the files that a node's pillar is made of."""

    def __init__(self, root: Path, sources: Mapping[str, Source]):
        self.root, self.sources = root, sources
        self.files = sorted(sources, key=review.is_for_secrets)  # what is mended is mostly elsewhere
        self._lines: dict[str, dict[str, int]] = {}

    def located(self, finding: Finding) -> Finding:
        """With the file and the line of its path, or of what is nearest above it, where a file has it."""
        if finding.line or not finding.path:
            return finding
        files = [finding.file] if finding.file in self.sources else self.files
        for known in _upwards(finding.path):
            for file in files:
                if line := self._lines_of(file).get(known):
                    return finding._replace(file=file, line=self._in_source(file, line))
        return finding

    def _lines_of(self, file: str) -> dict[str, int]:
        if file not in self._lines:
            self._lines[file] = dict(_lines(self.sources[file].text))
        return self._lines[file]

    def _in_source(self, file: str, line: int) -> int | None:
        """The line before Jinja. Where it adds or removes lines, the first that reads the same."""
        before = (self.root / file).read_text(errors="replace").splitlines()
        after = self.sources[file].text.splitlines()
        if len(before) == len(after):
            return line
        return next((at for at, text in enumerate(before, 1) if text == after[line - 1]), None)


def _upwards(path: str) -> Iterator[str]:
    """A path as it is written, and those above it but the root, which says nothing."""
    yield path
    while ":" in (path := path.rpartition(":")[0]):
        yield path


def line_of(path: str, text: str) -> int | None:
    """The line of a path in a file without Jinja."""
    return dict(_lines(text)).get(path)


def _lines(text: str) -> Iterator[tuple[str, int]]:
    """The line of each key and item, by its path. Keys of merges and aliases are found where they stand."""
    try:
        root = yaml.compose(text, Loader=Loader)
    except yaml.YAMLError:
        return
    yield from _below(root, shape.Path()) if root else ()


def _below(node: yaml.Node, path: shape.Path) -> Iterator[tuple[str, int]]:
    for key, at, value in _children(node):
        yield str(path / key), at.start_mark.line + 1
        if len(path) < DEEPEST:  # an alias may lead to what it stands in
            yield from _below(value, path / key)


def _children(node: yaml.Node) -> Iterable[tuple[object, yaml.Node, yaml.Node]]:
    if isinstance(node, yaml.MappingNode):
        return [(key.value, key, value) for key, value in node.value if isinstance(key, yaml.ScalarNode)]
    if isinstance(node, yaml.SequenceNode):
        return [(index, item, item) for index, item in enumerate(node.value)]
    return ()
