"""What an application is given, read as those read it who will."""

import shlex
from configparser import RawConfigParser
from urllib.parse import parse_qs, unquote, urlsplit

import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from psycopg2.extensions import parse_dsn

from pgpillar import client, node
from pgpillar.client import Way
from pgpillar.model import Place, Secret

SOCKETS, CERTS = "/run/postgresql", "/etc/ssl/certs"
LINE = st.text(
    st.characters(blacklist_categories=("Cs", "Cc")) | st.sampled_from("'\"\\$`:%/@ "),
    min_size=1,
    max_size=30,
)
UNVERIFIED = dict.fromkeys(("hostaddr", "sslmode", "sslrootcert"), st.none())
PORTS = st.integers(1, 65535)


def drawn(service, host, **more):
    """Ways of one kind, with any names and any password."""
    parts = [st.just(service), st.just(host), PORTS, LINE, LINE, LINE.map(Secret)]
    return st.builds(Way, *parts, **{**UNVERIFIED, **more})


POOLED = drawn("shop", SOCKETS)
DIRECT = drawn(
    "shop-direct",
    "db.example.internal",
    hostaddr=st.none() | st.just("192.0.2.1"),
    sslmode=st.just("verify-full"),
    sslrootcert=LINE.map(lambda name: f"{CERTS}/{name}"),
)


def told(way):
    """What libpq is to understand."""
    return {**{k: str(v) for k, v in way.parameters.items()}, "password": way.password.reveal()}


@given(POOLED | DIRECT)
def test_the_url_says_to_libpq_what_is_meant(way):
    assert parse_dsn(client.url(way)) == told(way)


@given(DIRECT)
def test_the_url_says_to_others_what_is_meant(way):
    url = urlsplit(client.url(way))
    assert (url.hostname, url.port, unquote(url.path[1:])) == (way.host, way.port, way.database)
    assert (unquote(url.username), unquote(url.password)) == (way.user, way.password.reveal())
    assert parse_qs(url.query)["sslrootcert"] == [way.sslrootcert]


@given(st.lists(POOLED | DIRECT, min_size=1, max_size=3))
def test_the_passfile_says_what_is_meant(ways):
    """By libpq's rule: a backslash takes the next character as it is, a colon ends a field."""
    lines = client.passfile(ways).split("\n")[:-1]
    said = [list(map(str, line)) for way in ways for line in client._lines(way)]
    assert [fields(line) for line in lines] == said


def test_the_passfile_is_found_by_a_libpq_whose_own_sockets_are_there():
    """That one looks for "localhost"; any other looks for the directory."""
    way = Way("shop", "/var/run/postgresql", 6432, "shop", "shop_app", Secret("p"))
    assert client.passfile([way]) == (
        "/var/run/postgresql:6432:shop:shop_app:p\nlocalhost:6432:shop:shop_app:p\n"
    )


def fields(line):
    found, chars = [""], iter(line)
    for char in chars:
        if char == ":":
            found.append("")
        else:
            found[-1] += next(chars) if char == "\\" else char
    return found


@given(POOLED | DIRECT)
@example(Way("shop", SOCKETS, 6432, "a`b$c", 'd"e\\', Secret("it's: 100%")))
def test_the_environment_says_to_a_shell_what_is_meant(way):
    """By shlex, which knows of ``\\\\`` and ``\\"`` in double quotes; functional tests ask a real shell."""
    for line in client.environment(way).split("\n")[:-1]:
        name, _, value = line.partition("=")
        plain = value.replace("\\$", "$").replace("\\`", "`")
        assert shlex.split(plain) == [str(client._variables(way)[name])]


def test_the_names_in_the_environment():
    way = Way("s", "db", 5432, "shop", "app", Secret("p"), "192.0.2.1", "verify-full", "/ca.pem")
    assert client.environment(way) == (
        'DATABASE_URL="postgresql://app:p@db:5432/shop?hostaddr=192.0.2.1&sslmode=verify-full&sslrootcert=/ca.pem"\n'
        'DB_HOST="db"\nDB_PORT="5432"\nDB_NAME="shop"\nDB_USER="app"\nDB_PASSWORD="p"\n'
        'PGHOST="db"\nPGHOSTADDR="192.0.2.1"\nPGPORT="5432"\nPGDATABASE="shop"\nPGUSER="app"\n'
        'PGSSLMODE="verify-full"\nPGSSLROOTCERT="/ca.pem"\nPGPASSWORD="p"\n'
    )


def test_the_service_file_names_the_passfile_and_no_password():
    way = Way("shop", SOCKETS, 6432, "shop", "app", Secret("sesame"))
    text = client.services([way, way._replace(service="wiki")], "/held/pgpass")
    parsed = RawConfigParser()
    parsed.read_string(text)
    assert parsed.sections() == ["shop", "wiki"]
    assert dict(parsed["shop"]) == {
        "host": SOCKETS,
        "port": "6432",
        "dbname": "shop",
        "user": "app",
        "passfile": "/held/pgpass",
    }
    assert "sesame" not in text


def test_the_files_of_a_user():
    way = Way("shop", SOCKETS, 6432, "shop", "app", Secret("p"))
    texts = client.texts("/held", [way, way._replace(service="shop-direct")])
    assert sorted(texts) == [
        "/held/pg_service.conf",
        "/held/pgpass",
        "/held/shop-direct.env",
        "/held/shop.env",
    ]


def ways(user="app", direct=False, **cluster):
    """The ways of a user of a node whose servers are at 192.0.2.1."""
    wanted = node.read(
        {
            "clusters": {"main": {"host": "db.example.internal", **cluster}},
            "databases": {"shop": "app", "wiki": "wiki"},
            "users": {
                "app": {"password": "real", "direct": direct},
                "wiki": {"password": "other"},
            },
        }
    )
    servers = {
        name: Place(cluster.get("host", "db.example.internal"), 5432, "192.0.2.1") for name in wanted.pools
    }
    return client.ways(wanted, user, Secret("own"), SOCKETS, servers, CERTS)


def test_a_user_has_its_own_pools_with_the_nodes_password():
    assert ways() == [Way("shop", SOCKETS, 6432, "shop", "app", Secret("own"))]


PEM = "-----BEGIN CERTIFICATE-----\nx\n-----END CERTIFICATE-----\n"
CAS = {
    "its own": ({"ca": PEM}, f"{CERTS}/pgpillar-main.pem"),
    "a file": ({"ca_file": "/ca.pem"}, "/ca.pem"),
    "the system's": ({}, "/etc/ssl/certs/ca-certificates.crt"),
}


@pytest.mark.parametrize(("cluster", "ca"), CAS.values(), ids=CAS)
def test_a_direct_way_is_verified(cluster, ca):
    _, way = ways(direct=True, **cluster)
    assert (way.service, way.host, way.hostaddr) == ("shop-direct", "db.example.internal", "192.0.2.1")
    assert (way.sslmode, way.sslrootcert) == ("verify-full", ca)
    assert way.password == Secret("real")


def test_a_direct_way_over_a_socket_has_nothing_to_verify():
    _, way = ways(direct=True, host="/run/postgresql")
    assert (way.hostaddr, way.sslmode, way.sslrootcert) == (None, None, None)


def test_the_file_of_a_ca_stays_in_its_directory():
    assert client.ca_path("../x", CERTS) == f"{CERTS}/pgpillar-..%2Fx.pem"
