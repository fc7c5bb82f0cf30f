"""What is found wrong, where it stands in pillar and in which file, and what would be right."""

from __future__ import annotations

from collections.abc import Iterable
from typing import NamedTuple

WRONG, NOTICE = "wrong", "notice"


class Finding(NamedTuple):
    """One thing to mend. A notice is to be known and keeps nothing from merging."""

    message: str
    fix: str
    path: str = ""
    file: str = ""
    line: int | None = None
    level: str = WRONG
    environments: tuple[str, ...] = ()

    @property
    def place(self) -> str:
        """The file, with the line where that is known."""
        return f"{self.file}:{self.line}" if self.line else self.file


def merged(findings: Iterable[Finding]) -> list[Finding]:
    """Each thing once, with all environments in which it was found, by file and line."""
    found: dict[Finding, list[str]] = {}
    for finding in findings:
        bare = finding._replace(environments=())
        found.setdefault(bare, []).extend(finding.environments)
    once = [bare._replace(environments=tuple(sorted(set(names)))) for bare, names in found.items()]
    return sorted(once, key=lambda one: (one.file, one.line or 0, one.path, one.message))


def is_wrong(findings: Iterable[Finding]) -> bool:
    return any(finding.level == WRONG for finding in findings)
