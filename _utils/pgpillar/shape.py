"""The kinds of value that pillar may hold. Each reads a raw value and notes by path what is wrong."""

from __future__ import annotations

import difflib
import ipaddress
import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from datetime import UTC, date, datetime
from functools import cached_property
from typing import NamedTuple

from pgpillar import guc, scram
from pgpillar.model import Secret, ip_address

EACH = object()  # in a path, any key
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
    """The problems found so far. In a part of pillar, what is missing may stand in another."""

    def __init__(self, of_a_part: bool = False, common: dict | None = None):
        """``common``: what was read of values that the trees of many nodes share."""
        self.of_a_part, self.common = of_a_part, common
        self.problems: list[Problem] = []
        self._places: set[Path] = set()

    def add(self, path: Path, message: str, fix: str) -> None:
        self.problems.append(Problem(str(path), message, fix))
        self._places.update(path[:depth] for depth in range(len(path) + 1))

    def read(self, kind: Kind, value: object, path: Path):
        """What a kind finds in a value. Where it is in common, that is looked for once."""
        if self.common is None or not isinstance(value, Mapping):
            return kind.read(value, path, self)
        key = id(value), path, self.of_a_part
        if key not in self.common:
            own = Notes(self.of_a_part, self.common)
            self.common[key] = (
                value,
                kind.read(value, path, own),
                own,
            )  # with the value, or its id may be reused
        _, read, own = self.common[key]
        self.problems += own.problems
        self._places |= own._places
        return read

    def has(self, path: Path) -> bool:
        """Whether something is wrong here or below, so that what is missed may only be unread."""
        return path in self._places


def nearest(word: object, known: Iterable[str]) -> str:
    """'did you mean X?', or the list of what is known."""
    close = difflib.get_close_matches(word, known, n=1) if isinstance(word, str) else ()
    return f"did you mean {close[0]!r}?" if close else f"known are: {', '.join(known) or 'none'}"


def _is_near(word: object, known: Iterable[str]) -> bool:
    return bool(re.fullmatch("[A-Za-z_]+", str(word)) and difflib.get_close_matches(str(word), known))


class Kind:
    """Reads one kind of value. A kind that finds nothing usable notes why and gives None.

    It never quotes the value: what is in the wrong place may be a secret.
    """

    secret = False  # whether a secret stands here, or below
    expected = "a value"

    def read(self, value, path: Path, notes: Notes):
        raise NotImplementedError

    def secrets(self) -> Iterator[Path]:
        """Where secrets stand in a value of this kind. ``EACH`` is for whatever key there is."""
        return iter(())

    def refuse(self, value, path: Path, notes: Notes, fix: str = ""):
        notes.add(path, f"{_kind_of(value)} is not {self.expected}", fix or f"write {self.expected}")


_KINDS = (
    (Mapping, "a mapping"),
    (list, "a list"),
    (str, "a text"),
    (bool, "a yes or no"),
    ((int, float), "a number"),
    (date, "a date"),
    (type(None), "nothing"),
)


def _kind_of(value) -> str:
    """What a value is, in YAML's words and without showing it."""
    if value == "":
        return "an empty text"
    return next((name for kind, name in _KINDS if isinstance(value, kind)), "this")


def _as_text(value, fix: str) -> str:
    """The fix, where YAML may have made something else of a text."""
    return "put it in quotes" if isinstance(value, (int, float, date)) else fix


def _is_sendable(text: str) -> bool:
    """Whether PostgreSQL can be sent it at all."""
    return "\0" not in text and not any("\ud800" <= char <= "\udfff" for char in text)


@dataclass
class Text(Kind):
    expected: str = "a text"
    pattern: str = r"(?s).+"

    def read(self, value, path, notes):
        if isinstance(value, str) and _is_sendable(value) and re.fullmatch(self.pattern, value):
            return value
        return self.refuse(value, path, notes, _as_text(value, ""))


class Name(Kind):
    """Anything PostgreSQL takes as an identifier, whole."""

    expected = "a name"

    def read(self, value, path, notes):
        if not isinstance(value, str):
            return self.refuse(value, path, notes, _as_text(value, "write a text"))
        for is_wrong, message, fix in _NAME_FAULTS:
            if is_wrong(value):
                return notes.add(path, message(value), fix)
        return value


def _size(name: str) -> int:
    return len(name.encode("utf-8", "surrogatepass"))


_NAME_FAULTS = (
    (lambda n: not n, lambda n: "the name is empty", "give it a name"),
    (lambda n: "\0" in n, lambda n: "the name holds a NUL character", "take it out"),
    (lambda n: not _is_sendable(n), lambda n: "the name holds half of a surrogate pair", "take it out"),
    (
        lambda n: _size(n) > MAX_NAME,
        lambda n: f"the name is {_size(n)} bytes long, and PostgreSQL cuts names at {MAX_NAME}",
        f"use at most {MAX_NAME} bytes",
    ),
)


@dataclass
class Reserved(Name):
    """A name of which PostgreSQL keeps some for itself."""

    words: tuple[str, ...]
    expected: str = "a name"
    prefixes: tuple[str, ...] = ("pg_",)

    def read(self, value, path, notes):
        name = super().read(value, path, notes)
        if name is not None and (name in self.words or name.startswith(self.prefixes)):
            return notes.add(path, "the name is reserved by PostgreSQL", "choose another name")
        return name


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

    def refuse(self, value, path, notes, fix=""):
        got = value if isinstance(value, int) and not isinstance(value, bool) else _kind_of(value)
        notes.add(path, f"{got} is not {self.expected}", f"write {self.expected}")


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
            return ip_address(value)
        except ValueError:
            return self.refuse(value, path, notes, "write for example 192.0.2.10; a name belongs in 'host'")


