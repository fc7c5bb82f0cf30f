"""What a pool at work refuses, by real logins, and that it heals by itself when the reason has gone."""

from contextlib import contextmanager
from pathlib import Path

import psycopg2
import pytest

from devtools import tls
from devtools.postgres import wait_for
from tests.functional.minions import restarted

pytestmark = pytest.mark.every_pgbouncer("14")

# Where plain text would do as well: what refuses it then is the pool
PLAIN_TOO = ("local all all scram-sha-256", "host all all 127.0.0.1/32 scram-sha-256")


@pytest.fixture
def impatient(node, shop):
    """A node at work, whose clients do not wait long for a server that does not come."""
    shop["pgbouncer"] = {"settings": {"query_wait_timeout": 2, "log_disconnections": 1}}
    node.converge(shop)
    node.start()
    return node


@contextmanager
def an_expired_user(cluster, tmp_path):
    cluster.query("alter role shop_app valid until '2000-01-01'")
    yield
    cluster.query("alter role shop_app valid until 'infinity'")


@contextmanager
def a_certificate_for_another_name(cluster, tmp_path):
    cluster.server.certify("other.example.internal")
    yield
    cluster.server.certify()


@contextmanager
def another_authority(cluster, tmp_path):
    cluster.server.certify(authority=tls.authority(tmp_path))
    yield
    cluster.server.certify()


@contextmanager
def plain_text(cluster, tmp_path):
    cluster.server.hba(PLAIN_TOO)
    with restarted(cluster.server, ssl="off"):
        cluster.query("select 1", dbname="shop", user="shop_app", sslmode="disable")
        yield
    cluster.server.hba()


LOGGED = {
    an_expired_user: "password authentication failed",
    a_certificate_for_another_name: "not present in server certificate",
    another_authority: "certificate verify failed",
    plain_text: "server refused SSL",
}


@pytest.mark.parametrize("spoil", LOGGED)
def test_a_pool_at_work_refuses(impatient, cluster, tmp_path, spoil):
    assert impatient.query("select 1") == [(1,)]
    with spoil(cluster, tmp_path):
        impatient.console.ask("RECONNECT")
        with pytest.raises(psycopg2.OperationalError):
            impatient.query("select 1")
    assert LOGGED[spoil] in Path(impatient.paths.log).read_text()
    # pgbouncer 1.18 may wait out its server_connect_timeout after a handshake that failed
    wait_for(lambda: lets_in(impatient), "the pool does not heal", seconds=40)


def lets_in(node):
    try:
        return node.query("select 1")
    except psycopg2.OperationalError:
        return False


MORE = {"shop_more": {"database": "shop", "user": "shop_app"}}
TOLD = {
    an_expired_user: "or has its valid_until passed?",
    a_certificate_for_another_name: "host in pillar must be a name that the certificate holds",
    another_authority: "is not from the cluster's ca",
    plain_text: "pgpillar does not fall back to plain text by itself",
}


@pytest.mark.parametrize("spoil", TOLD)
def test_a_new_pool_is_refused_with_the_reason(node, shop, cluster, tmp_path, spoil):
    with spoil(cluster, tmp_path):
        assert TOLD[spoil] in node.refused(shop)
    node.converge(shop)


def test_a_ca_vouches_for_servers_of_another_cluster_to_running_pools_alone(
    node, two_clusters, certify, neighbour, monkeypatch
):
    two_clusters["users"]["shop_app"]["direct"] = True
    node.converge(two_clusters)
    node.start()
    monkeypatch.setenv("PGSERVICEFILE", f"{node.paths.clients}/shop_app/pg_service.conf")
    psycopg2.connect(service="shop-direct").close()
    certify(authority=neighbour.server.authority)
    node.console.ask("RECONNECT")
    assert node.query("select 1") == [(1,)], "pgbouncer has one bundle for all its servers"
    with pytest.raises(psycopg2.OperationalError, match="certificate verify failed"):
        psycopg2.connect(service="shop-direct")
    assert TOLD[another_authority] in node.refused({**two_clusters, "pools": MORE})
    certify()
    node.converge({**two_clusters, "pools": MORE})


def test_the_server_refuses_plain_text_too(cluster, shop):
    with pytest.raises(psycopg2.OperationalError, match="no encryption"):
        cluster.query("select 1", dbname="shop", user="shop_app", sslmode="disable")
