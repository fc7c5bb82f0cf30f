"""What the tests of the command share: a repo of their own."""

import shutil

import pytest
from pillar_repo import TESTS, Repo


@pytest.fixture
def right(tmp_path):
    """A repo with the pillar that the cases of the corpus are edits of."""
    shutil.copytree(TESTS / "corpus" / "right", tmp_path / "pillar")
    return Repo(tmp_path)


@pytest.fixture
def branch(right):
    """The same under git, on a branch that has just left main."""
    right.git("init", "--quiet", "--initial-branch", "main")
    right.commit()
    right.git("checkout", "--quiet", "-b", "topic")
    return right


@pytest.fixture
def repo(tmp_path):
    """A repo with the example's pillar."""
    shutil.copytree(TESTS.parent / "pillar", tmp_path / "pillar")
    return Repo(tmp_path)
