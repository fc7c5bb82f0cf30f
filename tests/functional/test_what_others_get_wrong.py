"""What was measured to go wrong elsewhere, row by row, each with a test that it is right here."""

import psycopg2
import pytest

from pgpillar.connect import ClusterError
from tests.functional.leaks import Sampler
from tests.functional.minions import Minion, restarted

SHOP = {
    "databases": {"my-shop": {"owner": "shop", "access": {"my-app": "write"}}},
    "users": ["shop", "my-app"],
}


@pytest.fixture
def minion(tmp_path):
    return Minion(tmp_path / "minion")


def test_verifiers_in_argv_and_in_debug_logs(cluster, minion):
    minion.hold(cluster.tree(**SHOP))
    with Sampler(lambda: ()) as sampler:
        verdict, out, err = minion.highstate("--log-level", "all")
    assert verdict.result is True
    assert any(b"state.highstate" in seen for seen in sampler.seen), "the sampler saw the run"
    verifiers = [
        v for (v,) in cluster.query("select rolpassword from pg_authid where rolname in ('shop', 'my-app')")
    ]
    assert len(verifiers) == 2
    for secret in [*verifiers, *cluster.passwords.values()]:
        assert secret not in out + err
        assert not any(secret.encode() in seen for seen in sampler.seen)


def test_md5_by_default(cluster):
    """Even on a server that is set to md5, and where a role has had an md5 hash so far."""
    with restarted(cluster.server, password_encryption="md5"):
        cluster.query("create role shop login password 'old'")
        assert cluster.query("select rolpassword like 'md5%' from pg_authid where rolname = 'shop'") == [
            (True,)
        ]
        cluster.settle(**SHOP)
        kinds = "select distinct left(rolpassword, 14) from pg_authid where rolname in ('shop', 'my-app')"
        assert cluster.query(kinds) == [("SCRAM-SHA-256$",)]


def test_a_server_that_is_down_reads_as_absent(cluster, minion):
    cluster.settle(**SHOP)
    cluster.server.stop()
    for test in (True, False):
        verdict = minion.apply(cluster.tree(**SHOP), test=test)
        assert verdict.result is False
        assert verdict.changes == {}
        assert "cannot connect" in verdict.comment


def test_public_on_a_null_acl_is_never_revoked(cluster):
    """A database and a schema that were made by hand have no ACL at all, which means: PUBLIC may."""
    cluster.query("create role shop")
    cluster.query('create database "my-shop" owner shop')
    cluster.query("create schema reports", dbname="my-shop")
    assert cluster.query("select datacl from pg_database where datname = 'my-shop'") == [(None,)]
    shop = {**SHOP["databases"]["my-shop"], "schemas": {"reports": {}}}
    changed = cluster.settle(databases={"my-shop": shop}, users=[*SHOP["users"], "nobody"])
    assert "revoke CONNECT, TEMPORARY on the database from PUBLIC" in changed["databases"]["my-shop"]
    with pytest.raises(psycopg2.OperationalError, match="permission denied for database"):
        cluster.query("select 1", user="nobody", dbname="my-shop")


def test_hyphenated_names_in_grants(cluster):
    changed = cluster.settle(**SHOP)
    assert "grant CONNECT on the database to my-app" in changed["databases"]["my-shop"]
    assert cluster.query("select current_user", user="my-app", dbname="my-shop") == [("my-app",)]


def test_no_default_privileges(cluster):
    cluster.settle(**SHOP)
    cluster.query("create table tomorrow (id serial, what text)", user="shop", dbname="my-shop")
    cluster.query("insert into tomorrow (what) values ('tea')", user="my-app", dbname="my-shop")
    assert cluster.query("select what from tomorrow", user="my-app", dbname="my-shop") == [("tea",)]
    assert cluster.converge(**SHOP) == {}


def test_membership_is_add_only(cluster):
    groups = {"readers": {}, "writers": {}}
    cluster.settle(users={"app": {"groups": ["readers", "writers"]}}, groups=groups)
    changed = cluster.settle(users={"app": {"groups": ["readers"]}}, groups=groups)
    assert changed == {"roles": {"app": ["leave writers"]}}
    assert cluster.query("select pg_has_role('app', 'writers', 'member')") == [(False,)]


def test_no_sslmode(cluster):
    """The server takes TLS alone, and its name is verified, though nothing was said of either."""
    assert "sslmode" not in cluster.endpoint
    cluster.settle(**SHOP)
    cluster.endpoint["host"] = "somebody.example.internal"
    with pytest.raises(ClusterError, match="does not match host name"):
        cluster.preview(**SHOP)


def test_an_admin_who_is_no_superuser_tries_to_create_users_that_exist(hosted):
    hosted.settle(users=SHOP["users"])
    assert hosted.preview(users=SHOP["users"]) == hosted.converge(users=SHOP["users"]) == {}
