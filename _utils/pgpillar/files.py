"""Files that are whole or not there, and that only those can read who should.

A directory may belong to somebody else, who changes it meanwhile. So no link in it is followed, only regular
files are opened, and a directory that is changed is opened once and then used by its number.
"""

from __future__ import annotations

import errno
import grp
import os
import pwd
import secrets
import stat
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import NamedTuple

from pgpillar.model import Trouble

KEEP = "surrogateescape"  # what is not UTF-8 in a file of others stays as it is
SPECIAL = "not a file of its own"
NEW = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC
ACLS = ("system.posix_acl_access", "system.posix_acl_default")


class Guard(NamedTuple):
    """Who owns a file, and who may do what with it. Without root's rights, the owner is who we are."""

    mode: int
    user: str = "root"
    group: str | int | None = None  # None: the user's own

    @property
    def ids(self) -> tuple[int, int]:
        if os.geteuid():
            return os.geteuid(), os.getegid()
        account = _account(self.user)
        return account.pw_uid, account.pw_gid if self.group is None else _group_id(self.group)

    def folder(self) -> Guard:
        """Of a directory for files of this user: root's own, so that its user can change nothing in it.

        The user may list it. Who runs as the user, and in another group, can still open the files.
        """
        return Guard(0o751, "root", None if os.geteuid() else _account(self.user).pw_gid)


def _account(user: str) -> pwd.struct_passwd:
    try:
        return pwd.getpwnam(user)
    except KeyError:
        raise Trouble(
            f"there is no system user {user!r} on this node; let a state make it before this one"
        ) from None


def _group_id(group: str | int) -> int:
    return group if isinstance(group, int) else grp.getgrnam(group).gr_gid


def read(path: Path, errors: str = KEEP, by_link: bool = True) -> str:
    """A regular file as text. Bytes that are no UTF-8 are there once it is written again."""
    return _bytes(path, flags=0 if by_link else os.O_NOFOLLOW).decode(errors=errors)


def _bytes(path: Path, most: int = -1, flags: int = 0) -> bytes:
    """What is in a regular file. Nothing keeps us waiting: no pipe, and no lease of the file's owner."""
    with open(os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC | flags), "rb") as file:
        if not stat.S_ISREG(os.fstat(file.fileno()).st_mode):
            raise OSError(errno.EINVAL, "this is not a regular file", str(path))
        return file.read(most)


def fault(path: Path, text: str, guard: Guard) -> str | None:
    """What is wrong with a file, in words that show nothing of it. Only a regular file is opened."""
    try:
        return fault_of_guard(path, guard) or _fault_of_text(path, text)
    except (FileNotFoundError, NotADirectoryError):
        return "new"


def _fault_of_text(path: Path, text: str) -> str | None:
    """No more is read than there is to be: its owner may have made the file of any size."""
    wanted = text.encode(errors=KEEP)
    try:
        return None if _bytes(path, len(wanted) + 1, os.O_NOFOLLOW) == wanted else "changed"
    except BlockingIOError:
        return "kept from being read by its owner"


def fault_of_guard(path: Path, guard: Guard) -> str | None:
    found = path.lstat()
    return _fault_of_guard(found, guard) if stat.S_ISREG(found.st_mode) else SPECIAL


def faults_of_directories(guards: Mapping[Path, Guard], by_link: bool = True) -> dict[str, str]:
    """What is wrong with directories, by path; those that are not there yet are new with what is in them."""
    found = {path: _fault_of_directory(path, guard, by_link) for path, guard in guards.items()}
    return {str(path): fault for path, fault in found.items() if fault}


def _fault_of_directory(path: Path, guard: Guard, by_link: bool) -> str | None:
    try:
        found = path.stat(follow_symlinks=by_link)
    except (FileNotFoundError, NotADirectoryError):
        return None
    return _fault_of_guard(found, guard) if stat.S_ISDIR(found.st_mode) else "not a directory of its own"


def _fault_of_guard(found: os.stat_result, guard: Guard) -> str | None:
    if stat.S_IMODE(found.st_mode) != guard.mode:
        return f"mode {stat.S_IMODE(found.st_mode):04o} → {guard.mode:04o}"
    user, group = guard.ids
    if found.st_uid != user:
        return f"owner → {guard.user}"
    return None if found.st_gid == group else f"group → {_group_name(group)}"


