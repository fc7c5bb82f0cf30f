"""Golden files: cases that people write, each with what came out of it when somebody last looked.

A file holds several cases. Each is a run of YAML documents, the first of which begins with the name of the
case as a comment and the last of which is what comes out. ``--write-changes`` rewrites those last ones.
"""

import pathlib
from typing import NamedTuple

import pytest
import yaml


class Case(NamedTuple):
    path: pathlib.Path
    name: str
    given: list
    expected: object


def cases(directory: str, length: int) -> list:
    """The cases in a directory of the tests, as parameters. Each has ``length`` documents."""
    here = pathlib.Path(__file__).parent / directory
    return [
        pytest.param(case, id=f"{case.path.stem}: {case.name}")
        for path in sorted(here.glob("*.yaml"))
        for case in _read(path, length)
    ]


def _read(path: pathlib.Path, length: int):
    documents = _documents(path)
    for run in zip(*[iter(documents)] * length, strict=True):
        *given, expected = map(yaml.safe_load, run)
        yield Case(path, _name(run[0]), given, expected)


def _name(document: str) -> str:
    return document.strip().partition("\n")[0].removeprefix("# ")


def _documents(path: pathlib.Path) -> list[str]:
    return path.read_text().removeprefix("---\n").split("\n---\n")


def rewrite(case: Case, came_out: object) -> None:
    documents = _documents(case.path)
    first = next(at for at, text in enumerate(documents) if _name(text) == case.name)
    last = first + len(case.given)
    written = yaml.dump(came_out, Dumper=_Dumper, allow_unicode=True, sort_keys=False, width=90).rstrip()
    documents[last:] = [written, *documents[last + 1 :]]
    case.path.write_text("\n---\n".join(documents).rstrip() + "\n")


class _Dumper(yaml.SafeDumper):
    """Writes as people do: items indented, nothing by reference."""

    def increase_indent(self, flow=False, indentless=False):
        return super().increase_indent(flow, False)

    def ignore_aliases(self, data):
        return True
