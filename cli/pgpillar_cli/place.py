"""Where pillar stands: a directory ``pillar`` with one directory for each environment, as people keep it."""

from __future__ import annotations

import os
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

from salt.utils import url

IN_THE_CLEAR = ("dev",)  # the environments whose secrets are none


class PlaceError(Exception):
    """What is asked for is not where it should be."""


@dataclass(frozen=True)
class Environment:
    """One environment, such as dev. Salt reads its directory first, and what is shared after it."""

    name: str
    pillar: Path

    @property
    def roots(self) -> list[str]:
        return [str(self.pillar / self.name), str(self.pillar)]

    @property
    def top(self) -> Path:
        return self.pillar / self.name / "top.sls"

    @property
    def is_secret(self) -> bool:
        """Whether what stands in its secrets files must be encrypted."""
        return self.name not in IN_THE_CLEAR


@dataclass(frozen=True)
class Place:
    """The root of a repo with a pillar in it."""

    root: Path

    @classmethod
    def around(cls, directory: Path) -> Place:
        """The place that a directory is in."""
        here = directory.resolve()
        for root in (here, *here.parents):
            if (root / "pillar").is_dir():
                return cls(root)
        raise PlaceError(f"there is no directory 'pillar' in {here} or above it")

    def environments(self, names: Iterable[str] = ()) -> list[Environment]:
        """Those of these names, or all."""
        known = self.all_environments()
        unknown = set(names) - {environment.name for environment in known}
        if unknown or not known:
            there = ", ".join(one.name for one in known) or "none"
            asked = f"no environment {', '.join(map(repr, sorted(unknown)))}" if unknown else "no top.sls"
            raise PlaceError(f"{self.root / 'pillar'} has {asked}; the environments there are: {there}")
        return [one for one in known if not names or one.name in names]

    def all_environments(self) -> list[Environment]:
        """The directories of pillar that hold a top file."""
        pillar = self.root / "pillar"
        return [Environment(top.parent.name, pillar) for top in sorted(pillar.glob("*/top.sls"))]

    @property
    def states(self) -> Path:
        """What a master gives as ``salt://``."""
        return self.root / "salt"

    def lacks(self, address: str) -> bool:
        """Whether a file of states should be here, and is not. Of other file roots nothing is known."""
        path = self._of_states(address)
        return path is not None and not os.path.isfile(self.states / path)

    def leads_out(self, address: str) -> bool:
        """Whether a file of states is above ``salt/``, or behind a link into pillar or out of the repo."""
        path = self._of_states(address)
        if path is None:
            return False
        real = (self.states / path).resolve()
        is_public = _is_below(real, self.root) and not _is_below(real, self.root / "pillar")
        return ".." in PurePosixPath(path).parts or not is_public

    def _of_states(self, address: str) -> str | None:
        """The path of a file of states below ``salt/``, where that is here and the address means it."""
        path, environment = url.parse(address)
        is_ours = address.startswith("salt://") and environment is None and self.states.is_dir()
        return path if is_ours else None

    def scripts(self) -> list[str]:
        """The SQL among the states, as pillar names it."""
        return sorted(f"salt://{path.relative_to(self.states)}" for path in self.states.rglob("*.sql"))

    def relative(self, file: str | Path) -> str:
        """A file as people name it, from the root."""
        return str(Path(file).relative_to(self.root))


def _is_below(path: Path, directory: Path) -> bool:
    return path.is_relative_to(directory.resolve())