def _group_name(group: int) -> str:
    try:
        return grp.getgrgid(group).gr_name
    except KeyError:
        return str(group)


def write(path: Path, text: str, guard: Guard) -> None:
    """Put a file in its place in one step. Until then nobody else can read it."""
    beside = f".{path.name[:100]}.new"
    with _directory(path.parent) as place:
        with suppress(FileNotFoundError):  # unless a run was killed
            _remove(beside, place)
        number = os.open(beside, NEW, 0o600, dir_fd=place)
        try:
            with open(number, "wb") as file:
                _fill(file, text, guard)
            os.replace(beside, path.name, src_dir_fd=place, dst_dir_fd=place)
        except BaseException:
            os.unlink(beside, dir_fd=place)
            raise


def _fill(file, text: str, guard: Guard) -> None:
    file.write(text.encode(errors=KEEP))
    file.flush()
    os.fchown(file.fileno(), *guard.ids)
    os.fchmod(file.fileno(), guard.mode)
    os.fsync(file.fileno())


def link(path: Path, target: str | Path) -> None:
    """Let a path lead elsewhere, in one step; a directory in its place goes before."""
    beside = path.with_name(f".{path.name}.new")
    if os.path.lexists(beside):  # a run was killed
        remove(beside)
    if path.is_dir() and not path.is_symlink():
        remove(path)
    beside.symlink_to(target)
    beside.replace(path)


def make_directory(path: Path, guard: Guard, by_link: bool = True) -> None:
    """A directory that is as asked for, whoever had it before.

    ``by_link``: a link may lead to it, for nobody but root can have made one there.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    with suppress(FileExistsError):
        path.mkdir(mode=0o700)
    with _directory(path, 0 if by_link else os.O_NOFOLLOW) as number:
        _take_over(number, guard)


def make_folder(path: Path, guard: Guard) -> None:
    """A directory in one of our own; anything else in its place goes."""
    if os.path.lexists(path) and not stat.S_ISDIR(path.lstat().st_mode):
        remove(path)
    make_directory(path, guard, by_link=False)


def _take_over(number: int, guard: Guard) -> None:
    """Rights that its former owner gave away go as well; once it owns nothing, it can give none anew."""
    os.fchown(number, *guard.ids)
    for acl in ACLS:
        with suppress(OSError):  # where there is none, or the disk knows none
            os.removexattr(number, acl)
    os.fchmod(number, guard.mode)


def remove(path: Path) -> None:
    """Remove a file, or a whole directory: however deep, and while its owner adds to it."""
    with _directory(path.parent) as place:
        _remove(path.name, place)


def _remove(name: str, place: int) -> None:
    if _is_gone(name, place):
        return
    with _directory(name, os.O_NOFOLLOW, place) as top:
        waiting = _emptied(top, top)
        while waiting:
            inner = waiting.pop()
            with _directory(inner, os.O_NOFOLLOW, top) as number:
                waiting += _emptied(number, top)
            os.rmdir(inner, dir_fd=top)
    os.rmdir(name, dir_fd=place)


def _is_gone(name: str, place: int) -> bool:
    """Remove a file or an empty directory; whether that was one. Where something is mounted, it refuses."""
    try:
        os.unlink(name, dir_fd=place)
    except IsADirectoryError:
        try:
            os.rmdir(name, dir_fd=place)
        except OSError as error:
            if error.errno not in (errno.ENOTEMPTY, errno.EEXIST):
                raise
            return False
    return True


def _emptied(directory: int, top: int) -> list[str]:
    """Empty a directory. What has to be emptied itself moves to the top, so that nothing is deep."""
    _take_over(directory, Guard(0o700))
    full = [name for name in os.listdir(directory) if not _is_gone(name, directory)]
    moved = [f".{secrets.token_hex(8)}" for _ in full]
    for name, new in zip(full, moved, strict=True):
        os.rename(name, new, src_dir_fd=directory, dst_dir_fd=top)
    return moved


@contextmanager
def _directory(path: str | Path, flags: int = 0, place: int | None = None) -> Iterator[int]:
    number = os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC | flags, dir_fd=place)
    try:
        yield number
    finally:
        os.close(number)
