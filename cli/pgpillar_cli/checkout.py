"""Pillar as it stands in another commit of the repo."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory

from pgpillar_cli.place import Place, PlaceError

GIT = ("git", "-c", "safe.directory=*")  # in CI, the checkout often belongs to somebody else


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
        done = subprocess.run(command, capture_output=True, text=True, env=os.environ | environment)
    except FileNotFoundError:
        raise PlaceError("git is not installed, which knows what there was before; install git") from None
    if done.returncode:
        said = done.stderr.strip() or "there is no commit that both come from"
        fix = "name another base, or fetch the whole history"
        raise PlaceError(f"git {' '.join(arguments)}: {said}; {fix}")
    return done.stdout
