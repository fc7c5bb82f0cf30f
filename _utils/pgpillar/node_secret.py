"""The passwords that applications of this node use: made here, one for each user, and never sent anywhere."""

from __future__ import annotations

import secrets
from pathlib import Path
from urllib.parse import unquote

from pgpillar import files, lock
from pgpillar.files import Guard
from pgpillar.model import Secret
from pgpillar.paths import Paths, file_name

DIRECTORY = Paths().secrets
BYTES = 32
GUARD = Guard(0o600)


def names(directory: str = DIRECTORY) -> list[str]:
    """The users that have a password on this node."""
    place = Path(directory)
    found = place.iterdir() if place.exists() else ()
    return sorted(unquote(path.name) for path in found if not path.name.startswith("."))


def fault(user: str, directory: str = DIRECTORY) -> str | None:
    """Why the password of a user is to be made anew, if it is: what others could read is no secret."""
    path = _path(user, directory)
    if not path.exists():
        return "there is none yet"
    if files.fault_of_guard(path, GUARD):
        return "others could read it"
    return None if len(path.read_bytes()) >= BYTES else "it was cut short"


def make(user: str, directory: str = DIRECTORY) -> None:
    path = _path(user, directory)
    files.make_directory(path.parent, Guard(0o700))
    files.write(path, secrets.token_urlsafe(BYTES), GUARD)


def mend(user: str, directory: str = DIRECTORY) -> bool:
    """Make a password that is no good anew; two at once make one."""
    with lock.held(Path(directory).parent / "lock"):
        if not fault(user, directory):
            return False
        make(user, directory)
        return True


def read(user: str, directory: str = DIRECTORY) -> Secret:
    """The password itself, for the states that write it where it is used; empty where there is none yet."""
    path = _path(user, directory)
    return Secret(path.read_text() if path.exists() else "")


def forget(user: str, directory: str = DIRECTORY) -> None:
    _path(user, directory).unlink(missing_ok=True)


def _path(user: str, directory: str) -> Path:
    return Path(directory) / file_name(user)
