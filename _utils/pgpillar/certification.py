"""The certificate of a server with its key, in one file: made, renewed, and never left half."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path

from cryptography.x509 import Certificate

from pgpillar import certificates, files
from pgpillar.certificates import Wanted
from pgpillar.files import Guard
from pgpillar.model import Trouble


class Certification:
    """``sign`` gives a certificate for a public key. A file takes the place of another in one step."""

    def __init__(self, path: str, wanted: Wanted, guard: Guard):
        self.path, self.wanted, self.guard = Path(path), wanted, guard

    def changes(self) -> dict[str, str]:
        """Why there is to be a new one; nothing, where there is not."""
        reason = self._why()
        return {"certificate": reason} if reason else {}

    def _why(self) -> str | None:
        if not self.path.exists():
            return "new"
        reason = certificates.why_renew(files.read(self.path), self.wanted, datetime.now(UTC))
        return f"renewed: {reason}" if reason else None

    def renew(self, sign: Callable[[str], Certificate]) -> None:
        """Put a new key with its certificate in place: a key that leaked is of use no longer than these."""
        key = certificates.new_key()
        pair = certificates.pair(key, sign(certificates.public_part(key)))
        if fault := certificates.why_renew(pair, self.wanted, datetime.now(UTC)):
            raise Trouble(f"what the CA signed is not put in place: {fault}; {_advice(fault)}")
        files.write(self.path, pair, self.guard)


def why_useless(path: Path) -> str | None:
    """Why what is there cannot serve on, where no other can be had."""
    if not path.exists():
        return "there was none before"
    return certificates.why_useless(files.read(path), datetime.now(UTC))


def read(path: Path) -> Certificate:
    """The certificate of a file."""
    if not path.exists():
        raise Trouble(f"there is no {path} yet; the state postgresql.certificate makes it")
    found = certificates.in_pem(files.read(path))
    if not found:
        raise Trouble(f"{path} holds no whole certificate; highstate mends it")
    return found[0]


_ADVICE = {
    "it begins": "is the clock of this machine right?",
    "it end": "is the clock of this machine right, and days_valid in the CA's signing policy?",
    "it lacks": "mend the names in the CA's signing policy",
    "it is not from": "has the CA's word reached the mine? Run mine.update on it",
}


def _advice(fault: str) -> str:
    return next((advice for start, advice in _ADVICE.items() if fault.startswith(start)), "run this again")
