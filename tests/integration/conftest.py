"""A real master and a real minion, on the repo's own state tree and a pillar of the test's."""

import shutil
import tempfile
from pathlib import Path

import pytest

REPO = Path(__file__).parents[2]
PATIENCE = 120  # seconds that a call may take on a machine that is busy


@pytest.fixture(scope="session")
def salt_root():
    """A short path, for Salt's sockets."""
    directory = Path(tempfile.mkdtemp(prefix="pgp-", dir="/tmp"))
    yield directory
    shutil.rmtree(directory)


@pytest.fixture(scope="session")
def salt_factories_config(salt_root):
    return {"root_dir": str(salt_root), "log_server_host": "127.0.0.1"}


@pytest.fixture(scope="session")
def tree(salt_root):
    """A copy of the state tree that a test may edit, as a team edits its own."""
    tree = salt_root / "tree"
    for name in ("salt", "pillar", "_modules", "_output", "_runners", "_states", "_utils"):
        shutil.copytree(REPO / name, tree / name, symlinks=True, ignore=shutil.ignore_patterns("__pycache__"))
    return tree


@pytest.fixture(scope="session")
def pillar_dir(salt_root):
    directory = salt_root / "pillar"
    directory.mkdir()
    (directory / "top.sls").write_text("base: {'*': [postgresql]}\n")
    (directory / "postgresql.sls").write_text("postgresql: {}\n")
    return directory


@pytest.fixture(scope="session")
def master(salt_factories, tree, pillar_dir):
    roots = {"file_roots": {"base": [str(tree / "salt")]}, "pillar_roots": {"base": [str(pillar_dir)]}}
    kinds = {"runner": "_runners", "outputter": "_output", "utils": "_utils"}
    found = {f"{kind}_dirs": [str(tree / directory)] for kind, directory in kinds.items()}
    factory = salt_factories.salt_master_daemon("master", overrides={**roots, **found, "open_mode": True})
    with factory.started():
        yield factory


@pytest.fixture(scope="session", params=["processes", "threads"])
def minion(request, master):
    """A minion that runs its jobs as usual, and one that keeps all it has imported."""
    overrides = {"multiprocessing": request.param == "processes"}
    factory = master.salt_minion_daemon(f"minion-{request.param}", overrides=overrides)
    with factory.started():
        yield factory


@pytest.fixture
def call(master, minion):
    """Run a function on the minion, from the master, and give what it returned."""
    client = master.salt_cli(timeout=PATIENCE)

    def run(*arguments, **options):
        return client.run(*arguments, minion_tgt=minion.id, **options).data

    return run
