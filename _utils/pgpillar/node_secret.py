"""The passwords that applications of this node use: made here, one for each user, and never sent anywhere."""

from __future__ import annotations

import re
import secrets
from collections.abc import Collection
from pathlib import Path
from urllib.parse import unquote

from pgpillar import files, lock
from pgpillar.files import Guard
from pgpillar.model import Secret, Trouble
from pgpillar.paths import Paths, file_name

DIRECTORY = Paths().secrets
BYTES = 32
MADE = re.compile(rb"[A-Za-z0-9_-]{43}")  # what so many bytes look like
GUARD, PLACE = Guard(0o600), Guard(0o700)
GONE = "gone, for this node has no pool for it"


def names(directory: str = DIRECTORY) -> list[str]:
    """The users that have a password on this node."""
    place = Path(directory)
    if place.exists() and not place.is_dir():
        raise Trouble(f"{place} is not a directory; passwords of this node are kept in one")
    held = {path.name for path in place.iterdir() if path.is_file()} if place.exists() else set()
    return sorted(unquote(name) for name in held if file_name(unquote(name)) == name)


def faults(users: Collection[str], directory: str = DIRECTORY, others: bool = True) -> dict[str, str]:
    """What ``configure`` would do for users to have a password; ``others``: only they are to have one."""
    left = sorted(set(names(directory)) - set(users)) if others else []
    reasons = {user: fault(user, directory) for user in users}
    new = {user: f"new password, for {reason}" for user, reason in reasons.items() if reason}
    return files.faults_of_directories({Path(directory): PLACE}) | new | dict.fromkeys(left, GONE)


def configure(users: Collection[str], directory: str = DIRECTORY, others: bool = True) -> dict[str, str]:
    """See that users have a password each. Two runs at once make one."""
    with lock.held(Path(directory).parent / "lock"):
        found = faults(users, directory, others)
        if found:
            files.make_directory(Path(directory), PLACE)
        for user in users:
            if user in found:
                make(user, directory)
        for user in found.keys() - set(users):
            forget(user, directory)
        return found


def fault(user: str, directory: str = DIRECTORY) -> str | None:
    """Why the password of a user is to be made anew, if it is: what others could read is no secret."""
    path = _path(user, directory)
    if not path.exists():
        return "there is none yet"
    if path.is_dir():
        raise Trouble(f"{path} is a directory, where a password is to stand; remove it")
    if files.fault_of_guard(path, GUARD):
        return "others could read it"
    return None if MADE.fullmatch(path.read_bytes()) else "it is not as it was made"


def make(user: str, directory: str = DIRECTORY) -> None:
    files.make_directory(Path(directory), PLACE)
    files.write(_path(user, directory), secrets.token_urlsafe(BYTES), GUARD)


def read(user: str, directory: str = DIRECTORY) -> Secret:
    """The password itself, for the states that write it where it is used; empty where none is good."""
    return Secret("" if fault(user, directory) else _path(user, directory).read_text())


def forget(user: str, directory: str = DIRECTORY) -> None:
    _path(user, directory).unlink(missing_ok=True)


def _path(user: str, directory: str) -> Path:
    return Path(directory) / file_name(user)
