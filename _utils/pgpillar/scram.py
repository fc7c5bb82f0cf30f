"""SCRAM-SHA-256 verifiers, as PostgreSQL keeps them (RFC 5803), with RFC 4013 preparation of the password."""

from __future__ import annotations

import hmac
import os
import re
import stringprep
import unicodedata
from base64 import b64decode, b64encode
from hashlib import pbkdf2_hmac, sha256

ITERATIONS = 4096
MOST_ITERATIONS = 100_000  # any role can give itself a verifier of a billion, which takes hours to compute
_KEY = "([A-Za-z0-9+/]{43}=)"  # 32 bytes
_SALT = "((?:[A-Za-z0-9+/]{4})*(?:[A-Za-z0-9+/]{4}|[A-Za-z0-9+/]{3}=|[A-Za-z0-9+/]{2}==))"
_VERIFIER = re.compile(rf"SCRAM-SHA-256\$([1-9]\d{{0,8}}):{_SALT}\${_KEY}:{_KEY}\Z", re.ASCII)

_PROHIBITED = (
    stringprep.in_table_c21_c22,
    stringprep.in_table_c3,
    stringprep.in_table_c4,
    stringprep.in_table_c5,
    stringprep.in_table_c6,
    stringprep.in_table_c7,
    stringprep.in_table_c8,
    stringprep.in_table_c9,
    stringprep.in_table_a1,
)


def verifier(password: str, salt: bytes | None = None, iterations: int = ITERATIONS) -> str:
    """What the server is given in place of the password."""
    salt = os.urandom(16) if salt is None else salt
    salted = pbkdf2_hmac("sha256", prepared(password), salt, iterations)
    stored = sha256(_hmac(salted, b"Client Key")).digest()
    server = _hmac(salted, b"Server Key")
    return f"SCRAM-SHA-256${iterations}:{_b64(salt)}${_b64(stored)}:{_b64(server)}"


def fits(password: str, kept: str | None) -> bool:
    """Whether the server, keeping this, lets this password in. An md5 hash never fits: it has to go.

    Nor does a verifier of very many iterations, which is not even computed.
    """
    found = _VERIFIER.match(kept or "")
    if not found:
        return False
    if is_verifier(password):
        return hmac.compare_digest(password, kept)
    iterations, salt = int(found[1]), b64decode(found[2])
    if iterations > MOST_ITERATIONS:
        return False
    return hmac.compare_digest(verifier(password, salt, iterations), kept)


def is_verifier(text: str) -> bool:
    return bool(_VERIFIER.match(text))


def prepared(password: str) -> bytes:
    """The bytes that are hashed. Like PostgreSQL, and unlike RFC 4013, it looks for what is forbidden before
    it normalizes, and takes a password that holds such as it stands.
    """
    if password.isascii() and password.isprintable():
        return password.encode()  # the usual case, and preparation leaves it as it is
    mapped = "".join(
        " " if stringprep.in_table_c12(char) else char
        for char in password
        if stringprep.in_table_c12(char) or not stringprep.in_table_b1(char)
    )
    text = unicodedata.normalize("NFKC", mapped) if mapped and _is_allowed(mapped) else password
    return text.encode()


def _is_allowed(text: str) -> bool:
    if any(forbids(char) for char in text for forbids in _PROHIBITED):
        return False
    if not any(map(stringprep.in_table_d1, text)):
        return True
    ends_are_rtl = stringprep.in_table_d1(text[0]) and stringprep.in_table_d1(text[-1])
    return ends_are_rtl and not any(map(stringprep.in_table_d2, text))


def _hmac(key: bytes, message: bytes) -> bytes:
    return hmac.new(key, message, sha256).digest()


def _b64(raw: bytes) -> str:
    return b64encode(raw).decode()
