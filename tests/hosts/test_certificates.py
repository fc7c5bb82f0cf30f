"""Certificates of the hosts: whom the CA signs for, renewal, and a change of CA, with clients at work."""

import json
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from cryptography import x509

from devtools.postgres import wait_for
from tests.hosts.conftest import failed

CLIENT = Path(__file__).with_name("steady_client.py")
POOLED = "service=shop"
DIRECT = (
    "host=postgresql.example.internal user=shop_app dbname=shop password=no-secret-in-dev-shop_app"
    " sslmode=verify-full sslrootcert=/etc/ssl/certs/postgresql-ca.pem"
)
PAIR = "/etc/pgpillar/server/tls.pem"
POLICIES = "pillar/dev/own-server/ca.sls"


@pytest.fixture
def at_work(world, tell):
    """A client on app-1, through the pool and directly, that must meet no error whatever the test does."""
    app = world["app-1"]
    app.write("/run/steady.py", CLIENT.read_text())
    app.sh("install --mode=600 /dev/null /run/steady.ways")
    app.write("/run/steady.ways", f"{POOLED}\n{DIRECT}\n")
    environment = "PGSERVICEFILE=/etc/pgpillar/clients/shop_app/pg_service.conf"
    command = "/opt/salt/bin/python /run/steady.py /run/steady.ways /run/steady.json"
    app.sh(f"rm -f /run/steady.json; systemd-run --quiet --collect --unit=steady -E {environment} {command}")
    yield
    app.sh("systemctl stop steady")
    told = json.loads(app.sh("cat /run/steady.json; rm /run/steady.*"))
    counted = (
        f"{told['asked']} questions, {len(told['errors'])} errors, the slowest took {told['slowest']:.2f} s"
    )
    tell(f"certificates, a client of {app.name}: {counted}")
    assert told["asked"] > 100
    assert told["errors"] == []


def shown(world, server="postgresql-primary"):
    """The serial number of the certificate that a server shows, as openssl on another host sees it."""
    look = f"openssl s_client -starttls postgres -connect {server}:5432 < /dev/null 2> /dev/null"
    return world["app-1"].sh(f"{look} | openssl x509 -noout -serial").strip().removeprefix("serial=").lower()


def on_file(world):
    return world.salt("postgresql-primary", "pg_server.certificate")["postgresql-primary"]["serial"]


def start_of(world):
    """When the server was started, as it noted itself."""
    return world["postgresql-primary"].sh("sed -n 3p /var/lib/postgresql/*/main/postmaster.pid")


CA = "ca_server=salt-master signing_policy=postgresql-primary"
SIGN = f"salt-call -l error --out=json x509.create_certificate {CA}"
LONGER = "not_after='2099-01-01 00:00:00'"
KEY = "public_key=/etc/salt/pki/minion/minion.pub"


def test_nobody_else_gets_a_certificate(world):
    assert "did not respond" in world["app-1"].attempt(f"{SIGN} {KEY} >&2")


def test_a_server_gets_a_certificate_of_its_own_names_alone(world):
    told = world["postgresql-primary"].sh(f"{SIGN} {KEY} CN=another subjectAltName=DNS:another {LONGER} 2>&-")
    certificate = x509.load_pem_x509_certificate(json.loads(told)["local"].encode())
    names = certificate.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    assert names.get_values_for_type(x509.DNSName) == ["postgresql.example.internal", "postgresql-primary"]
    assert "another" not in certificate.subject.rfc4514_string()
    assert (certificate.not_valid_after_utc - datetime.now(UTC)).days < 90


def test_the_key_of_the_server_stays_on_it(world):
    key = world["postgresql-primary"].sh("sed -n 2p /etc/pgpillar/server/tls.pem").strip()
    look = f"grep -rqF -- '{key}'"
    world["postgresql-primary"].sh(f"{look} /etc/pgpillar/server")
    # 1 says that it is nowhere there, 2 that one of these places could not be read
    world["salt-master"].sh(f"{look} /var/cache/salt /etc/pki /etc/salt; test $? = 1")


@contextmanager
def policy(world, lasts):
    """The CA signs certificates that last so, for as long as the block does."""
    usual = "    days_valid: 90\n    not_after:  # nothing: no server may ask for longer\n"
    with world.edited(POLICIES, usual, lasts):
        world.salt("salt-master", "saltutil.refresh_pillar", "wait=True")
        yield
    world.salt("salt-master", "saltutil.refresh_pillar", "wait=True")


def put_in_place(server, key, certificate):
    server.sh(
        f"cat {key} {certificate} > {PAIR}; rm -f /run/old.*; pg_ctlcluster $(ls /etc/postgresql) main reload"
    )


