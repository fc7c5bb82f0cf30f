"""The author of one role's pillar file reaches for what is not the role's: ``check`` refuses each attempt."""

import shutil

import pytest
from pillar_repo import TESTS, Repo


@pytest.fixture
def right(tmp_path):
    """A repo with the pillar that the cases of the corpus are edits of, and one script among its states."""
    shutil.copytree(TESTS / "corpus" / "right", tmp_path / "pillar")
    repo = Repo(tmp_path)
    repo.write("../salt/shop/schema.sql", "CREATE TABLE orders ();")
    return repo


def refusals(repo):
    """What keeps this from being merged: file, path in pillar, and what is wrong."""
    found = [one for one in repo.findings() if one["level"] == "wrong"]
    return {(one["file"].removeprefix("pillar/"), one["path"], one["message"]) for one in found}


# What a database is to run when it is new


def bootstrapping(repo, address):
    repo.replace("postgresql/server.sls", "owner: shop\n", f"owner: shop\n      bootstrap: {address}\n")
    return refusals(repo)


OUT_OF_SALT = {
    ("postgresql/server.sls", "postgresql:databases:shop:bootstrap", "this leads out of salt/"),
}


@pytest.mark.parametrize("way", ["../pillar/roles.yaml", "shop/../../pillar/roles.yaml"])
def test_a_script_above_salt(right, way):
    assert bootstrapping(right, f"salt://{way}") == OUT_OF_SALT


@pytest.mark.parametrize("target", ["pillar/dev/secrets/postgresql-admin.sls", "/etc/hostname"])
def test_a_script_that_is_a_link_to_secrets_or_out_of_the_repo(right, target):
    (right.root / "salt" / "shop" / "mine.sql").symlink_to(right.root / target)
    assert bootstrapping(right, "salt://shop/mine.sql") == OUT_OF_SALT


def test_a_link_to_another_directory_of_the_repo_is_no_attack(right):
    right.write("../sql/orders.sql", "CREATE TABLE orders ();")
    (right.root / "salt" / "shop" / "mine.sql").symlink_to(right.root / "sql" / "orders.sql")
    assert bootstrapping(right, "salt://shop/mine.sql") == set()


# Secrets in files that everybody sees


@pytest.mark.parametrize("environment", ["dev", "prod"])
def test_the_gossip_key_of_consul_in_a_public_file(right, environment):
    right.replace(f"{environment}/top.sls", "[postgresql.*]", "[postgresql.*, consul]")
    right.write(f"{environment}/consul.sls", "consul: {leader: db-1, key: bm8tc2VjcmV0LWluLWRldg==}\n")
    file = f"{environment}/consul.sls"
    message = f"a secret stands in pillar/{file}, which is not for secrets"
    assert refusals(right) == {(file, "consul:key", message)}
