"""The example under pillar/, compiled by Salt as a master would, and converged."""

import json
import subprocess
import sys
from pathlib import Path

import pytest
import yaml

from pgpillar import node

PILLAR = Path(__file__).resolve().parents[2] / "pillar"
# In a process of its own, for salt-call prints asterisks for the values of pillar
COMPILE = """
import json, sys, salt.config, salt.pillar
path, minion = sys.argv[1:]
pillar = salt.pillar.get_pillar(salt.config.minion_config(path), {"id": minion}, minion, "base")
print(json.dumps(pillar.compile_pillar()))
"""
APPS = {"reporting-1": {"analyst"}, "shop-1": {"shop_app"}, "wiki-1": {"wiki"}}


def options(environment, directory):
    return {
        "id": "example",
        "root_dir": str(directory),
        "file_client": "local",
        "pillar_roots": {"base": [str(PILLAR / environment), str(PILLAR)]},
        "pillar_safe_render_error": False,
        "gpg_decrypt_must_succeed": False,
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


def passwords(tree):
    return {name: user["password"] for name, user in tree["users"].items() if "password" in user}


def test_dev_converges(compiled, hosted):
    tree = compiled("dev", "db-admin-1")["postgresql"]
    changed = hosted.settle(tree["databases"], tree["users"], tree["groups"])
    assert set(changed["databases"]) == set(tree["databases"])


@pytest.mark.parametrize("environment", ["dev", "prod"])
def test_each_minion_sees_the_passwords_of_its_own_roles(compiled, environment):
    everything = compiled(environment, "db-admin-1")["postgresql"]
    assert set(passwords(everything)) == {"shop"}.union(*APPS.values())
    for minion, users in APPS.items():
        tree = compiled(environment, minion)["postgresql"]
        assert set(passwords(tree)) == users
        assert "password" not in tree["clusters"]["main"]["admin"]


@pytest.mark.parametrize("minion", APPS)
def test_each_application_gets_its_pool(compiled, minion):
    pools = node.read(compiled("dev", minion)["postgresql"]).pools
    assert {pool.user for pool in pools.values()} == APPS[minion]


def test_a_minion_without_a_role_sees_nothing(compiled):
    assert compiled("dev", "another-node") == {}


def test_each_secret_stands_once():
    for environment in ("dev", "prod"):
        files = [
            yaml.safe_load(file.read_text())
            for file in (PILLAR / environment).rglob("postgresql-users/*.sls")
        ]
        names = [name for file in files for name in file["postgresql"]["users"]]
        assert len(names) == len(set(names))


def test_prod_is_encrypted(compiled):
    tree = compiled("prod", "db-admin-1")["postgresql"]
    secrets = [*passwords(tree).values(), tree["clusters"]["main"]["admin"]["password"]]
    assert all(secret.startswith("-----BEGIN PGP MESSAGE-----\n") for secret in secrets)
