"""The kinds of value that pillar may hold. Each reads a raw value and notes by path what is wrong."""

from __future__ import annotations

import difflib
import ipaddress
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import UTC, date, datetime
from typing import NamedTuple

from pgpillar import guc
from pgpillar.model import Secret

MAX_NAME = 63  # bytes; PostgreSQL cuts what is longer, without a word


class Problem(NamedTuple):
    """What is wrong, where in pillar, and what would be right."""

    path: str
    message: str
    fix: str

    def __str__(self) -> str:
        return f"{self.path}: {self.message}; {self.fix}"


class Path(tuple):
    """Where a value stands in pillar. Written as Salt writes it, with colons."""

    def __truediv__(self, key) -> Path:
        return Path((*self, key))

    def __str__(self) -> str:
        return ":".join(_written(key) for key in self)


def _written(key) -> str:
    text = str(key)
    return text if re.fullmatch(r"[\w.@/-]+", text) else repr(text)


class Notes:
    """The problems found so far."""

    def __init__(self):
        self.problems: list[Problem] = []

    def add(self, path: Path, message: str, fix: str) -> None:
        self.problems.append(Problem(str(path), message, fix))


def nearest(word: str, known) -> str:
    """'did you mean X?', or the list of what is known."""
    close = difflib.get_close_matches(str(word), list(map(str, known)), n=1, cutoff=0.6)
    return f"did you mean {close[0]!r}?" if close else f"known are: {', '.join(map(str, known)) or 'none'}"


class Kind:
    """Reads one kind of value. A kind that finds nothing usable notes why and gives None."""

    secret = False  # a secret kind never quotes the value it refuses
    expected = "a value"

    def read(self, value, path: Path, notes: Notes):
        raise NotImplementedError

    def refuse(self, value, path: Path, notes: Notes, fix: str = ""):
        got = _kind_of(value) if self.secret or isinstance(value, (Mapping, list)) else repr(value)[:80]
        notes.add(path, f"{got} is not {self.expected}", fix or f"write {self.expected}")


def _kind_of(value) -> str:
    """What a value is, in YAML's words and without showing it."""
    names = (
        (Mapping, "a mapping"),
        (list, "a list"),
        (str, "a text"),
        (bool, "a yes or no"),
        (int, "a number"),
    )
    return next(
        (name for kind, name in names if isinstance(value, kind)), "nothing" if value is None else "this"
    )


@dataclass
class Text(Kind):
    expected: str = "a text"
    pattern: str = r"(?s).+"
    example: str = ""

    def read(self, value, path, notes):
        if isinstance(value, str) and "\0" not in value and re.fullmatch(self.pattern, value):
            return value
        return self.refuse(value, path, notes, self.example and f"write for example {self.example}")


class Name(Kind):
    """Anything PostgreSQL takes as an identifier, whole."""

    expected = "a name"

    def read(self, value, path, notes):
        if not isinstance(value, str):
            fix = (
                f"put it in quotes: '{value}'"
                if isinstance(value, (int, float, bool, date))
                else "write a text"
            )
            return self.refuse(value, path, notes, fix)
        for is_wrong, message, fix in _NAME_FAULTS:
            if is_wrong(value):
                return notes.add(path, message(value), fix)
        return value


def _size(name: str) -> int:
    return len(name.encode("utf-8", "surrogatepass"))


_NAME_FAULTS = (
    (lambda n: not n, lambda n: "the name is empty", "give it a name"),
    (lambda n: "\0" in n, lambda n: f"{n!r} holds a NUL character", "take it out"),
    (
        lambda n: any("\ud800" <= c <= "\udfff" for c in n),
        lambda n: f"{n!r} holds half of a surrogate pair",
        "take it out",
    ),
    (
        lambda n: _size(n) > MAX_NAME,
        lambda n: f"{n[:24] + '…'!r} is {_size(n)} bytes long, and PostgreSQL cuts names at {MAX_NAME}",
        f"use at most {MAX_NAME} bytes",
    ),
)


class Unreserved(Name):
    """A name that is not one of these."""

    def __init__(self, *reserved: str):
        self.reserved = reserved

    def read(self, value, path, notes):
        name = super().read(value, path, notes)
        if name is not None and self._is_reserved(name):
            return notes.add(path, f"{name!r} is reserved", "choose another name")
        return name

    def _is_reserved(self, name: str) -> bool:
        return name in self.reserved


class RoleName(Unreserved):
    """A name for a role: some are PostgreSQL's own."""

    expected = "a role name"

    def __init__(self):
        super().__init__("public", "none")

    def _is_reserved(self, name):
        return name.startswith("pg_") or super()._is_reserved(name)


@dataclass
class Number(Kind):
    low: int = 0
    high: int = 2**31 - 1

    @property
    def expected(self):
        return f"a whole number from {self.low} to {self.high}"

    def read(self, value, path, notes):
        if isinstance(value, int) and not isinstance(value, bool) and self.low <= value <= self.high:
            return value
        return self.refuse(value, path, notes)


class Choice(Kind):
    def __init__(self, *words: str):
        self.words = words
        self.expected = "one of " + ", ".join(words)

    def read(self, value, path, notes):
        if value in self.words:
            return value
        return self.refuse(value, path, notes, nearest(value, self.words))


class Address(Kind):
    expected = "an IP address"

    def read(self, value, path, notes):
        try:
            return (
                str(ipaddress.ip_address(value))
                if isinstance(value, str)
                else self.refuse(value, path, notes)
            )
        except ValueError:
            return self.refuse(value, path, notes, "write for example 192.0.2.10; a name belongs in 'host'")


