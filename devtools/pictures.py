"""What ``pgpillar`` says of two edits of the example under pillar/, written where the documentation shows it.

    python -m devtools.pictures

The edits are docs/examples/*.patch. Beside them stands what comes of each; docs/pictures/comment.svg draws
the comment on a pull request as GitHub would. Tables of salt-run are drawn from what it said of the hosts.
"""

import html
import os
import shutil
import subprocess
import sys
import tempfile
import textwrap
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from markdown_it import MarkdownIt

ROOT = Path(__file__).resolve().parent.parent
EXAMPLES = ROOT / "docs" / "examples"
RECORDED = ("status", "logins")  # on hosts: salt-run pgpillar.status --out=json
COMMENT = ROOT / "docs" / "pictures" / "comment.svg"
SOMEBODY = {
    f"GIT_{who}_{what}": value
    for who in ("AUTHOR", "COMMITTER")
    for what, value in (
        ("NAME", "somebody"),
        ("EMAIL", "somebody@example.org"),
        ("DATE", "2026-01-01T00:00Z"),
    )
}
PGPILLAR = "from pgpillar_cli.main import main; main()"
TABLE = """
import json, sys
from pgpillar import screen
print(screen.drawn(json.load(open(sys.argv[1])), 110, False))
"""


def made() -> dict[Path, str]:
    """Each file, and what is to stand in it."""
    with edited("ten-faults") as place:
        faults = pgpillar(place, "check")
    with edited("pull-request") as place:
        comment = pgpillar(place, "plan", "--base", "main", "--format", "markdown")
    tables = {EXAMPLES / f"{name}.txt": run(TABLE, EXAMPLES / f"{name}.json") for name in RECORDED}
    return {
        **tables,
        EXAMPLES / "ten-faults.txt": faults,
        EXAMPLES / "pull-request.md": comment,
        COMMENT: drawn(comment),
    }


@contextmanager
def edited(name: str) -> Iterator[Path]:
    """A repo with the example's pillar, and the edit of this name in it."""
    with tempfile.TemporaryDirectory(prefix="pgpillar-") as directory:
        place = Path(directory)
        shutil.copytree(ROOT / "pillar", place / "pillar")
        for command in (["init", "-q", "-b", "main"], ["add", "."], ["commit", "-q", "-m", "The example"]):
            git(place, *command)
        git(place, "apply", str(EXAMPLES / f"{name}.patch"))
        yield place


def git(place: Path, *arguments: str) -> None:
    environment = os.environ | SOMEBODY | {"GIT_CONFIG_GLOBAL": os.devnull}
    subprocess.run(["git", "-C", place, *arguments], check=True, env=environment)


def pgpillar(place: Path, *arguments: str) -> str:
    return run(PGPILLAR, "-C", place, *arguments)


def run(code: str, *arguments: str | Path) -> str:
    """What a piece of code prints that knows the repo's own packages."""
    path = os.pathsep.join(str(ROOT / name) for name in ("_utils", "cli"))
    command = [sys.executable, "-c", code, *arguments]
    done = subprocess.run(command, stdout=subprocess.PIPE, text=True, env=os.environ | {"PYTHONPATH": path})
    return done.stdout


# The comment as GitHub shows it

WIDTH, MARGIN, LINE = 880, 24, 20
MONO, SANS = "ui-monospace, 'DejaVu Sans Mono', monospace", "-apple-system, 'DejaVu Sans', sans-serif"
WIDE = {MONO: 0.61, SANS: 0.56}  # of its size: how much room a letter takes on the average, or more
BOLD = 1.15  # times that
RED, GREEN = ("#ffebe9", "#82071e"), ("#dafbe1", "#116329")
COLOURS, INK = {"-": RED, "+": GREEN}, ("none", "#1f2328")


