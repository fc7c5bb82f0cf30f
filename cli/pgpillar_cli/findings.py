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
    """Each thing once, with all environments in which it was found, by file and line.

    Where one environment knows of more to choose from than another, the fix is what fits both: the shorter.
    """
    found: dict[Finding, list[Finding]] = {}
    for finding in findings:
        found.setdefault(finding._replace(environments=(), fix=""), []).append(finding)
    once = [_together(bare, same) for bare, same in found.items()]
    return sorted(once, key=lambda one: (one.file, one.line or 0, one.path, one.message))


def _together(bare: Finding, same: list[Finding]) -> Finding:
    environments = {name for finding in same for name in finding.environments}
    fix = min((finding.fix for finding in same), key=len)
    return bare._replace(environments=tuple(sorted(environments)), fix=fix)


def is_wrong(findings: Iterable[Finding]) -> bool:
    return any(finding.level == WRONG for finding in findings)
