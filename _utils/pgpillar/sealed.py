"""Values that are encrypted for the master. Who cannot decrypt one can still tell its shape."""

from __future__ import annotations

import base64
import hashlib
import io
import re
from collections.abc import Callable, Iterator, Mapping
from functools import cache

from pgpillar.shape import Path

BEGIN, END = "-----BEGIN PGP MESSAGE-----", "-----END PGP MESSAGE-----"
FOR_A_KEY, FOR_A_PASSPHRASE = 1, 3  # packets with a session key, by which an encrypted message begins
ENCRYPTED = 9, 18, 20  # and those with what is encrypted, which end it
PADDING = 10, 21  # and those that say nothing


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
        return _fault_in([tag for tag in _packets(_dearmored(text)) if tag not in PADDING])
    except EOFError:
        return "the encrypted value is cut off"
    except ValueError:
        return "the encrypted value is damaged"


def _fault_in(packets: list[int]) -> str | None:
    """What is wrong with a message of these packets."""
    *keys, last = packets or [None]
    if not keys and last not in (FOR_A_KEY, FOR_A_PASSPHRASE) or {*keys} - {FOR_A_KEY, FOR_A_PASSPHRASE}:
        return "this is no encrypted message"
    if last not in ENCRYPTED:
        return "the encrypted value is cut off"
    return None if FOR_A_KEY in keys else "this is encrypted for a passphrase, which no master has"


def _dearmored(text: str) -> bytes:
    """What stands between the two lines: headers, an empty line, the message, and mostly its checksum."""
    armor = re.fullmatch(rf"\s*{BEGIN}\n(.+: .*\n)*\s*\n([^=]+={{0,2}})\s*(?:\n=(\S{{4}}))?\s*{END}\s*", text)
    if not armor:
        raise ValueError("this is no armor")
    message, checksum = (
        base64.b64decode("".join((part or "").split()), validate=True) for part in armor.groups()[1:]
    )
    if checksum and int.from_bytes(checksum, "big") != _crc24(message):
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


def _packets(message: bytes) -> Iterator[int]:
    """The kinds of the packets of a message, each of which is there as a whole."""
    data = io.BytesIO(message)
    while head := data.read(1):
        if not head[0] & 0x80:
            raise ValueError("here no packet begins")
        tag, measure = (head[0] & 0x3F, _new) if head[0] & 0x40 else (head[0] >> 2 & 0xF, _old)
        for length in measure(data, head[0]):
            _exactly(data, length)
        yield tag


def _new(data: io.BytesIO, _: int) -> Iterator[int]:
    """The lengths of the parts of a packet, before each of which it stands."""
    while 224 <= (first := _exactly(data, 1)[0]) < 255:
        yield 1 << (first & 0x1F)
    if first < 192:
        yield first
    elif first < 224:
        yield (first - 192 << 8) + _exactly(data, 1)[0] + 192
    else:
        yield int.from_bytes(_exactly(data, 4), "big")


def _old(data: io.BytesIO, head: int) -> Iterator[int]:
    """The same in the older form, where one without a length goes on to the end."""
    size = head & 3
    yield (
        int.from_bytes(_exactly(data, 1 << size), "big") if size < 3 else len(data.getbuffer()) - data.tell()
    )


def _exactly(data: io.BytesIO, length: int) -> bytes:
    found = data.read(length)
    if len(found) < length:
        raise EOFError
    return found