class Password(Kind):
    """A password or a SCRAM verifier. Newlines are refused: no passfile can hold them."""

    secret = True
    expected = "a password in one line of text"

    def read(self, value, path, notes):
        if isinstance(value, str) and value and not set(value) & set("\0\r\n") and _is_utf8(value):
            return Secret(value)
        return self.refuse(value, path, notes, "put a text of one line in quotes")


def _is_utf8(text: str) -> bool:
    return not any("\ud800" <= char <= "\udfff" for char in text)


class Moment(Kind):
    """A point in time, with its zone. A bare date begins at midnight UTC."""

    expected = "a time with its zone"
    _fix = "write for example '2027-01-31T18:00:00+01:00' or '2027-01-31'"

    def read(self, value, path, notes):
        if value == "infinity":
            return None
        moment = _moment(value)
        if moment is None:
            return self.refuse(value, path, notes, self._fix)
        if moment.tzinfo is None:
            return notes.add(path, f"{str(value)!r} does not say its time zone", self._fix)
        return moment.astimezone(UTC)


def _moment(value) -> datetime | None:
    if isinstance(value, str):
        text = value.strip()
        value = _parsed(date, text) or _parsed(datetime, re.sub(r"[zZ]$", "+00:00", text))
    if isinstance(value, date) and not isinstance(value, datetime):
        return datetime(value.year, value.month, value.day, tzinfo=UTC)
    return value if isinstance(value, datetime) else None


def _parsed(kind: type, text: str):
    try:
        return kind.fromisoformat(text)
    except ValueError:
        return None


class Settings(Kind):
    """Settings of a role or a database, by PostgreSQL's names."""

    expected = "a mapping of setting to value"
    _forbidden = {"role": "give 'owner' access instead", "session_authorization": "leave it out"}

    def read(self, value, path, notes):
        if not isinstance(value, Mapping):
            self.refuse(value, path, notes, "write for example {search_path: [shop, public]}")
            return frozenset()
        pairs = [self._pair(name, setting, path / name, notes) for name, setting in value.items()]
        return frozenset(filter(None, pairs))

    def _pair(self, name, setting, path, notes):
        if not isinstance(name, str) or not guc.NAME.match(name):
            return notes.add(path, f"{name!r} is not the name of a setting", "use PostgreSQL's own name")
        if name.lower() in self._forbidden:
            return notes.add(path, "pgpillar sets this itself", self._forbidden[name.lower()])
        if setting is None or isinstance(setting, Mapping) or "\0" in str(setting):
            return notes.add(path, "the setting has no value", "write a text, a number or a list")
        try:
            return guc.canonical(name, setting)
        except ValueError as error:
            return notes.add(path, str(error), "write for example [shop, public]")


@dataclass
class ListOf(Kind):
    item: Kind
    alone: bool = False  # one item may stand without a list

    @property
    def expected(self):
        return "a list"

    def read(self, value, path, notes):
        if self.alone and isinstance(value, str):
            value = [value]
        if not isinstance(value, list):
            self.refuse(value, path, notes, "write for example [one, two]")
            return ()
        read = [self.item.read(item, path / index, notes) for index, item in enumerate(value)]
        return tuple(item for item in read if item is not None)


@dataclass
class MapOf(Kind):
    key: Kind
    value: Kind

    expected = "a mapping"

    def read(self, value, path, notes):
        if value is None:
            return {}
        if not isinstance(value, Mapping):
            notes.add(path, f"{_kind_of(value)} is not {self.expected}", "write 'name: value' lines below it")
            return {}
        read = {}
        for key, item in value.items():
            name = self.key.read(key, path / key, notes)
            entry = self.value.read(item, path / key, notes)
            if name is not None and entry is not None:
                read[name] = entry
        return read


@dataclass(frozen=True)
class Key:
    """A key of a section: the kind of its value, what holds where it is left out, and what it is for."""

    kind: Kind
    help: str
    default: object = None
    required: bool = False


@dataclass
class Section(Kind):
    """A mapping with known keys. Where it has a short form, a text stands for the whole."""

    keys: Mapping[str, Key]
    short: str | None = None
    expected: str = field(default="a mapping", kw_only=True)

    def read(self, value, path, notes):
        if isinstance(value, str) and self.short:
            value = {self.short: value}
        if value is None:
            value = {}
        if not isinstance(value, Mapping):
            return notes.add(path, f"{_kind_of(value)} is not {self.expected}", self._example())
        for name in value:
            if name not in self.keys:
                notes.add(path / name, f"unknown key {name!r}", nearest(name, self.keys))
        return {name: self._one(name, key, value, path, notes) for name, key in self.keys.items()}

    def _one(self, name, key: Key, value, path, notes):
        if name in value and value[name] is not None:
            read = key.kind.read(value[name], path / name, notes)
            return key.default if read is None else read
        if key.required:
            notes.add(path, f"{name!r} is missing", f"add {name!r}: {key.help}")
        return key.default

    def _example(self) -> str:
        required = [name for name, key in self.keys.items() if key.required] or list(self.keys)[:1]
        return "write for example {" + ", ".join(f"{name}: …" for name in required) + "}"


@dataclass
class Either(Kind):
    """One kind for a text, another for anything else."""

    text: Kind
    other: Kind
    make: Callable = lambda read: read

    def read(self, value, path, notes):
        kind = self.text if isinstance(value, str) else self.other
        return kind.read(value, path, notes)