def days_from_now(days):
    return f"'{datetime.now(UTC) + timedelta(days=days):%Y-%m-%d %H:%M:%S}'"


def test_a_certificate_one_day_from_its_end_is_renewed_and_shown_without_a_restart(world, at_work):
    server, started = world["postgresql-primary"], start_of(world)
    with policy(world, f"    not_before: {days_from_now(-89)}\n    not_after: {days_from_now(1)}\n"):
        server.sh(
            "umask 077; openssl genpkey -algorithm EC -pkeyopt ec_paramgen_curve:P-256 -out /run/old.key"
        )
        server.sh(f"{SIGN} private_key=/run/old.key path=/run/old.crt")
    put_in_place(server, "/run/old.key", "/run/old.crt")
    old = on_file(world)
    wait_for(lambda: shown(world) == old, "the server does not show the old certificate")
    preview = world.salt(server.name, "state.highstate", "test=True")[server.name]
    changes = world.highstate(server.name)[server.name]
    (reason,) = [change["certificate"] for change in changes.values() if "certificate" in change]
    assert reason.startswith("renewed: it ends on ")
    assert {name: state["changes"] for name, state in preview.items() if state["changes"]} == changes
    assert "reloaded" in [change.get("server") for change in changes.values()]
    assert shown(world) == on_file(world) != old
    assert start_of(world) == started
    assert world.highstate(server.name) == {server.name: {}}


def test_a_certificate_that_the_server_does_not_take_is_told(world, at_work):
    server, before = world["postgresql-primary"], shown(world)
    make = (
        "umask 077; openssl req -x509 -newkey rsa:2048 -nodes -subj /CN=another -keyout {0}.key -out {0}.crt"
    )
    server.sh(" && ".join(make.format(f"/run/old.{name}") for name in ("one", "other")))
    put_in_place(server, "/run/old.one.key", "/run/old.other.crt")
    assert f"it shows another certificate than that of {PAIR}" in str(
        world.salt(server.name, "pg_server.configure")
    )
    assert shown(world) == before
    assert world.highstate(server.name)[server.name]
    assert shown(world) == on_file(world) != before
    assert world.highstate(server.name) == {server.name: {}}


def orchestrate(world):
    world["salt-master"].run("salt-run", "--log-level=quiet", "state.orchestrate", "orchestrate.everything")


def authorities(world, names):
    return world.edited(POLICIES, "authorities: [ca-1]", f"authorities: [{names}]")


def refused(world):
    """Why the CA does not do as pillar says."""
    (state,) = failed(world.salt("salt-master", "state.apply", "tls.ca")["salt-master"])
    return state["comment"]


def trusted(world, host):
    return world[host].sh("grep -c BEGIN /etc/ssl/certs/postgresql-ca.pem").strip()


STREAMING = (
    "runuser -u postgres -- psql -qAtc \"select {} from pg_stat_replication where state = 'streaming'\""
)


def test_a_ca_is_changed_step_by_step_without_an_error(world, at_work):
    server = world["postgresql-primary"]
    replicas = server.sh(STREAMING.format("count(*)")).strip()
    with authorities(world, "ca-1, ca-2"):
        for names in ("salt-master", "postgresql-*", "app-1"):
            world.highstate(names)
            world.salt(names, "mine.update")
    with authorities(world, "ca-2, ca-1"):
        told = refused(world)
        assert "- app-2 does not trust ca-2 yet; run: salt app-2 state.highstate" in told
        assert "app-1" not in told
        world.highstate("app-2")
        world.salt("app-2", "mine.update")
        world.highstate("salt-master")
        world.salt("salt-master", "mine.update")
    with authorities(world, "ca-2"):
        assert "- postgresql-primary has a certificate from ca-1 still" in refused(world)
    with authorities(world, "ca-2, ca-1"):
        world.highstate("*")
        world.salt("*", "mine.update")
        assert "ca-2" in world.salt(server.name, "pg_server.certificate")[server.name]["issuer"]
        assert shown(world) == on_file(world)
    with authorities(world, "ca-2"):
        orchestrate(world)
    assert {trusted(world, name) for name in ("app-1", "app-2", server.name)} == {"1"}
    server.sh(STREAMING.format("pg_terminate_backend(pid)"))
    server.wait_for(f"test $({STREAMING.format('count(*)')}) = {replicas}")


@pytest.fixture(scope="module", autouse=True)
def the_first_ca_again(world):
    """Nobody is at work any more; so it may be quick."""
    yield
    world["salt-master"].sh("cd /etc/pki/pgpillar && rm -rf signs trusted ca-2")
    orchestrate(world)
