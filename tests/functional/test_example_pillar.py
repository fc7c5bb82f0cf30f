"""The example under pillar/, compiled by Salt as a master would, and converged."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

PILLAR = Path(__file__).resolve().parents[2] / "pillar"
# In a process of its own, for salt-call prints asterisks for the values of pillar
COMPILE = """
import json, sys, salt.config, salt.pillar
path, minion = sys.argv[1:]
pillar = salt.pillar.get_pillar(salt.config.minion_config(path), {"id": minion}, minion, "base")
print(json.dumps(pillar.compile_pillar()))
"""


def options(environment, directory):
    return {
        "id": "example",
        "root_dir": str(directory),
        "file_client": "local",
        "pillar_roots": {"base": [str(PILLAR / environment), str(PILLAR)]},
        "pillar_safe_render_error": False,
    }


@pytest.fixture
def compiled(tmp_path):
    """Return a function that compiles the pillar of an environment for a minion."""

    def compiled(environment, minion):
        configuration = tmp_path / "minion"
        configuration.write_text(json.dumps(options(environment, tmp_path)))
        command = [sys.executable, "-c", COMPILE, configuration, minion]
        return json.loads(subprocess.run(command, check=True, capture_output=True).stdout)

    return compiled


def test_dev_converges(compiled, hosted):
    tree = compiled("dev", "db-admin-1")["postgresql"]
    changed = hosted.settle(tree["databases"], tree["users"], tree["groups"])
    assert set(changed["databases"]) == set(tree["databases"])


def test_only_the_administering_node_sees_passwords(compiled):
    assert compiled("dev", "another-node") == {}


def test_prod_says_which_secrets_are_missing(compiled):
    told = compiled("prod", "db-admin-1")["_errors"]
    assert any("secrets.postgresql-admin" in error for error in told)
    assert any("secrets.postgresql-users.*" in error for error in told)


def test_prod_has_what_dev_has_but_no_secret():
    assert (PILLAR / "prod/top.sls").read_text() == (PILLAR / "dev/top.sls").read_text()
    assert not list((PILLAR / "prod/secrets").rglob("*.sls"))
