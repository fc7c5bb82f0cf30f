"""Files that are whole or not there, and that only those can read who should."""

from __future__ import annotations

import grp
import os
import pwd
import shutil
import stat
from collections.abc import Mapping
from pathlib import Path
from typing import NamedTuple

KEEP = "surrogateescape"  # what is not UTF-8 in a file of others stays as it is


class Guard(NamedTuple):
    """Who owns a file, and who may do what with it. Without root's rights, the owner is who we are."""

    mode: int
    user: str = "root"
    group: str | None = None  # None: the user's own

    @property
    def ids(self) -> tuple[int, int]:
        if os.geteuid():
            return os.geteuid(), os.getegid()
        account = pwd.getpwnam(self.user)
        return account.pw_uid, grp.getgrnam(self.group).gr_gid if self.group else account.pw_gid


def read(path: Path) -> str:
    """A file as text. Bytes that are no UTF-8 are there once it is written again."""
    return path.read_bytes().decode(errors=KEEP)


def fault(path: Path, text: str, guard: Guard) -> str | None:
    """What is wrong with a file, in words that show nothing of it. What is no file is never opened."""
    if not os.path.lexists(path):
        return "new"
    return fault_of_guard(path, guard) or _fault_of_text(path, text)


def _fault_of_text(path: Path, text: str) -> str | None:
    return None if path.read_bytes() == text.encode(errors=KEEP) else "changed"


def fault_of_guard(path: Path, guard: Guard) -> str | None:
    found = path.lstat()
    return _fault_of_guard(found, guard) if stat.S_ISREG(found.st_mode) else "not a file of its own"


def faults_of_directories(guards: Mapping[Path, Guard]) -> dict[str, str]:
    """What is wrong with directories, by path; those that are not there yet are new with what is in them."""
    found = {path: _fault_of_guard(path.stat(), guard) for path, guard in guards.items() if path.is_dir()}
    return {str(path): fault for path, fault in found.items() if fault}


def _fault_of_guard(found: os.stat_result, guard: Guard) -> str | None:
    if stat.S_IMODE(found.st_mode) != guard.mode:
        return f"mode {stat.S_IMODE(found.st_mode):04o} → {guard.mode:04o}"
    return None if (found.st_uid, found.st_gid) == guard.ids else f"owner → {guard.user}"


def write(path: Path, text: str, guard: Guard) -> None:
    """Put a file in its place in one step. Until then nobody else can read it."""
    beside = path.with_name(f".{path.name[:100]}.new")
    beside.unlink(missing_ok=True)  # left by a run that was killed
    try:
        with open(os.open(beside, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "wb") as file:
            file.write(text.encode(errors=KEEP))
            file.flush()
            os.fchown(file.fileno(), *guard.ids)
            os.fchmod(file.fileno(), guard.mode)
            os.fsync(file.fileno())
        beside.replace(path)
    finally:
        beside.unlink(missing_ok=True)


def make_directory(path: Path, guard: Guard) -> None:
    path.mkdir(parents=True, exist_ok=True)
    os.chown(path, *guard.ids)
    path.chmod(guard.mode)


def remove(path: Path) -> None:
    shutil.rmtree(path) if path.is_dir() and not path.is_symlink() else path.unlink()
