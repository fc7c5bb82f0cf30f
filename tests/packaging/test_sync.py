"""The core is importable from synced modules, however Salt is told where they are."""

import pytest

PROBE = "import pgpillar\n\n\ndef where():\n    return pgpillar.__file__\n"
STATE = """
probe:
  test.configurable_test_state:
    - changes: false
    - comment: {{ salt['probe.where']() }}
"""


@pytest.fixture
def states(tmp_path):
    """A state tree with a module that imports the core and a state that calls it."""
    directory = tmp_path / "states"
    (directory / "_modules").mkdir(parents=True)
    (directory / "_modules" / "probe.py").write_text(PROBE)
    (directory / "probe.sls").write_text(STATE)
    (directory / "top.sls").write_text("base: {'*': [probe]}\n")
    return directory


def test_first_highstate_of_a_masterless_minion(states, root, salt_call, tmp_path):
    returned = salt_call("state.highstate", file_roots=[states, root / "salt"])
    (state,) = returned.values()
    assert state["comment"] == f"{synced(tmp_path)}/pgpillar/__init__.py"


def test_module_dirs_on_the_command_line(states, root, salt_call):
    where = salt_call("-m", root, "-m", states, "probe.where")
    assert where == f"{root}/_utils/pgpillar/__init__.py"


def synced(tmp_path):
    return tmp_path / "minion" / "var" / "cache" / "salt" / "minion" / "extmods" / "utils"
