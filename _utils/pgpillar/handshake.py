"""Why a server's certificate is refused: libpq says that it is, and no more."""

from __future__ import annotations

import socket
import ssl
import struct
from datetime import UTC, datetime

from pgpillar.model import Endpoint

ASK_FOR_TLS = struct.pack("!ii", 8, 80877103)
OF_TIME = ("certificate has expired", "certificate is not yet valid")


def refusal(endpoint: Endpoint, ca: str) -> str:
    """OpenSSL's own words, from a handshake of its own; nothing, where there are none."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname = False
    try:
        context.load_verify_locations(ca)
        with socket.create_connection(
            (endpoint.hostaddr or endpoint.host, endpoint.port), timeout=5
        ) as plain:
            plain.sendall(ASK_FOR_TLS)
            plain.recv(1)
            context.wrap_socket(plain).close()
    except ssl.SSLCertVerificationError as error:
        return _dated(error.verify_message)
    except OSError:
        pass
    return ""


def _dated(said: str) -> str:
    return (
        f"{said}, by the clock of this machine: {datetime.now(UTC):%Y-%m-%d %H:%M} UTC"
        if said in OF_TIME
        else said
    )
