"""Certificates: what one says of itself, and whether it still does its work. Pure."""

from __future__ import annotations

from datetime import datetime

from cryptography import x509


def told(certificate: x509.Certificate, now: datetime) -> dict:
    """What people and monitors want to know of a certificate."""
    return {
        "not_after": f"{certificate.not_valid_after_utc:%Y-%m-%d %H:%M:%S} UTC",
        "days_left": (certificate.not_valid_after_utc - now).days,
        "names": names(certificate),
        "issuer": certificate.issuer.rfc4514_string(),
        "serial": f"{certificate.serial_number:x}",
    }


def names(certificate: x509.Certificate) -> list[str]:
    """The names of hosts that it is good for."""
    try:
        extension = certificate.extensions.get_extension_for_class(x509.SubjectAlternativeName)
    except x509.ExtensionNotFound:
        return []
    return extension.value.get_values_for_type(x509.DNSName)
