"""Passwords as they stand in an environment's files: in the clear in dev, else encrypted for its master."""

from __future__ import annotations

import secrets
import subprocess
import tempfile
from pathlib import Path

from pgpillar_cli.edit import EditError
from pgpillar_cli.place import Environment, Place

SHEBANG = "#!yaml|gpg\n"
EXAMPLE = "example.asc"


def new_password() -> str:
    return secrets.token_urlsafe(32)


def keys(place: Place, environment: Environment) -> list[Path]:
    """The public keys of those who can read what is written for an environment."""
    directory = place.root / "conf" / environment.name / "keys"
    found = sorted(key for key in directory.glob("*.asc") if not key.stem.endswith(".asc"))  # gpg's output
    if not found:
        where = place.relative(directory)
        raise EditError(f"{where} has no key to encrypt for; export that of the master of {environment.name}")
    return found


def encrypted(password: str, recipients: list[Path]) -> str:
    """An armored message that these keys can read. The password goes through a pipe."""
    to = [f"--recipient-file={key}" for key in recipients]
    options = ("--batch", "--quiet", "--armor", "--trust-model", "always")
    with tempfile.TemporaryDirectory(prefix="pgpillar-") as home:
        command = ["gpg", "--homedir", home, *options, *to, "--encrypt"]
        try:
            done = subprocess.run(command, input=password, capture_output=True, text=True)
        except FileNotFoundError:
            raise EditError("gpg is not installed, which encrypts passwords; install gnupg") from None
    if done.returncode:
        raise EditError(f"gpg cannot encrypt for {named(recipients)}: {done.stderr.strip()}")
    return done.stdout


def named(recipients: list[Path]) -> str:
    names = ", ".join(key.name for key in recipients)
    return names + " (whose secret part nobody has: replace it)" * (EXAMPLE in names)