class Canvas:
    """Grows downwards, line by line."""

    def __init__(self):
        self.y, self.parts = MARGIN, []

    def box(self, height: int, colour: str) -> None:
        """Something behind the lines that come next."""
        size = f'width="{WIDTH - 2 * MARGIN}" height="{height}"'
        self.parts.append(f'<rect x="{MARGIN}" y="{self.y}" {size} fill="{colour}"/>')

    def lines(self, words: str, size: int = 14, indent: int = 0, hang: int = 0, **style: str) -> None:
        """Words on as many lines as they take; those after the first are ``hang`` further in."""
        first, *others = wrapped(words, size, indent=indent + hang, bold="font_weight" in style)
        self.line(first, size, indent=indent, **style)
        for line in others:
            self.line(line, size, indent=indent + hang, **style)

    def line(self, words: str, size: int = 14, font: str = SANS, indent: int = 0, **style: str) -> None:
        attributes = "".join(f' {name.replace("_", "-")}="{value}"' for name, value in style.items())
        self.y += LINE * size // 14
        self.parts.append(
            f'<text x="{MARGIN + indent}" y="{self.y - 6}" font-size="{size}" font-family="{font}"'
            f' xml:space="preserve"{attributes}>{html.escape(words)}</text>'
        )

    def __str__(self) -> str:
        height = self.y + MARGIN
        frame = f'width="{WIDTH - 1}" height="{height - 1}" rx="6" fill="white" stroke="#d1d9e0"'
        return "\n".join([
            f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {height}" fill="#1f2328">',
            f'<rect x="0.5" y="0.5" {frame}/>',
            *self.parts,
            "</svg>\n",
        ])  # fmt: skip


def wrapped(words: str, size: int, font: str = SANS, indent: int = 0, bold: bool = False) -> list[str]:
    """Lines that have room between the margins. What begins further in stays there."""
    letter = size * WIDE[font] * (BOLD if bold else 1)
    columns = int((WIDTH - 2 * MARGIN - indent) / letter)
    further = " " * (len(words) - len(words[1:].lstrip()) + 1) if font == MONO else ""
    return textwrap.wrap(words, columns, subsequent_indent=further, break_on_hyphens=False) or [""]


def drawn(comment: str) -> str:
    """A comment in Markdown as a picture; what is folded in it stays so."""
    canvas, is_folded, within = Canvas(), False, []
    for token in MarkdownIt().parse(comment):
        if token.type == "html_block":
            is_folded = _fold(canvas, token.content)
        elif token.type == "fence" and not is_folded:
            _fence(canvas, token.content.splitlines())
        elif token.type == "inline":
            _words(canvas, _plain(token), within)
        within = within + [token.tag] if token.nesting > 0 else within[:-1] if token.nesting < 0 else within
    return str(canvas)


def _fold(canvas: Canvas, markup: str) -> bool:
    """Draw the title of what is folded; whether something is, from here on."""
    title = markup.partition("<summary>")[2].partition("</summary>")[0]
    if title:
        canvas.y += 8
        canvas.line(f"▸ {title}")
    return bool(title)


def _fence(canvas: Canvas, lines: list[str]) -> None:
    lines = [(COLOURS.get(line[:1], INK), part) for line in lines for part in wrapped(line, 12, MONO, 24)]
    canvas.y += 8
    canvas.box(LINE * len(lines) + 16, "#f6f8fa")
    canvas.y += 8
    for (paper, ink), line in lines:
        canvas.box(LINE, paper)
        canvas.line(line, 12, MONO, 12, fill=ink)
        canvas.y += LINE - LINE * 12 // 14
    canvas.y += 16


def _words(canvas: Canvas, words: str, within: list[str]) -> None:
    heading = {"h3": 18, "h4": 16}.get(within[-1] if within else "")
    canvas.y += 10 if heading or "li" not in within else 0
    if heading:
        canvas.lines(words, heading, font_weight="600")
    elif "li" in within:
        canvas.lines(f"• {words}", indent=12, hang=13)
    else:
        canvas.lines(words)


def _plain(token) -> str:
    return "".join(child.content for child in token.children)


def main() -> None:
    for path, text in made().items():
        path.write_text(text)


if __name__ == "__main__":
    main()
