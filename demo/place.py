"""Where the demo keeps all it has: ``.demo``, or what ``.demo`` points to."""

import fcntl
import os
import shutil
import tempfile
from contextlib import contextmanager
from pathlib import Path

from devtools import postgres
from devtools.embedded import Failed

ROOT = Path(__file__).resolve().parent.parent
NAME = ".demo"
LONGEST_SOCKET = "app-1/var/run/postgresql/.s.PGSQL.65535"


def find(parent=ROOT):
    """Return the demo's directory. A new one is elsewhere if this one would not do."""
    place = Path(parent, NAME)
    if place.is_symlink() and not _is_ours(place):
        place.unlink()
    if not place.exists():
        _make(place)
    return place.resolve()


def _is_ours(link):
    return link.is_dir() and link.stat().st_uid == os.geteuid()


def _make(place):
    obstacle = _obstacle(place)
    if not obstacle:
        place.mkdir()
        return
    elsewhere = Path(tempfile.mkdtemp(prefix="pgpillar-demo-", dir="/var/tmp"))
    elsewhere.chmod(0o755)
    place.symlink_to(elsewhere)
    print(f"{obstacle}, so {NAME} leads to {elsewhere}")


def _obstacle(place):
    user = postgres.server_user().pw_name
    if not postgres.enterable(place, user):
        return f"user {user}, who runs the server, cannot enter {place.parent}"
    if len(os.fsencode(place / LONGEST_SOCKET)) > postgres.LONGEST_SOCKET:
        return f"the path of {place.parent} is too long for sockets"
    return None


@contextmanager
def locked(place):
    """Keep a second demo out for as long as this one is at work."""
    directory = os.open(place, os.O_RDONLY)
    try:
        fcntl.flock(directory, fcntl.LOCK_EX | fcntl.LOCK_NB)
        yield place
    except BlockingIOError:
        raise Failed(f"another demo is at work in {place}; wait for it, or end it") from None
    finally:
        os.close(directory)


def exists(parent=ROOT):
    """Say whether there is anything of the demo."""
    return os.path.lexists(Path(parent, NAME))


def remove(parent=ROOT):
    """Delete the demo's directory, and the link to it where there is one."""
    place = Path(parent, NAME)
    if place.exists():
        shutil.rmtree(place.resolve())
    if place.is_symlink():
        place.unlink()
