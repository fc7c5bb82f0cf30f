"""Pillar as it stands in another commit of the repo."""

from __future__ import annotations

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
    commit = _git(place, "merge-base", base, "HEAD").decode().strip()
    with TemporaryDirectory(prefix="pgpillar-") as directory:
        (Path(directory) / "pillar").mkdir()
        if _git(place, "ls-tree", commit, "pillar"):
            archive = _git(place, "archive", commit, "pillar")
            subprocess.run(["tar", "-x", "-C", directory], input=archive, check=True)
        yield Place(Path(directory)), commit


def _git(place: Place, *arguments: str) -> bytes:
    done = subprocess.run([*GIT, "-C", place.root, *arguments], capture_output=True)
    if done.returncode:
        said = done.stderr.decode(errors="replace").strip() or "there is no commit that both come from"
        fix = "name another base, or fetch the whole history"
        raise PlaceError(f"git {arguments[0]} {' '.join(arguments[1:])}: {said}; {fix}")
    return done.stdout
