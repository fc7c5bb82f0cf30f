"""What ``salt-run pgpillar`` tells, through a real master, of real servers and a real pgbouncer."""

import contextlib
import re
import subprocess
import sys
from functools import partial

import pytest
import yaml

from devtools import postgres
from tests.functional.conftest import HOST
from tests.integration.conftest import PATIENCE
from tests.integration.test_mine import converge, declared, node, pair  # noqa: F401

SECRETS = ["secret", "another-one"]  # what the application has, and gets
ROLES = {"db-*": ["db-server"], "app-*": ["shop"], "salt-master": ["ca"]}


@pytest.fixture
def administered(pair, declared, pillar_dir, tree):  # noqa: F811
    """Pillar in which db-1 administers the cluster, and roles for the minions."""
    admin = {"user": "postgres", "password": pair.first.password, "minion": "db-1"}
    main = {"admin": admin, "hostaddr": "127.0.0.1"}
    (pillar_dir / "admin.sls").write_text(yaml.safe_dump({"postgresql": {"clusters": {"main": main}}}))
    (pillar_dir / "top.sls").write_text("base: {'*': [postgresql], db-1: [admin]}\n")
    (tree / "salt" / "roles.yaml").write_text(yaml.safe_dump(ROLES))
    yield
    (pillar_dir / "top.sls").write_text("base: {'*': [postgresql]}\n")


@pytest.fixture
def minions(master, node, administered):  # noqa: F811
    """The minions that run, by name, each with a directory of its own that stands for /."""
    roots = {
        name: str(node.root if name == "app-1" else node.root / name) for name in ("app-1", "db-1", "db-2")
    }
    running = {
        name: master.salt_minion_daemon(name, overrides={"pgpillar_root": root})
        for name, root in roots.items()
    }
    with contextlib.ExitStack() as stack:
        for minion in running.values():
            stack.enter_context(minion.started())
        yield running


@pytest.fixture
def ask(master, minions):
    """Run a function on a minion, from the master."""
    client = master.salt_cli(timeout=PATIENCE)

    def run(minion, *arguments, **options):
        return client.run(*arguments, minion_tgt=minion, **options).data

    for name in minions:
        run(name, "saltutil.sync_all")
    return run


@pytest.fixture
def run(master):
    """What salt-run returns, as data; no secret is in it."""
    client = master.salt_run_cli(timeout=PATIENCE)

    def run(*command):
        told = client.run(*command)
        assert told.returncode == told.data["retcode"]
        assert not set(SECRETS) & set(re.findall(r"[\w-]+", told.stdout + told.stderr))
        return told.data

    return run


def name_of_the_replica(pair, name):  # noqa: F811
    """Let the replica come in under a name, as pgpillar's own do."""
    ((way,),) = pair.second.query("select current_setting('primary_conninfo')", over="tls")
    pair.second.query(
        "alter system set primary_conninfo = %s", (f"{way} application_name={name}",), over="tls"
    )
    pair.second.reload()


def as_people_see_it(master, function, returncode):
    """What salt-run prints if nobody says how, to what is no terminal."""
    command = [sys.executable, "-c", "from salt.scripts import salt_run; salt_run()"]
    done = subprocess.run([*command, "-c", master.config_dir, function], capture_output=True, text=True)
    print(done.stdout)
    assert done.returncode == returncode, done.stderr
    assert not set(SECRETS) & set(re.findall(r"[\w-]+", done.stdout + done.stderr))
    assert "\x1b" not in done.stdout
    return done.stdout


@contextlib.contextmanager
def new_password(pillar_dir):
    """Another password of the application's in pillar, until the block ends."""
    file = pillar_dir / "postgresql.sls"
    before = file.read_text()
    assert SECRETS[0] in before
    file.write_text(before.replace(f"password: {SECRETS[0]}", f"password: {SECRETS[1]}"))
    yield
    file.write_text(before)


def leading(told):
    return {name: pool["leads_to"] for name, pool in told["nodes"]["app-1"]["pools"].items()}


def test_everything_is_told(pair, node, minions, ask, converge, run, master, pillar_dir):  # noqa: F811
    status, logins = partial(run, "pgpillar.status"), partial(run, "pgpillar.logins")
    name_of_the_replica(pair, "db-2")
    converge("db-1", "db-2")
    node.start()
    assert not ask("db-1", "pg_access.apply")["failures"]

    told = status()
    assert (told["wrong"], told["to_do"], told["silent"]) == ({}, {}, {})
    main = told["clusters"]["main"]
    assert (main["primaries"], main["strangers"]) == (["db-1"], [])
    assert main["servers"]["db-2"]["behind"]["state"] == "streaming"
    assert main["admins"]["db-1"]["certificate"]["names"] == ["db-1.example.internal", HOST]
    assert main["admins"]["db-1"]["certificate"]["days_left"] > 14
    assert leading(told) == {"shop": ["db-1"], "shop_ro": ["db-2"]}
    assert told["nodes"].keys() == {"app-1"}

    shown = as_people_see_it(master, "pgpillar.status", returncode=0)
    assert "db-2   replica of main" in shown
    assert "All is well." in shown

    # Who gets in where, also while a new password stands in pillar alone
    told = logins()
    assert {row["user"]: row["login"] for row in told["logins"]} == {"shop_app": "ok"}
    assert sorted(row["role"] for row in told["logins"]) == ["primary", "replica"]
    with new_password(pillar_dir):
        told = logins()
        assert ["password authentication failed" in row["login"] for row in told["logins"]] == [True, True]
        assert "refused" in as_people_see_it(master, "pgpillar.logins", returncode=1)
        assert not ask("db-1", "pg_access.apply")["failures"]
        postgres.wait_for(lambda: logins()["wrong"] == {}, "the new password is not in effect", PATIENCE)
    assert not ask("db-1", "pg_access.apply")["failures"]

    # By hand, a grant is taken away on the server, and a file of the node is changed
    pair.first.query("revoke connect on database shop from shop_app", over="tls")
    told = status()
    print(told["to_do"])
    assert told["retcode"] == 2
    assert "salt db-1 pg_access.plan" in told["to_do"]["db-1"][0]

    # A server that is down is no replica and no primary; a minion that is down is not left out
    pair.first.stop()
    minions["db-2"].terminate()
    told = status()
    print(told["wrong"])
    unseen = told["clusters"]["main"]["admins"]["db-1"]["certificate"]["trouble"]
    assert unseen.startswith(f"cannot see the certificate of {HOST}:")
    assert told["silent"] == {"db-2": ["db-server"]}
    assert told["clusters"]["main"]["primaries"] == []
    assert told["wrong"]["main"] == ["no server of it that answers is the primary"]
    assert "cannot connect to" in told["wrong"]["db-1"][0]

    # Who cannot be promoted is told before anything is done, and nobody is waited for twice
    for name, why in {
        "nosuch": "no minion of this name has a role",
        "db-2": "its minion does not answer",
    }.items():
        told = run("pgpillar.promote", name)
        assert told["outcome"].startswith(
            f"stopped: {name} cannot be promoted: {why}; what could be promoted:"
        )
        assert told["steps"] == []
