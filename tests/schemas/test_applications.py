"""Schemas that applications make for themselves: every right of every object, and nothing left to do."""

from tests.functional.conftest import usual_major
from tests.schemas import rights
from tests.schemas.applications import APPLICATIONS


def pytest_generate_tests(metafunc):
    """Each application that runs on this PostgreSQL."""
    if "application" in metafunc.fixturenames:
        major = metafunc.config.getoption("--major") or usual_major()
        able = [each for each in APPLICATIONS if each.oldest_major <= major]
        metafunc.parametrize("application", able, ids=lambda application: application.name)


def declared(application, owner="app", schemas=None):
    """The application's database with a reader and a writer, beside whom there is a user without access."""
    database = {
        "owner": owner,
        "access": {"reader": "read", "writer": "write"},
        "schemas": {name: {} for name in (application.schemas if schemas is None else schemas)},
        "extensions": list(application.extensions),
    }
    return {"databases": {"site": database}, "users": [owner, "reader", "writer", "nobody"]}


def way(server, user, password):
    """How libpq, and who does as it does, is told the way to the database."""
    way = {"PGHOST": server.socket_dir, "PGPORT": server.port, "PGDATABASE": "site"}
    return {name: str(value) for name, value in {**way, "PGUSER": user, "PGPASSWORD": password}.items()}


def run(cluster, application, commands, user):
    password = cluster.passwords[user] if user != cluster.server.superuser else cluster.server.password
    application.run(commands, way(cluster.server, user, password))


def check(cluster, application, owner="app"):
    """Every right is as declared, and all belongs to the owner."""
    levels = {owner: "owner", "reader": "read", "writer": "write", "nobody": "none"}
    assert rights.wrong(cluster, "site", levels, application.name) == []
    assert rights.of_others(cluster, "site", owner) == []


def test_what_the_owner_makes_is_as_declared_at_once(cluster, application):
    cluster.settle(**declared(application, schemas=() if application.makes_schemas else application.schemas))
    run(cluster, application, application.create, "app")
    if application.makes_schemas:
        cluster.settle(**declared(application))
    check(cluster, application)
    run(cluster, application, application.upgrade, "app")
    check(cluster, application)
    assert cluster.converge(**declared(application)) == {}


def test_what_a_superuser_made_is_adopted_and_goes_to_another_owner(cluster, application):
    cluster.query("create database site")
    for extension in application.extensions:
        cluster.query(f"create extension {extension}", dbname="site")
    run(cluster, application, application.create, cluster.server.superuser)
    cluster.settle(**declared(application))
    check(cluster, application)
    run(cluster, application, application.upgrade, "app")
    check(cluster, application)
    assert cluster.converge(**declared(application)) == {}
    cluster.settle(**declared(application, "heir"))
    check(cluster, application, "heir")
