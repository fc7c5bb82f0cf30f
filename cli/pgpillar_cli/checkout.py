"""Pillar as it stands in another commit of the repo."""

from __future__ import annotations

import os
import re
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory

from pgpillar_cli.place import Place, PlaceError

GIT = ("git", "-c", "safe.directory=*")  # in CI, the checkout often belongs to somebody else


IN_ENGLISH = {"LC_ALL": "C"}  # what git says is looked into


@contextmanager
def base_of(place: Place, base: str) -> Iterator[tuple[Place, str]]:
    """The pillar where what is checked out here left ``base``, and the name of that commit."""
    commit = _git(place.root, "merge-base", "--end-of-options", base, "HEAD").strip()
    top, within = _git(place.root, "rev-parse", "--show-toplevel", "--show-prefix").splitlines()
    with TemporaryDirectory(prefix="pgpillar-") as directory:
        _lay_out(Path(top), commit, Path(directory))
        yield Place(Path(directory) / within), commit


def _lay_out(top: Path, commit: str, directory: Path) -> None:
    """All files of a commit, for links may lead anywhere. What is checked out here has no part in it."""
    with TemporaryDirectory(prefix="pgpillar-") as beside:
        index = {"GIT_INDEX_FILE": str(Path(beside) / "index")}
        _git(top, "read-tree", commit, **index)
        _git(top, "checkout-index", "--all", f"--prefix={directory}/", **index)


def _git(where: Path, *arguments: str, **environment: str) -> str:
    try:
        command = [*GIT, "-C", where, *arguments]
        done = subprocess.run(
            command, capture_output=True, text=True, env=os.environ | IN_ENGLISH | environment
        )
    except FileNotFoundError:
        raise PlaceError("git is not installed, which knows what there was before; install git") from None
    if done.returncode:
        raise PlaceError(_told(done.stderr.strip()) or f"git {' '.join(arguments)}: {done.stderr.strip()}")
    return done.stdout


_SAID = (  # by git, what that means, and what would be right
    (r"not a git repository", "this is no git repository, so nothing tells what changed; clone one"),
    (
        r"Not a valid object name ?(.*)",
        "there is no branch or commit {!r} here; name another with --base, or fetch it",
    ),
    (r"^$", "the base and this branch come from no common commit; fetch the whole history"),
)


def _told(said: str) -> str | None:
    found = ((re.search(pattern, said), told) for pattern, told in _SAID)
    return next((told.format(*match.groups()) for match, told in found if match), None)
