"""How findings are shown: to people, to a pull request, to a program, to GitHub's own view of the files."""

from __future__ import annotations

import json
import sys
from collections.abc import Sequence
from typing import NamedTuple

import click
from rich.console import Console
from rich.text import Text

from pgpillar.text import counted
from pgpillar_cli import safe
from pgpillar_cli.findings import NOTICE, WRONG, Finding
from pgpillar_cli.safe import visible

WIDTH = 110  # where nobody looks at a terminal
COMMENT = 65536  # characters that a comment on a pull request may have
FORMS = ("text", "markdown", "json", "github")

option = click.option(
    "--format",
    "form",
    type=click.Choice(FORMS),
    default="text",
    help="Who is to read it: a person, a pull request, a program, or GitHub, for notes beside the lines.",
)


class Sign(NamedTuple):
    """How a level of findings is shown."""

    mark: str
    style: str
    emoji: str
    command: str


SIGNS = {WRONG: Sign("✗", "bold red", "❌", "error"), NOTICE: Sign("·", "yellow", "ℹ️", "notice")}


def console() -> Console:
    """A console as wide as the terminal; in a pipe or a file, of a width that never changes."""
    return Console(highlight=False, soft_wrap=True, width=None if sys.stdout.isatty() else WIDTH)


def write_findings(found: Sequence[Finding], form: str) -> None:
    _FINDINGS[form](found)


def _text(found: Sequence[Finding]) -> None:
    out = console()
    text(out, found)
    out.print(Text(summary(found), "bold"))


def text(out: Console, found: Sequence[Finding]) -> None:
    """Findings for people."""
    for finding in found:
        sign = SIGNS[finding.level]
        path = visible(f"  {finding.path}" if finding.path else "")
        out.print(Text(visible(finding.place), "cyan").append(path, "bold"))
        message = visible(finding.message + _where(finding))
        out.print(Text(f"  {sign.mark} ", sign.style).append(message, "default"))
        out.print(Text(visible(f"    → {finding.fix}"), "dim"))


def _where(finding: Finding) -> str:
    return f" ({', '.join(finding.environments)})" if finding.environments else ""


def summary(found: Sequence[Finding]) -> str:
    """How much there is to mend, in one line."""
    wrong = sum(finding.level == WRONG for finding in found)
    parts = [counted(number, what) for number, what in ((wrong, "problem"), (len(found) - wrong, "notice"))]
    return ", ".join(filter(None, parts)) or "pillar is as it should be"


def _markdown(found: Sequence[Finding]) -> None:
    click.echo(fitted(blocks(found)))


def blocks(found: Sequence[Finding]) -> list[Block]:
    """Findings in Markdown."""
    return [Block(f"### pgpillar check: {summary(found)}"), Block("", [*map(item, found)])]


def item(finding: Finding) -> str:
    """A finding as an item of a list in Markdown."""
    place = " ".join(safe.code(part) for part in (finding.place, finding.path) if part)
    message, fix = safe.markdown(finding.message + _where(finding)), safe.markdown(finding.fix)
    return f"- {SIGNS[finding.level].emoji} {place}  \n  {message}  \n  → {fix}"


class Block:
    """Lines between a head and a tail, of which some may be left out."""

    def __init__(self, head: str, lines: Sequence[str] = (), tail: str = "", matters: bool = True):
        self.head, self.lines, self.tail, self.matters = head, [*lines], tail, matters
        self.left_out = 0

    def __str__(self) -> str:
        more = f"… and {self.left_out} more lines, which do not fit here" if self.left_out else ""
        return "\n".join(filter(None, [self.head, *self.lines, more, self.tail])) + "\n\n"

    def shrink(self, excess: int) -> None:
        """Leave out lines from the end, and say how many."""
        freed = -60  # for saying so
        while self.lines and freed < excess:
            freed += len(self.lines.pop()) + 1
            self.left_out += 1


def fitted(blocks: Sequence[Block], most: int = COMMENT) -> str:
    """The blocks as one text that is not too long. Statements go first, then what is longest."""
    blocks = [*blocks]
    while (excess := len("".join(map(str, blocks))) - most) > 0:
        if filled := [block for block in blocks if block.lines]:
            max(filled, key=lambda block: (not block.matters, len(str(block)))).shrink(excess)
        else:
            blocks.pop()
    return "".join(map(str, blocks)).rstrip()


def _json(found: Sequence[Finding]) -> None:
    click.echo(json.dumps([finding._asdict() for finding in found], indent=2, ensure_ascii=False))


def _github(found: Sequence[Finding]) -> None:
    """Workflow commands, which GitHub shows beside the lines that they name."""
    for finding in found:
        place = {"file": finding.file, "line": finding.line, "title": finding.path or "pgpillar"}
        given = ",".join(f"{key}={safe.command(value, ',:')}" for key, value in place.items() if value)
        message = safe.command(f"{finding.message}{_where(finding)}; {finding.fix}")
        click.echo(f"::{SIGNS[finding.level].command} {given}::{message}")
    click.echo(summary(found))


_FINDINGS = {"text": _text, "markdown": _markdown, "json": _json, "github": _github}