class Network(Kind):
    """A range of addresses. One that holds them all is none."""

    expected = "a range of addresses"

    def read(self, value, path, notes):
        try:
            network = ipaddress.ip_network(value if isinstance(value, str) else "")
            ip_address(str(network.network_address))
        except ValueError:
            return self.refuse(value, path, notes, "write for example 192.0.2.0/24, or 192.0.2.10")
        if network.prefixlen == 0:
            return notes.add(path, f"{network} is everybody", "name the ranges that its users come from")
        return str(network)


class Scalar(Kind):
    """A text, a number or a switch, as pgbouncer reads it."""

    expected = "a text or a number in one line"

    def read(self, value, path, notes):
        if isinstance(value, (str, int, float)) and not set(str(value)) & set("\0\r\n"):
            return str(int(value)) if isinstance(value, bool) else guc.canonical("", value)[1]
        return self.refuse(value, path, notes)


class Flag(Kind):
    expected = "true or false"

    def read(self, value, path, notes):
        return value if isinstance(value, bool) else self.refuse(value, path, notes)


class Password(Kind):
    """A password or a SCRAM verifier. Newlines are refused: no passfile can hold them."""

    secret = True
    expected = "a password in one line of text"

    def secrets(self):
        yield Path()

    def read(self, value, path, notes):
        if not isinstance(value, str) or not value or set(value) & set("\r\n") or not _is_sendable(value):
            return self.refuse(value, path, notes, "put a text of one line in quotes")
        if _HASH.match(value) and not scram.is_verifier(value):
            fix = "put the password itself there, or a whole SCRAM-SHA-256 verifier"
            return notes.add(path, "a hash of this kind is no password and no verifier", fix)
        return Secret(value)


_HASH = re.compile(r"md5[0-9a-f]{32}\Z|SCRAM-SHA-256\$")


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
            return notes.add(path, "the time does not say its zone", self._fix)
        try:
            return moment.astimezone(UTC)
        except OverflowError:
            return notes.add(path, "no calendar reaches so far", "write 'infinity', or leave it out")


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
        pairs = {}
        for name, setting in value.items():
            pair = self._pair(name, setting, path / name, notes)
            if pair and pair[0] in pairs:
                notes.add(path / name, "the setting is given twice", "keep one; capitals make no difference")
            elif pair:
                pairs[pair[0]] = pair
        return frozenset(pairs.values())

    def _pair(self, name, setting, path, notes):
        if not isinstance(name, str) or not guc.NAME.match(name):
            return notes.add(path, "this is not the name of a setting", "use PostgreSQL's own name")
        if name.lower() in self._forbidden:
            return notes.add(path, "pgpillar sets this itself", self._forbidden[name.lower()])
        items = setting if isinstance(setting, list) else [setting]
        if not all(isinstance(item, (str, int, float, date)) and _is_sendable(str(item)) for item in items):
            return notes.add(path, "the setting has no usable value", "write a text, a number or a list")
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
            if item is None and self.value.secret and _swallowed(key):
                notes.add(path / _swallowed(key), *_NO_SPACE)
                continue
            at = path / key
            name, entry = self.key.read(key, at, notes), notes.read(self.value, item, at)
            if name is not None and entry is not None:
                read[name] = entry
        return read

    def secrets(self):
        return (Path((EACH, *path)) for path in self.value.secrets())


_NO_SPACE = ("the space after the colon is missing", "write 'key: value'")


def _swallowed(key) -> str | None:
    """The key that was meant, where one like {shop_app:secret} has taken in its value."""
    return str(key).partition(":")[0] if ":" in str(key) else None


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

    @property
    def secret(self) -> bool:
        return any(key.kind.secret for key in self.keys.values())

    def read(self, value, path, notes):
        if isinstance(value, str) and self.short:
            value = {self.short: value}
        if value is None:
            value = {}
        if not isinstance(value, Mapping):
            return notes.add(
                path, f"{_kind_of(value)} is not {self.expected}", _as_text(value, self._example())
            )
        for name in self._required if not notes.of_a_part else ():
            if value.get(name) is None:
                notes.add(path, f"{name!r} is missing", f"add {name!r}: {self.keys[name].help}")
        return {**self._defaults, **dict(self._given(value, path, notes))}

    def _given(self, value, path, notes) -> Iterator[tuple[str, object]]:
        """The keys that are there. Most are not, and cost nothing."""
        for name, item in value.items():
            if name not in self.keys:
                self._unknown(name, path, notes)
            elif item is not None:
                read = notes.read(self.keys[name].kind, item, path / name)
                yield name, self.keys[name].default if read is None else read

    @cached_property
    def _defaults(self) -> dict[str, object]:
        return {name: key.default for name, key in self.keys.items()}

    @cached_property
    def _required(self) -> list[str]:
        return [name for name, key in self.keys.items() if key.required]

    def secrets(self):
        return (Path((name, *path)) for name, key in self.keys.items() for path in key.kind.secrets())

    def _unknown(self, name, path, notes):
        """Beside a secret, a key is named only where it is near to a known one, for it may be the secret."""
        if _swallowed(name):
            notes.add(path / _swallowed(name), *_NO_SPACE)
        elif not self.secret or _is_near(name, self.keys):
            notes.add(path / name, f"unknown key {str(name)!r}", nearest(name, self.keys))
        else:
            notes.add(path, "one of the keys is unknown", nearest("", self.keys))

    def _example(self) -> str:
        names = self._required or list(self.keys)[:1]
        return "write for example {" + ", ".join(f"{name}: …" for name in names) + "}"


@dataclass
class Either(Kind):
    """One kind for a text, another for anything else."""

    text: Kind
    other: Kind

    def read(self, value, path, notes):
        kind = self.text if isinstance(value, str) else self.other
        return kind.read(value, path, notes)
