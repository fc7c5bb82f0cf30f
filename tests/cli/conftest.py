"""What the tests of the command share: a repo of their own."""

import shutil

import pytest
from pillar_repo import TESTS, Repo


@pytest.fixture
def repo(tmp_path):
    """A repo with the example's pillar."""
    shutil.copytree(TESTS.parent / "pillar", tmp_path / "pillar")
    return Repo(tmp_path)
