"""What a server shows to whoever comes by TLS, and why it is refused: libpq says that it is, and no more."""

from __future__ import annotations

import socket
import ssl
import struct
from datetime import UTC, datetime

from cryptography import x509

from pgpillar.model import Endpoint, Trouble

TIMEOUT = 5  # seconds
ASK_FOR_TLS = struct.pack("!ii", 8, 80877103)
OF_TIME = ("certificate has expired", "certificate is not yet valid")


def refusal(endpoint: Endpoint, ca: str) -> str:
    """OpenSSL's own words, from a handshake of its own; nothing, where there are none."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname = False
    try:
        context.load_verify_locations(ca)
        _shown(endpoint.hostaddr or endpoint.host, endpoint.port, context)
    except ssl.SSLCertVerificationError as error:
        return _dated(error.verify_message)
    except OSError:
        pass
    return ""


def is_there(endpoint: Endpoint) -> bool:
    """Whether anything takes connections there."""
    try:
        socket.create_connection((endpoint.hostaddr or endpoint.host, endpoint.port), TIMEOUT).close()
    except OSError:
        return False
    return True


def shown_by(endpoint: Endpoint) -> x509.Certificate:
    """The certificate that a cluster's server shows to whoever comes as its clients do."""
    where = f"{endpoint.host}:{endpoint.port}"
    try:
        shown = certificate_at(endpoint.hostaddr or endpoint.host, endpoint.port, endpoint.host)
    except OSError as error:
        raise Trouble(f"cannot see the certificate of {where}: {error.strerror or error}") from None
    if shown is None:
        raise Trouble(f"{where} shows no certificate, for it knows no TLS")
    return shown


def certificate_at(host: str, port: int, name: str | None = None) -> x509.Certificate | None:
    """The certificate that a server shows; none, where it knows no TLS. Nothing is verified."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    shown = _shown(host, port, context, name)
    return x509.load_der_x509_certificate(shown) if shown else None


def _shown(host: str, port: int, context: ssl.SSLContext, name: str | None = None) -> bytes | None:
    with socket.create_connection((host, port), TIMEOUT) as plain:
        plain.sendall(ASK_FOR_TLS)
        if plain.recv(1) != b"S":
            return None
        with context.wrap_socket(plain, server_hostname=name) as secured:
            return secured.getpeercert(binary_form=True)


def _dated(said: str) -> str:
    return (
        f"{said}, by the clock of this machine: {datetime.now(UTC):%Y-%m-%d %H:%M} UTC"
        if said in OF_TIME
        else said
    )
