"""What pillar may hold as a JSON Schema, for editors: made of the kinds that read pillar.

It refuses nothing that they accept. Only they see what pillar's parts say of each other, and a few values.
"""

from __future__ import annotations

import re
from functools import singledispatch

from pgpillar import guc, sealed, shape
from pgpillar.tree import TREE, Extensions

DRAFT = "http://json-schema.org/draft-07/schema#"  # the newest that editors know whole
ENCRYPTED = rf"{sealed.BEGIN}[\s\S]+{sealed.END}\s*"
LINE = {"pattern": r"^[^\r\n]*$"}


def of_file() -> dict:
    """What a file of pillar may hold. Salt merges files, so none of them need be whole."""
    tree = {**of(TREE), "description": "PostgreSQL as it is to be"}
    return {"$schema": DRAFT, "title": "pgpillar", "type": "object", "properties": {"postgresql": tree}}


@singledispatch
def of(kind: shape.Kind) -> dict:
    """The schema of one kind."""
    raise TypeError(f"there is no schema of {type(kind).__name__}")


@of.register
def _(kind: shape.Text):
    return {"type": "string", "pattern": _whole(kind.pattern)}


@of.register
def _(kind: shape.Name):
    return {"type": "string", "minLength": 1, "maxLength": shape.MAX_NAME}


@of.register
def _(kind: shape.Reserved):
    kept = "|".join([*(f"{word}$" for word in kind.words), *kind.prefixes])
    return {"type": "string", "pattern": f"^(?!{kept})", "minLength": 1, "maxLength": shape.MAX_NAME}


@of.register
def _(kind: shape.Number):
    return {"type": "integer", "minimum": kind.low, "maximum": kind.high}


@of.register
def _(kind: shape.Choice):
    return {"enum": list(kind.words)}


@of.register
def _(kind: shape.Address):
    return {"type": "string", "anyOf": [{"format": "ipv4"}, {"format": "ipv6"}]}


@of.register
def _(kind: shape.Network):
    return {"type": "string", "pattern": r"^[0-9A-Fa-f:.]+(%\w+)?(/[0-9.]+)?$"}


@of.register
def _(kind: shape.Scalar):
    return {"type": ["string", "number", "boolean"], **LINE}


@of.register
def _(kind: shape.Flag):
    return {"type": "boolean"}


@of.register
def _(kind: shape.Password):
    return {"type": "string", "pattern": rf"^([^\r\n]+|{ENCRYPTED})$"}


@of.register
def _(kind: shape.Moment):
    return {"type": "string", "pattern": r"^(infinity|\s*\d.*)$"}


@of.register
def _(kind: shape.Settings):
    setting = {"type": ["string", "number", "boolean"]}
    several = {"type": "array", "items": setting}
    names = {"pattern": "^(" + guc.NAME.pattern.removesuffix(r"\Z") + ")$"}
    return {"type": "object", "propertyNames": names, "additionalProperties": {"anyOf": [setting, several]}}


@of.register
def _(kind: shape.ListOf):
    one = of(kind.item)
    several = {"type": "array", "items": one}
    return {"anyOf": [one, several]} if kind.alone else several


@of.register
def _(kind: shape.MapOf):
    return {"type": ["object", "null"], "additionalProperties": of(kind.value), "propertyNames": of(kind.key)}


@of.register
def _(kind: shape.Section):
    mapping = {
        "type": ["object", "null"],
        "properties": {name: _described(key) for name, key in kind.keys.items()},
        "additionalProperties": False,
    }
    return {"anyOf": [mapping, of(kind.keys[kind.short].kind)]} if kind.short else mapping


@of.register
def _(kind: shape.Either):
    return {"anyOf": [of(kind.text), of(kind.other)]}


@of.register
def _(kind: Extensions):
    names = shape.ListOf(shape.Name(), alone=True)
    return {"anyOf": [*of(names)["anyOf"], of(shape.MapOf(shape.Name(), kind._one))]}


def _described(key: shape.Key) -> dict:
    default = {"default": key.default} if isinstance(key.default, (str, int)) else {}
    return {"description": key.help, **default, **_or_empty(of(key.kind))}


def _or_empty(schema: dict) -> dict:
    """A key without a value counts as left out."""
    if "enum" in schema:
        return {**schema, "enum": [*schema["enum"], None]}
    if "anyOf" in schema and "type" not in schema:
        return {"anyOf": [*schema["anyOf"], {"type": "null"}]}
    kinds = schema["type"] if isinstance(schema["type"], list) else [schema["type"]]
    return {**schema, "type": [*kinds, *({"null"} - {*kinds})]}


def _whole(pattern: str) -> str:
    """A pattern of Python's as one of JavaScript's that takes in the whole text."""
    return "^(" + re.sub(r"^\(\?s\)(.*)", lambda rest: rest[1].replace(".+", r"[\s\S]+"), pattern) + ")$"
