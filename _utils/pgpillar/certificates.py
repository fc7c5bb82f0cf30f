"""Certificates: what one says of itself, and whether it still does its work. Pure."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import datetime, timedelta
from typing import NamedTuple

from cryptography import x509
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509 import Certificate

PART = 3  # in the last third of its life a certificate is renewed
AHEAD = timedelta(hours=1)  # by which a new one begins, for clients whose clock is late


class Wanted(NamedTuple):
    """What the certificate of a server is to be."""

    names: frozenset[str]
    signer: Certificate | None  # none, where it is not known


def told(certificate: Certificate, now: datetime) -> dict:
    """What people and monitors want to know of a certificate."""
    return {
        "not_after": _moment(certificate.not_valid_after_utc),
        "days_left": (certificate.not_valid_after_utc - now).days,
        "names": names(certificate),
        "issuer": certificate.issuer.rfc4514_string(),
        "serial": _in_bytes(certificate.serial_number),
    }


def _in_bytes(number: int) -> str:
    """As openssl tells it: two digits for each byte."""
    return number.to_bytes((number.bit_length() + 7) // 8).hex()


def names(certificate: Certificate) -> list[str]:
    """The names of hosts that it is good for."""
    found = _extension(certificate, x509.SubjectAlternativeName)
    return found.get_values_for_type(x509.DNSName) if found else []


def key_of(authority: Certificate) -> str:
    """Which key an authority signs with: the same, where its certificate was renewed."""
    return x509.SubjectKeyIdentifier.from_public_key(authority.public_key()).digest.hex()


def _extension(certificate: Certificate, kind):
    try:
        return certificate.extensions.get_extension_for_class(kind).value
    except x509.ExtensionNotFound:
        return None


def is_signed_by(certificate: Certificate, authority: Certificate) -> bool:
    try:
        certificate.verify_directly_issued_by(authority)
    except (ValueError, TypeError, InvalidSignature):
        return False
    return True


def in_pem(text: str) -> list[Certificate]:
    """The certificates of a text; none, where it holds none that is whole."""
    try:
        return x509.load_pem_x509_certificates(text.encode())
    except ValueError:
        return []


def as_pem(certificates: Iterable[Certificate]) -> str:
    return "".join(one.public_bytes(serialization.Encoding.PEM).decode() for one in certificates)


def new_key() -> ec.EllipticCurvePrivateKey:
    return ec.generate_private_key(ec.SECP256R1())


def public_part(key) -> str:
    form = serialization.PublicFormat.SubjectPublicKeyInfo
    return key.public_key().public_bytes(serialization.Encoding.PEM, form).decode()


def pair(key, certificate: Certificate) -> str:
    """A key and its certificate as one text, so that a file can only ever hold both."""
    form, open_to_its_owner = serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    return key.private_bytes(serialization.Encoding.PEM, form, open_to_its_owner).decode() + as_pem(
        [certificate]
    )


def why_useless(text: str, now: datetime) -> str | None:
    """Why no server could serve it, or no client would take it."""
    try:
        key = serialization.load_pem_private_key(text.encode(), None)
        certificate = x509.load_pem_x509_certificate(text.encode())
    except (ValueError, TypeError):
        return "its file is not whole"
    if key.public_key() != certificate.public_key():
        return "its key is another's"
    if text != pair(key, certificate):
        return "its file is not as it was written"  # what is read here OpenSSL may yet refuse
    return _why_not_now(certificate, now)


def _why_not_now(certificate: Certificate, now: datetime) -> str | None:
    if certificate.not_valid_before_utc > now:
        return f"it begins only on {_moment(certificate.not_valid_before_utc)}"
    if certificate.not_valid_after_utc <= now:
        return f"it ended on {_moment(certificate.not_valid_after_utc)}"
    return None


def why_renew(text: str, wanted: Wanted, now: datetime) -> str | None:
    """Why another is to take its place, whether it could still serve or not."""
    if useless := why_useless(text, now):
        return useless
    certificate = x509.load_pem_x509_certificate(text.encode())
    ends, begins = certificate.not_valid_after_utc, certificate.not_valid_before_utc
    if wanted.signer and not is_signed_by(certificate, wanted.signer):
        return f"it is not from {called(wanted.signer)}"
    if missing := sorted(wanted.names.difference(names(certificate))):
        return f"it lacks the name {', '.join(missing)}"
    return f"it ends on {_moment(ends)}" if ends - now < (ends - begins) / PART else None


def called(authority: Certificate) -> str:
    """What an authority is called by people."""
    common = authority.subject.get_attributes_for_oid(x509.NameOID.COMMON_NAME)
    return common[0].value if common else authority.subject.rfc4514_string()


def ends(certificate: Certificate) -> str:
    return _moment(certificate.not_valid_after_utc)


def _moment(moment: datetime) -> str:
    return f"{moment:%Y-%m-%d %H:%M:%S} UTC"


def backdated(now: datetime) -> str:
    """When a certificate that is made now is to begin, as Salt's x509 wants it."""
    return f"{now - AHEAD:%Y-%m-%d %H:%M:%S}"
