"""Values that are encrypted for the master. Who cannot decrypt one can still tell its shape."""

from __future__ import annotations

import base64
import binascii
import hashlib
import re
from collections.abc import Callable, Mapping
from functools import cache

from pgpillar.shape import Path

BEGIN, END = "-----BEGIN PGP MESSAGE-----", "-----END PGP MESSAGE-----"
SESSION_KEYS = (1, 3)  # what an encrypted message begins with: its session key, for a key or for a passphrase


class Sealed(str):
    """Stands for an encrypted value: equal to that of the same message alone, and in one line."""


def seal(value, path: Path, tell: Callable[[Path, str], None]):
    """The same data with a stand-in for each encrypted value, of each of which it tells."""
    if isinstance(value, Mapping):
        return type(value)((key, seal(item, path / key, tell)) for key, item in value.items())
    if isinstance(value, list):
        return [seal(item, path / index, tell) for index, item in enumerate(value)]
    if not isinstance(value, str) or BEGIN not in value:
        return value
    tell(path, value)
    return Sealed("sealed-" + hashlib.sha256(value.encode()).hexdigest()[:32])


@cache
def fault_of(text: str) -> str | None:
    """What is wrong with an armored message, as far as it can be told without its key."""
    if END not in text:
        return "the encrypted value is cut off"
    if not (text.strip().startswith(BEGIN) and text.strip().endswith(END)):
        return "something stands in the clear beside the encrypted value"
    if text.count(BEGIN) + text.count(END) > 2:
        return "these are several encrypted values in one"
    try:
        message = _dearmored(text)
    except (ValueError, binascii.Error):
        return "the encrypted value is damaged"
    return None if message and _tag(message[0]) in SESSION_KEYS else "this is no encrypted message"


def _dearmored(text: str) -> bytes:
    body = text.partition(BEGIN)[2].partition(END)[0]
    lines = [line.strip() for line in body.splitlines()]
    lines = lines[lines.index("", 1) + 1 :] if ":" in "".join(lines[:4]) else lines
    checksum = next((line[1:] for line in lines if re.fullmatch("=[A-Za-z0-9+/]{4}", line)), None)
    message = base64.b64decode("".join(line for line in lines if not line.startswith("=")), validate=True)
    if checksum and int.from_bytes(base64.b64decode(checksum), "big") != _crc24(message):
        raise ValueError("the checksum is another")
    return message


def _crc24(data: bytes) -> int:
    crc = 0xB704CE
    for byte in data:
        crc = (crc << 8) & 0xFFFFFF ^ _CRC24[crc >> 16 ^ byte]
    return crc


def _step(crc: int) -> int:
    for _ in range(8):
        crc = crc << 1 ^ (0x1864CFB if crc & 0x800000 else 0)
    return crc


_CRC24 = [_step(byte << 16) for byte in range(256)]


def _tag(head: int) -> int:
    """The kind of an OpenPGP packet, from its first byte, in the new form or in the old."""
    return head & 0x3F if head & 0x40 else (head & 0x3C) >> 2
