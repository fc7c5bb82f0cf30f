"""Certificates of the hosts: whom the CA signs for, renewal, and a change of CA, with clients at work."""

import json
from datetime import UTC, datetime

from cryptography import x509

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
