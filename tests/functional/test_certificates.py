"""A CA and a server of one's own, on one masterless minion: certificates made, renewed, and healed."""

import getpass
import json
from datetime import UTC, datetime, timedelta
from textwrap import indent

import pytest
import trustme
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.serialization import load_pem_private_key

from devtools import postgres
from pgpillar import certificates, handshake
from pgpillar.model import Endpoint, Trouble

from .minions import Minion, restarted

ME, SERVICE = "db-1", "db.example.internal"
NOW = datetime.now(UTC)


class Host:
    """A minion that is its own CA."""

    def __init__(self, directory):
        self.root = directory / "root"
        self.place = self.root / "etc/pki/pgpillar"
        self.pair, self.ca_file = self.root / "etc/pgpillar/server/tls.pem", self.root / "ca.pem"
        self.pair.parent.mkdir(parents=True)
        self.policy = {
            "signing_private_key": str(self.place / "signs/ca.key"),
            "signing_cert": str(self.place / "signs/ca.crt"),
            "CN": SERVICE,
            "subjectAltName": [f"DNS:{SERVICE}", f"DNS:{ME}"],
            "basicConstraints": "critical, CA:false",
            "authorityKeyIdentifier": "keyid:always",
            "days_valid": 90,
            "not_after": None,
        }
        policies = {"x509_signing_policies": {ME: self.policy}}
        self.minion = Minion(directory, id=ME, pgpillar_root=str(self.root), **policies)
        given = [{"root": str(self.root)}, {"user": getpass.getuser()}]
        self.minion.script("certified.sls", json.dumps({"x": {"pg_server.certified": given}}))
        self.tree = {
            "clusters": {"main": {"host": SERVICE, "ca_file": str(self.ca_file), "ca_server": ME}},
            "authorities": ["ca-1"],
        }

    def apply(self, states, **options):
        """The changes of each state; none may have failed."""
        returned = self.minion.returned(states, self.tree, **options)
        assert isinstance(returned, dict), returned
        assert all(state["result"] is not False for state in returned.values()), returned
        return {name.split("_|-")[1]: one["changes"] for name, one in returned.items() if one["changes"]}

    def certify(self, test=False):
        """What the state of the server's certificate returned."""
        (returned,) = self.minion.returned("certified", self.tree, test).values()
        return returned

    def sign(self, begins=-1, ends=89, key=None, name=SERVICE, authority="ca-1"):
        """Put a pair in place that begins and ends so many days from now."""
        own = certificates.new_key()
        ca = self.place / authority
        signer = x509.load_pem_x509_certificate((ca / "ca.crt").read_bytes())
        made = (
            x509.CertificateBuilder(signer.subject, x509.Name([]), own.public_key(), 7)
            .not_valid_before(NOW + timedelta(days=begins))
            .not_valid_after(NOW + timedelta(days=ends))
            .add_extension(x509.SubjectAlternativeName([x509.DNSName(name), x509.DNSName(ME)]), False)
            .sign(key_in(ca / "ca.key"), hashes.SHA256())
        )
        self.pair.write_text(certificates.pair(key or own, made))
        return made

    def served(self):
        """The certificate that is there, which only a whole pair with the right key has."""
        text = self.pair.read_text()
        assert certificates.why_useless(text, datetime.now(UTC)) is None
        return certificates.in_pem(text)[0]


def key_in(path):
    return load_pem_private_key(path.read_bytes(), None)


@pytest.fixture
def host(tmp_path):
    host = Host(tmp_path)
    host.apply(["tls.ca", "tls.trust"])
    return host


@pytest.fixture
def certified(host):
    assert host.certify()["changes"] == {"certificate": "new"}
    return host


def test_a_server_gets_a_key_and_a_certificate_that_those_who_trust_its_ca_take(host):
    preview = host.certify(test=True)
    assert (preview["result"], preview["changes"]) == (None, {"certificate": "new"})
    assert not host.pair.exists()
    done = host.certify()
    assert done["changes"] == preview["changes"]
    assert "in 89 days" in done["comment"]
    assert host.pair.stat().st_mode & 0o777 == 0o600
    (trusted,) = certificates.in_pem(host.ca_file.read_text())
    assert certificates.is_signed_by(host.served(), trusted)
    assert host.certify()["changes"] == {}


DAMAGE = {
    "a day from its end": (lambda host: host.sign(-89, 1), "it ends on"),
    "ended": (lambda host: host.sign(-90, -1), "it ended on"),
    "of the future": (lambda host: host.sign(2, 90), "it begins only on"),
    "of another name": (lambda host: host.sign(name="another"), f"it lacks the name {SERVICE}"),
    "with another's key": (lambda host: host.sign(key=certificates.new_key()), "its key is another's"),
    "cut in its key": (lambda host: host.pair.write_text(host.pair.read_text()[:100]), "not whole"),
    "cut in its certificate": (lambda host: host.pair.write_text(host.pair.read_text()[:-100]), "not whole"),
    "indented": (
        lambda host: host.pair.write_text(indent(host.pair.read_text(), " ")),
        "not as it was written",
    ),
    "empty": (lambda host: host.pair.write_text(""), "not whole"),
    "of bytes": (lambda host: host.pair.write_bytes(b"\xff\xfe\0"), "not whole"),
}


@pytest.mark.parametrize("damage", DAMAGE.values(), ids=DAMAGE)
def test_what_is_wrong_with_a_certificate_is_mended_with_a_new_key(certified, damage):
    before = certified.served()
    make, expected = damage
    make(certified)
    preview = certified.certify(test=True)
    done = certified.certify()
    assert expected in done["changes"]["certificate"]
    assert done["changes"] == preview["changes"]
    assert certified.served().public_key() != before.public_key()
    assert certified.certify()["changes"] == {}


