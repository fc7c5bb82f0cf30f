"""A set of files that is kept as wanted: what is wrong is written, what nobody wants any more goes."""

from __future__ import annotations

import errno
from collections.abc import Callable, Iterable, Mapping
from functools import partial
from pathlib import Path
from typing import NamedTuple

from pgpillar import files
from pgpillar.files import Guard
from pgpillar.model import Trouble
from pgpillar.screen import visible

OWN = Guard(0o755)
NAMED = 20  # files that do not belong in a folder, and are named one by one


class Found(NamedTuple):
    """What is wrong, by path, and what could not be looked into or mended, by the part's title."""

    changes: dict[str, str]
    failures: dict[str, str]


class Part(NamedTuple):
    """Files of one owner. ``folder`` is theirs alone, and root's: its reader cannot change it."""

    guard: Guard
    texts: Mapping[Path, str]
    folder: Path | None = None

    def faults(self) -> dict[str, str]:
        """What is wrong, by path; nothing of what is in a file is told."""
        found = {str(path): files.fault(path, text, self.guard) for path, text in self.texts.items()}
        told = {path: fault for path, fault in sorted(found.items()) if fault}
        folders = files.faults_of_directories(self._folders(), by_link=False)
        return folders | told | _leaving(self._strangers())

    def mend(self) -> None:
        """The folder comes first: once it is root's, nobody else brings anything into it."""
        for folder, guard in self._folders().items():
            files.make_folder(folder, guard)
        for path in self._strangers():
            files.remove(path)
        for path, text in self.texts.items():
            if files.fault(path, text, self.guard):
                self._make_room(path)
                files.write(path, text, self.guard)

    def _make_room(self, path: Path) -> None:
        if self.folder and path.is_dir():
            files.remove(path)

    def _folders(self) -> dict[Path, Guard]:
        return {self.folder: self.guard.folder()} if self.folder else {}

    def _strangers(self) -> list[Path]:
        return [path for path in _content(self.folder) if path not in self.texts] if self.folder else []


class Keeper:
    """``directory`` is the keeper's own: what is in it is the folder of a part, or goes."""

    def __init__(self, directory: str, parts: Mapping[str, Part]):
        self.directory, self.parts = Path(directory), parts

    def faults(self) -> Found:
        """What is wrong. What cannot be looked into of one part is no fault of another."""
        parts = {name: part.faults for name, part in self.parts.items()}
        return _each({str(self.directory): self._faults, **parts})

    def mend(self) -> dict[str, str]:
        """Mend every part that can be mended; returns the others, and why."""
        if self._has_folders():
            files.make_directory(self.directory, OWN)
        works: dict[str, Callable] = {name: part.mend for name, part in self.parts.items()}
        works |= {visible(path): partial(files.remove, path) for path in self._strangers()}
        return _each(works).failures

    def _faults(self) -> dict[str, str]:
        own = {self.directory: OWN} if self._has_folders() else {}
        return files.faults_of_directories(own) | _leaving(self._strangers())

    def _has_folders(self) -> bool:
        return any(part.folder for part in self.parts.values())

    def _strangers(self) -> list[Path]:
        folders = {part.folder for part in self.parts.values()}
        return [path for path in _content(self.directory) if path not in folders]


def _content(folder: Path) -> list[Path]:
    """What is in a folder, if it is one."""
    return sorted(folder.iterdir()) if folder.is_dir() else []


def _leaving(paths: Iterable[Path]) -> dict[str, str]:
    """What goes. A name is whatever somebody called it, and there may be any number of them."""
    named = [visible(path) for path in paths]
    rest = {f"{len(named) - NAMED} more in {Path(named[0]).parent}": "gone"} if len(named) > NAMED else {}
    return dict.fromkeys(named[:NAMED], "gone") | rest


def _each(works: Mapping[str, Callable]) -> Found:
    """Do each; one that fails keeps no other waiting."""
    found = Found({}, {})
    for name, work in works.items():
        try:
            found.changes.update(work() or {})
        except (OSError, Trouble) as error:
            advice = _ADVICE.get(getattr(error, "errno", None), "")
            found.failures[name] = visible(error) + advice
    return found


_ADVICE = {
    errno.EBUSY: "; something is mounted there: findmnt shows it, umount takes it away",
    errno.EACCES: "; if root may not, something is mounted there: findmnt shows it, umount takes it away",
    errno.EPERM: "; if root may not, an attribute forbids it: lsattr shows it, chattr takes it away",
}
