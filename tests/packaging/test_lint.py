"""The checks of this repo's own find what they are there to find."""

import subprocess
import sys

import pytest

from devtools import check_names
from devtools.check_cli_examples import check_module

FUNCTION = '''
def read(cluster, user=None, *, deep=False):
    """
    Read it.

    CLI Example:

    .. code-block:: bash

        {commands}
    """
'''


@pytest.fixture
def faults(tmp_path):
    """Return a function that writes a module and returns what the check finds in it."""

    def check(source):
        module = tmp_path / "pg_thing.py"
        module.write_text(source)
        return [fault.removeprefix(f"{module}:") for fault in check_module(module)]

    return check


@pytest.mark.parametrize(
    "command",
    [
        "salt '*' pg_thing.read main",
        "salt-call pg_thing.read main",
        "salt-run pg_thing.read main --out=json",
        "salt-call --local pg_thing.read main user='a b' deep=True",
        "$ salt '*' pg_thing.read \\\\\n            cluster=main",
        "salt '*' pg_thing.read main\n        salt '*' pg_thing.read main wiki",
    ],
)
def test_accepts(faults, command):
    assert faults(FUNCTION.format(commands=command)) == []


@pytest.mark.parametrize(
    ("command", "fault"),
    [
        ("salt '*' pg_thing.write main", "calls pg_thing.write"),
        ("salt '*'", "calls no function"),
        ("salt '*' pg_thing.read", "missing a required argument: 'cluster'"),
        ("salt '*' pg_thing.read main depth=3", "got an unexpected keyword argument 'depth'"),
        ("salt '*' pg_thing.read main wiki deep", "too many positional arguments"),
        ("salt '*' pg_thing.read 'main", "No closing quotation"),
        ("pg_thing.read main", "begins with none of salt, salt-call, salt-run"),
    ],
)
def test_refuses(faults, command, fault):
    assert faults(FUNCTION.format(commands=command)) == [f"2: pg_thing.read: {fault}: {command}"]


@pytest.mark.parametrize(
    "docstring", ["", '"""Read it."""', '"""CLI Example:\n\n    salt pg_thing.read\n    """']
)
def test_refuses_a_function_without_an_example(faults, docstring):
    (fault,) = faults(f"def read():\n    {docstring}\n    return 1\n")
    assert fault == "1: pg_thing.read: has no `CLI Example:` with a command in a code block"


def test_leaves_private_functions_alone(faults):
    assert faults("def _read():\n    return 1\n\n\ndef __virtual__():\n    return True\n") == []


def test_goes_by_the_name_that_salt_gives(faults):
    names = '__virtualname__ = "pg"\n__func_alias__ = {"read": "fetch"}\n'
    assert faults(names + FUNCTION.format(commands="salt '*' pg.fetch main")) == []


@pytest.mark.parametrize(
    "line",
    [
        "https://py" + "pi.org/simple",
        "https://registry.np" + "mjs.org/",
        "http://deb.deb" + "ian.org/debian",
        "pip install --index" + "-url https://example.com/simple salt",
        "cd /ro" + "ot/project",
    ],
)
def test_finds_names_of_one_machine(tmp_path, line):
    path = tmp_path / "file"
    path.write_text(f"first\n{line}\n")
    (fault,) = check_names.check(path)
    assert fault.startswith(f"{path}:2: ")
    assert fault.endswith(line)


def test_leaves_other_names_alone(tmp_path):
    path = tmp_path / "file"
    path.write_text("See https://www.postgresql.org/docs/ and {root}/work/ and /var/lib/postgresql.\n")
    assert list(check_names.check(path)) == []


TWO_TESTS = """
import pytest

@pytest.mark.parametrize("n", [1, 2])
def test_it(n):
    pytest.skip("no server")
"""


def test_what_could_not_run_is_counted(tmp_path):
    (tmp_path / "test_two.py").write_text(TWO_TESTS)
    command = [sys.executable, "-m", "pytest", "-p", "devtools.could_not_run", "-c", "/dev/null", tmp_path]
    said = subprocess.run(command, capture_output=True, text=True).stdout
    assert "COULD NOT RUN: 2 tests" in said
    assert "2 × no server" in said
