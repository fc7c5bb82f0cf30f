"""What the tests of the packaging share: a masterless minion of their own, and a way to call it."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
SALT_CALL = "import sys; from salt.scripts import salt_call; sys.exit(salt_call())"


@pytest.fixture(scope="session")
def root():
    """The repo."""
    return ROOT


@pytest.fixture
def salt_call(tmp_path):
    """Return a function that runs salt-call on a fresh masterless minion and returns what it returned."""

    def call(*arguments, python=sys.executable, file_roots=(), pillar=()):
        write_pillar(tmp_path / "pillar", pillar)
        config = {
            "id": "packaging",
            "root_dir": str(tmp_path / "minion"),
            "file_client": "local",
            "file_roots": {"base": [str(path) for path in file_roots]},
            "pillar_roots": {"base": [str(tmp_path / "pillar")]},
        }
        (made(tmp_path / "conf") / "minion").write_text(json.dumps(config))
        command = [python, "-c", SALT_CALL, "--local", "-c", tmp_path / "conf", "--out", "json", *arguments]
        done = subprocess.run(command, cwd=tmp_path, env=bare_environment(), capture_output=True, text=True)
        assert done.stdout.startswith("{"), done.stdout + done.stderr
        return json.loads(done.stdout)["local"]

    return call


def write_pillar(directory, pillar):
    (made(directory) / "top.sls").write_text("base: {'*': [given]}")
    (directory / "given.sls").write_text(json.dumps(dict(pillar)))


def made(directory):
    directory.mkdir(exist_ok=True)
    return directory


def bare_environment():
    """The environment without what could bring the repo's own files onto the path."""
    return {name: value for name, value in os.environ.items() if not name.startswith("PYTHON")}
