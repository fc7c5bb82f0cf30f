"""The wheel is made of the very files that Salt syncs, and is enough by itself."""

import shutil
import subprocess
import sys
import sysconfig
import zipfile
from pathlib import Path

import pytest

PARTS = {
    "_utils/pgpillar": "pgpillar",
    "cli/pgpillar_cli": "pgpillar_cli",
    "_modules": "pgpillar_salt/modules",
    "_output": "pgpillar_salt/output",
    "_runners": "pgpillar_salt/runners",
    "_states": "pgpillar_salt/states",
}


@pytest.fixture(scope="module")
def work(tmp_path_factory):
    return tmp_path_factory.mktemp("wheel")


@pytest.fixture(scope="module")
def wheel(root, work):
    """A wheel built from a copy of the repo, so that building leaves nothing in the repo."""
    keep_out = shutil.ignore_patterns(".*", "__pycache__", "build", "dist", "*.egg-info")
    tree = shutil.copytree(root, work / "tree", symlinks=True, ignore=keep_out)
    run(sys.executable, "-m", "pip", "wheel", *QUIET, "--no-build-isolation", "--wheel-dir", work, tree)
    return next(work.glob("pgpillar-*.whl"))


@pytest.fixture(scope="module")
def clean_python(wheel, work):
    """The python of a new venv that has the wheel, and sees Salt in the site-packages of this one."""
    python = work / "venv" / "bin" / "python"
    run(sys.executable, "-m", "venv", "--without-pip", work / "venv")
    site_packages = python_says(python, "import sysconfig; print(sysconfig.get_path('purelib'))")
    Path(site_packages, "salt.pth").write_text(sysconfig.get_path("purelib"))
    run(sys.executable, "-m", "pip", "--python", python, "install", *QUIET, wheel)
    return python


QUIET = ("--quiet", "--no-deps", "--no-index", "--disable-pip-version-check")


def run(*command):
    done = subprocess.run(command, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def python_says(python, code):
    return run(python, "-I", "-c", code).strip()


def files_below(directory):
    return [path for path in directory.rglob("*") if path.is_file() and "__pycache__" not in path.parts]


def test_holds_the_very_files(wheel, root):
    with zipfile.ZipFile(wheel) as archive:
        packed = {name: archive.read(name) for name in archive.namelist() if ".dist-info/" not in name}
    expected = {
        f"{package}/{path.relative_to(root / part)}": path.read_bytes()
        for part, package in PARTS.items()
        for path in files_below(root / part)
    }
    assert packed == expected


def test_carries_the_version_of_the_core(wheel, clean_python):
    version = python_says(clean_python, "import pgpillar; print(pgpillar.__version__)")
    assert wheel.name == f"pgpillar-{version}-py3-none-any.whl"


def test_core_comes_from_the_wheel(clean_python):
    where = python_says(clean_python, "import pgpillar; print(pgpillar.__file__)")
    assert clean_python.parent.parent in Path(where).parents


def test_brings_the_command(clean_python):
    said = run(clean_python.parent / "pgpillar", "--version")
    assert (
        said
        == f"pgpillar, version {python_says(clean_python, 'import pgpillar; print(pgpillar.__version__)')}\n"
    )


def test_salt_finds_the_modules(clean_python, salt_call):
    assert "pg_access.plan" in salt_call("sys.list_functions", "pg_access", python=clean_python)
    assert "pg_access.converged" in salt_call("sys.list_state_functions", "pg_access", python=clean_python)
    assert "pgpillar.status" in salt_call("sys.list_runner_functions", "pgpillar", python=clean_python)


def test_a_state_runs(clean_python, salt_call):
    pillar = {"postgresql": {"clusters": {"main": {"host": "db.example.internal", "prot": 5432}}}}
    arguments = ("state.single", "pg_access.converged", "name=main", "test=True")
    returned = salt_call(*arguments, python=clean_python, pillar=pillar)
    (state,) = returned.values()
    assert (state["result"], state["changes"]) == (False, {})
    assert "postgresql:clusters:main:prot" in state["comment"]
