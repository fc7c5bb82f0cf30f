"""What a server shows to whoever comes by TLS."""

from __future__ import annotations

import socket
import ssl
import struct

from cryptography import x509

SSL_REQUEST = struct.pack("!ii", 8, 80877103)  # its length, and PostgreSQL's number for it
PATIENCE = 10


def certificate_at(host: str, port: int) -> x509.Certificate | None:
    """The certificate that a PostgreSQL server shows; none, where it knows no TLS. Nothing is verified."""
    context = ssl.create_default_context()
    context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    with socket.create_connection((host, port), timeout=PATIENCE) as plain:
        plain.sendall(SSL_REQUEST)
        if plain.recv(1) != b"S":
            return None
        with context.wrap_socket(plain) as secured:
            return x509.load_der_x509_certificate(secured.getpeercert(binary_form=True))
