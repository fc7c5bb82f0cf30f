"""Copies of the tree in which the demo runs for real, each with a ``.demo`` of its own."""

import shutil
import subprocess
import sys
import tempfile
from contextlib import contextmanager
from pathlib import Path

import pytest

from demo import place, run
from demo.node import NAMES, Node

ROOT = Path(__file__).resolve().parents[2]
TREES = ("_modules", "_states", "_utils", "cli", "demo", "devtools", "pillar", "salt")


class Copy:
    """A copy of what the demo needs of the tree."""

    def __init__(self, root):
        self.root, self.demo = root, root / place.NAME
        for tree in TREES:
            shutil.copytree(
                ROOT / tree, root / tree, symlinks=True, ignore=shutil.ignore_patterns("__pycache__")
            )

    def run(self, *verb):
        """Run the demo, and return the finished process."""
        return subprocess.run(self.command(*verb), cwd=self.root, capture_output=True, text=True, check=False)

    def command(self, *verb):
        return [sys.executable, "-B", "-m", "demo", *verb]

    def shown(self):
        """Run the demo, which must succeed, and return what it prints."""
        done = self.run()
        assert done.returncode == 0, done.stderr
        return done.stdout

    @property
    def server(self):
        return run.open_server(self.demo.resolve())

    @property
    def nodes(self):
        return [Node(self.demo.resolve(), name) for name in NAMES]

    def file(self, name):
        return self.demo / "pillar" / name


@contextmanager
def copies():
    """Give a function that makes a copy in a directory of this mode. They go at the end of the block."""
    made = []

    def make(mode=0o755):
        root = Path(tempfile.mkdtemp(prefix="pgpillar-test-", dir="/tmp"))
        root.chmod(mode)
        made.append(Copy(root))
        return made[-1]

    try:
        yield make
    finally:
        for copy in made:
            copy.run("clean")
            shutil.rmtree(copy.root)


@pytest.fixture
def make_copy():
    """Return a function that makes a copy for this test alone."""
    with copies() as make:
        yield make


@pytest.fixture(scope="module")
def copy():
    """A copy whose demo ran once; what it printed is in ``first``."""
    with copies() as make:
        copy = make()
        copy.first = copy.shown()
        yield copy
