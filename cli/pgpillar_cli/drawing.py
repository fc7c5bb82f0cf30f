"""Changes as a tree."""

from __future__ import annotations

from collections.abc import Mapping

from rich.text import Text
from rich.tree import Tree

from pgpillar_cli.safe import visible

BESIDE = 90  # columns that changes may take beside the name of what they change


class Line(Text):
    """A text of which no line that it takes ends in a space."""

    def wrap(self, *args, **more):
        lines = super().wrap(*args, **more)
        for line in lines:
            line.rstrip()
        return lines


def tree(title: str, found: Mapping) -> Tree:
    """Changes as Salt returns them: by kind, by name, line by line."""
    root = Tree(Line(visible(title)))
    _grow(root, found)
    return root


def _grow(tree, found):
    """What is told of several alike stands there once."""
    for told, names in _together(found):
        if isinstance(told, dict):
            _grow(tree.add(Line(visible(names[0]), style="bold")), told)
        elif len(names) > 1:
            tree.add(_coloured(f"{told}: {', '.join(names)}", told))
        else:
            _add(tree, names[0], told if isinstance(told, list) else [told])


def _together(found):
    """What is told in one word, with all names that it is told of; everything else by itself."""
    groups = {}
    for name, told in found.items():
        groups.setdefault(told if isinstance(told, str) else name, (told, []))[1].append(name)
    return groups.values()


def _add(branch, name, lines):
    """What is short stands beside the name, and what is long below it."""
    whole = f"{name}: {', '.join(lines)}"
    if len(whole) < BESIDE:
        branch.add(_coloured(whole, name))
        return
    below = branch.add(Line(visible(name), style="cyan"))
    for line in lines:
        below.add(_coloured(line))


STYLES = {r"\b(revoke|drop|leave|quarantine)\b": "red", r"\b(grant|create|join)\b": "green"}


def _coloured(line, name=""):
    text = Line(visible(line))
    for pattern, style in STYLES.items():
        text.highlight_regex(pattern, style)
    text.stylize("cyan", 0, len(visible(name)))
    return text
