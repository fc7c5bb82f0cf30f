"""Settings as PostgreSQL stores them for a role or a database."""

from __future__ import annotations

import re
from string import ascii_lowercase, ascii_uppercase

# A value of these is a list of names: stored with each name quoted, written with each as a literal.
NAME_LISTS = frozenset(
    {"search_path", "temp_tablespaces", "session_preload_libraries", "local_preload_libraries"}
)

NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_$]*(\.[A-Za-z_][A-Za-z0-9_$]*)*\Z")
_PLAIN = re.compile(r"[a-z_][a-z0-9_]*\Z")
_ELEMENT = re.compile(r'\s*(?:"((?:[^"]|"")*)"|([^",\s]+))\s*(?:,(?!\Z)|\Z)', re.ASCII)
_LOWER = str.maketrans(ascii_uppercase, ascii_lowercase)  # PostgreSQL folds no other letters


def canonical(name: str, value: object) -> tuple[str, str]:
    """(name, value) in the one form in which two settings can be compared."""
    name = name.lower()
    return name, _join(names_in(value)) if name in NAME_LISTS else _text(value)


def as_stored(setting: str) -> tuple[str, str]:
    """(name, value) of a setting as the catalog holds it: any role can store a list that is not one."""
    name, value = setting.split("=", 1)
    try:
        return canonical(name, value)
    except ValueError:
        return name.lower(), value


def names_in(value: object) -> list[str]:
    """The names in a list setting, from a YAML list or from the text of one."""
    if isinstance(value, (list, tuple)):
        return [str(item) for item in value]
    text, names, at = str(value).strip(" \t\n\r\f\v"), [], 0
    while at < len(text):
        found = _ELEMENT.match(text, at)
        if not found:
            raise ValueError("the text is not a list of names")
        quoted, plain = found.groups()
        names.append(plain.translate(_LOWER) if quoted is None else quoted.replace('""', '"'))
        at = found.end()
    return names


def _join(names: list[str]) -> str:
    """An empty list is stored as one empty name."""
    names = names or [""]
    return ", ".join(name if _PLAIN.match(name) else '"' + name.replace('"', '""') + '"' for name in names)


def _text(value: object) -> str:
    if isinstance(value, bool):
        return "on" if value else "off"
    return ", ".join(map(_text, value)) if isinstance(value, list) else str(value)