def test_a_certificate_with_more_than_a_third_of_its_life_left_stays(certified):
    certified.sign(-59, 31)
    assert certified.certify()["changes"] == {}
    certified.sign(-61, 29)
    assert certified.certify()["changes"]


def test_where_nobody_signs_a_certificate_that_still_serves_stays_with_a_warning(certified):
    certified.sign(-89, 1)
    text = certified.pair.read_text()
    (certified.place / "signs").unlink()
    returned = certified.certify()
    assert (returned["result"], returned["changes"]) == (True, {})
    assert "a new certificate is due: the CA of this minion signs no certificate" in returned["warnings"][0]
    assert certified.pair.read_text() == text


def test_where_nobody_signs_one_that_has_ended_is_said_with_its_date(certified):
    made = certified.sign(-90, -1)
    (certified.place / "signs").unlink()
    returned = certified.certify()
    assert (returned["result"], returned["changes"]) == (False, {})
    assert f"it ended on {made.not_valid_after_utc:%Y-%m-%d %H:%M:%S} UTC" in returned["comment"]
    assert "signs no certificate" in returned["comment"]


def test_a_ca_renewed_for_the_same_key_is_trusted_and_its_servers_keep_their_certificates(certified):
    before = certificates.in_pem(certified.ca_file.read_text())[0]
    make_older(certified.place / "ca-1", days_left=300)
    preview = certified.apply(["tls.ca", "tls.trust"], test=True)
    changes = certified.apply(["tls.ca", "tls.trust"])
    assert changes.keys() == {"tls.ca certificate of ca-1", "tls.ca configured", "tls.trust"}
    assert preview.keys() <= changes.keys()
    (now,) = certificates.in_pem(certified.ca_file.read_text())
    assert now.public_key() == before.public_key()
    assert (now.not_valid_after_utc - NOW).days > 3600
    assert certificates.is_signed_by(certified.served(), now)
    assert certified.certify()["changes"] == {}
    assert certified.apply(["tls.ca", "tls.trust"]) == {}


def make_older(place, days_left):
    """Let the certificate of a CA be one that ends soon, for the same key."""
    old, key = x509.load_pem_x509_certificate((place / "ca.crt").read_bytes()), key_in(place / "ca.key")
    builder = x509.CertificateBuilder(
        old.issuer, old.subject, old.public_key(), 8, extensions=list(old.extensions)
    )
    builder = builder.not_valid_before(NOW - timedelta(days=3650 - days_left))
    made = builder.not_valid_after(NOW + timedelta(days=days_left)).sign(key, hashes.SHA256())
    (place / "ca.crt").write_text(certificates.as_pem([made]))


def test_a_ca_file_is_mended_and_says_whom_it_trusts_newly(host):
    host.ca_file.write_text(trustme.CA().cert_pem.bytes().decode())
    (changes,) = host.apply(["tls.trust"]).values()
    assert changes[str(host.ca_file)]["pgpillar internal CA ca-1"] == "new"
    host.ca_file.chmod(0o600)
    assert host.apply(["tls.trust"]) == {"tls.trust": {str(host.ca_file): "mode 0600 → 0644"}}
    assert host.apply(["tls.trust"]) == {}


def test_the_certificate_that_a_server_shows_is_read_from_the_wire(server):
    shown = handshake.certificate_at("127.0.0.1", server.port)
    assert certificates.is_signed_by(shown, certificates.in_pem(server.ca_pem)[0])
    there = Endpoint(SERVICE, port=server.port, hostaddr="127.0.0.1")
    assert handshake.shown_by(there) == shown
    assert handshake.is_there(there)


def test_a_server_that_cannot_be_asked_for_its_certificate_is_told():
    nowhere = Endpoint(SERVICE, port=postgres.free_port(), hostaddr="127.0.0.1")
    assert not handshake.is_there(nowhere)
    with pytest.raises(Trouble, match=f"cannot see the certificate of {SERVICE}:{nowhere.port}: .*refused"):
        handshake.shown_by(nowhere)


def test_a_server_without_tls_shows_no_certificate(server):
    with restarted(server, ssl="off"), pytest.raises(Trouble, match="no certificate, for it knows no TLS"):
        handshake.shown_by(Endpoint(SERVICE, port=server.port, hostaddr="127.0.0.1"))


def test_a_node_that_says_nonsense_in_the_mine_is_told_in_a_sentence(certified):
    certified.tree["authorities"] = ["ca-1", "ca-2"]
    certified.apply(["tls.ca", "tls.trust"])
    certified.minion._caller.cmd("data.update", "mine_cache", {"pgpillar_trust": ["nonsense"]})
    certified.tree["authorities"] = ["ca-2", "ca-1"]
    told = failure(certified.minion.returned("tls.ca", certified.tree))
    assert f"- what {ME} said in the mine is of another form; run: salt {ME} state.highstate" in told


def failure(returned):
    """The comment of the one state that ran and failed."""
    (comment,) = [one["comment"] for one in returned.values() if one["result"] is False]
    return comment


def test_a_server_whose_cluster_names_no_ca_keeps_its_certificate_with_a_warning(certified):
    certified.tree["clusters"]["main"]["ca_server"] = None
    returned = certified.certify()
    assert (returned["result"], returned["changes"]) == (True, {})
    assert "no CA signs for this server; name its minion" in returned["warnings"][0]


def test_a_cluster_that_does_not_say_where_its_ca_is_to_be_is_refused(host):
    host.tree["clusters"]["main"]["ca_file"] = None
    (state,) = host.minion.returned("tls.trust", host.tree).values()
    assert state["comment"].startswith("postgresql:clusters:main:ca_file: missing beside ca_server")
