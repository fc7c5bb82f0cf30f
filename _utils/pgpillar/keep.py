"""A set of files that is kept as wanted: what is wrong is written, what nobody wants any more goes."""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path
from typing import NamedTuple

from pgpillar import files
from pgpillar.files import Guard


class Kept(NamedTuple):
    text: str
    guard: Guard


class Keeper:
    """``directory`` is the keeper's own: each folder in it belongs to whom its files belong to."""

    def __init__(self, directory: str, wanted: Mapping[str, Kept]):
        self.directory, self.wanted = Path(directory), {Path(path): kept for path, kept in wanted.items()}

    def faults(self) -> dict[str, str]:
        """What is wrong, by path; nothing of what is in a file is told."""
        found = {path: files.fault(path, *kept) for path, kept in self.wanted.items()}
        found |= dict.fromkeys(self._strangers(), "gone")
        told = {str(path): fault for path, fault in sorted(found.items()) if fault}
        return files.faults_of_directories(self._folders()) | told

    def mend(self) -> None:
        for path, guard in self._folders().items():
            files.make_directory(path, guard)
        for path, kept in self.wanted.items():
            if files.fault(path, *kept):
                self._make_way_for(path)
                files.write(path, *kept)
        for path in self._strangers():
            files.remove(path)

    def _make_way_for(self, path: Path) -> None:
        if self.directory in path.parents and path.is_dir():
            files.remove(path)

    def _folders(self) -> dict[Path, Guard]:
        """The keeper's own directory and each folder in it that is wanted."""
        # Without root's rights, who reads is who writes
        mode = 0o700 if os.geteuid() else 0o500
        inside = {
            path.parent: kept.guard for path, kept in self.wanted.items() if self.directory in path.parents
        }
        folders = {path: guard._replace(mode=mode) for path, guard in inside.items()}
        return {self.directory: Guard(0o755), **folders} if folders else {}

    def _strangers(self) -> list[Path]:
        """What lies in the keeper's own directory and is not wanted there: whole folders first."""
        if not self.directory.exists():
            return []
        folders = {path.parent for path in self.wanted}
        found = [path for path in self.directory.iterdir() if path not in folders]
        for folder in folders & set(self.directory.iterdir()):
            found += [path for path in folder.iterdir() if path not in self.wanted]
        return sorted(found)
