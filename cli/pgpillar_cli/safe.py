"""Words from pillar, made such that they are only words wherever they are shown."""

from __future__ import annotations

import re
from collections.abc import Iterable

from pgpillar.screen import visible

MARKDOWN = "\\`*_{}[]<>|~&"
LINKING = "@#"  # GitHub looks for people and for issues in what Markdown has left, so escaping is not enough


def markdown(words: object) -> str:
    """Words in which Markdown finds nothing to format, and nobody to notify."""
    text = re.sub(f"[{re.escape(MARKDOWN)}]", r"\\\g<0>", visible(words))
    return re.sub(f"[{LINKING}]", "\\g<0>\u200b", text)


def code(words: object) -> str:
    """Words as code within a line of Markdown."""
    text = visible(words)
    fence = longer([text], 1)
    return f"{fence} {text} {fence}" if "`" in text else f"{fence}{text}{fence}"


def longer(lines: Iterable[str], least: int) -> str:
    """A fence for code that no line of it can close."""
    longest = max((len(run) for line in lines for run in re.findall("`+", line)), default=0)
    return "`" * max(least, longest + 1)


def command(words: object, more: str = "") -> str:
    """Words as a workflow command of GitHub's takes them."""
    text = visible(words)
    for special in "%" + more:
        text = text.replace(special, f"%{ord(special):02X}")
    return text
