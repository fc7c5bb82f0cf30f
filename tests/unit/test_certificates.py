"""What is told of a certificate."""

from datetime import UTC, datetime, timedelta

import trustme
from cryptography import x509

from pgpillar import certificates

NOW = datetime(2026, 11, 20, 12, tzinfo=UTC)
CA = trustme.CA(organization_name="pgpillar")


def certificate(*names, ends):
    """One from the CA that ends then."""
    made = CA.issue_cert(*names, not_before=ends - timedelta(days=90), not_after=ends)
    return x509.load_pem_x509_certificate(made.cert_chain_pems[0].bytes())


def test_what_is_told_of_one():
    told = certificates.told(certificate("db-1", "db.internal", ends=NOW + timedelta(days=1, hours=5)), NOW)
    assert told["not_after"] == "2026-11-21 17:00:00 UTC"
    assert told["days_left"] == 1
    assert told["names"] == ["db-1", "db.internal"]
    assert "O=pgpillar" in told["issuer"]


def test_one_that_has_ended_has_less_than_no_days_left():
    assert certificates.told(certificate("db", ends=NOW - timedelta(hours=1)), NOW)["days_left"] == -1
