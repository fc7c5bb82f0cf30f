"""PostgreSQL's regression database: an object of every kind that there is, in every state."""

import os
import subprocess

import pytest

from devtools import schemas
from devtools.embedded import Failed
from tests.schemas import rights

# The tests of these go: publications keep their tables from leaving, and tablespaces are of the cluster
LEFT_OUT = {"publication", "subscription", "tablespace"}
# It belongs to pg_database_owner, which pillar does not name, and lacks what a test took from that
OF_NOBODY = ["lacks", "DELETE", "table", "datdba_only"]
# A type of which only the name is known: nobody can use it, and pgpillar does not look for it
SHELL = ("type", "myshell", "postgres")


@pytest.fixture
def regression(cluster, default_major, tmp_path):
    """A cluster whose database ``regression`` was filled by PostgreSQL's own tests, as the superuser."""
    try:
        tests = schemas.regression_tests(default_major)
    except Failed as reason:
        pytest.skip(str(reason))
    cluster.query("create database regression template template0 encoding utf8")
    environment = psql_environment(cluster.server, tests)
    for name in schedule(tests / "src/test/regress/parallel_schedule"):
        if name not in LEFT_OUT:
            run(cluster.server, tests / f"src/test/regress/sql/{name}.sql", environment)
    return cluster


def schedule(file):
    """The tests in their order; those of one line could also run at once."""
    lines = [
        line.removeprefix("test: ") for line in file.read_text().splitlines() if line.startswith("test: ")
    ]
    return [name for line in lines for name in line.split()]


def psql_environment(server, tests):
    """What pg_regress gives to the tests, and the way to the server."""
    results = server.directory / "regression"
    for directory in (results, results / "results"):
        directory.mkdir(exist_ok=True)
        directory.chmod(0o777)
    return {
        "PATH": os.environ["PATH"],
        "PGHOST": str(server.socket_dir),
        "PGPORT": str(server.port),
        "PGUSER": server.superuser,
        "PGPASSWORD": server.password,
        "PGDATABASE": "regression",
        "PGTZ": "PST8PDT",
        "PGDATESTYLE": "Postgres, MDY",
        "PGOPTIONS": "-c intervalstyle=postgres_verbose",
        "PG_ABS_SRCDIR": str(tests / "src/test/regress"),
        "PG_ABS_BUILDDIR": str(results),
        "PG_LIBDIR": str(tests / "lib"),
        "PG_DLSUFFIX": ".so",
    }


def run(server, script, environment):
    """Run one of the tests; that it meets errors is part of most."""
    command = [
        "psql",
        "-X",
        "-q",
        "-a",
        "-v",
        "HIDE_TABLEAM=on",
        "-v",
        "HIDE_TOAST_COMPRESSION=on",
        "-f",
        script,
    ]
    subprocess.run(command, env=environment, cwd=environment["PG_ABS_BUILDDIR"], stdin=subprocess.DEVNULL,
                   stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, check=False)  # fmt: skip


def test_it_is_adopted_with_every_right(regression):
    schemas_in_it = "select nspname from pg_namespace where nspname !~ '^pg_' and oid >= 16384"
    names = [name for (name,) in regression.query(schemas_in_it, dbname="regression")]
    for owner in ("app", "heir"):
        declared = {
            "databases": {"regression": database(owner, names)},
            "users": [owner, "reader", "writer", "nobody"],
        }
        regression.settle(**declared)
        levels = {owner: "owner", "reader": "read", "writer": "write", "nobody": "none"}
        assert rights.wrong(regression, "regression", levels, "regression") == [[owner, *OF_NOBODY]]
        assert rights.of_others(regression, "regression", owner) == [SHELL]


def database(owner, names):
    access = {"reader": "read", "writer": "write"}
    return {"owner": owner, "access": access, "schemas": {name: {} for name in names}}
