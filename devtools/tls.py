"""A certificate authority of one's own, for the private servers of the demo, the tests and the benchmarks."""

import os
from pathlib import Path

import trustme


def authority(directory):
    """Return the CA kept in ``directory`` as ca.pem and ca.key; it is made when it is not there."""
    certificate, key = Path(directory, "ca.pem"), Path(directory, "ca.key")
    if key.exists():
        return trustme.CA.from_pem(certificate.read_bytes(), key.read_bytes())
    made = trustme.CA(organization_name="pgpillar", organization_unit_name="private server")
    write(key, made.private_key_pem.bytes(), 0o600)
    write(certificate, made.cert_pem.bytes(), 0o644)
    return made


def write(path, content, mode, owner=None):
    """Write ``content`` to ``path``, which no moment of its life is more open than ``mode``."""
    beside = path.with_name(f"{path.name}.new")
    beside.unlink(missing_ok=True)
    with open(os.open(beside, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "wb") as file:
        file.write(content)
        os.fchmod(file.fileno(), mode)
        if owner:
            os.fchown(file.fileno(), *owner)
    beside.rename(path)
