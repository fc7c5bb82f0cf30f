"""The schema for editors says of pillar what the code that reads it says."""

import copy
import datetime
import json
import re
from pathlib import Path

import jsonschema
import pytest
import yaml
from test_pillar import RIGHT

from pgpillar import schema, shape
from pgpillar.tree import ROOT, TREE
from tests import golden

REPO = Path(__file__).parents[2]
CHECKS = jsonschema.Draft7Validator.FORMAT_CHECKER
VALIDATOR = jsonschema.Draft7Validator(schema.of_file(), format_checker=CHECKS)
ONLY_THE_CODE_SEES = {
    "names that YAML takes for something else",
    "bytes are counted, not letters",
    "NUL and half surrogate pairs",
    "a hash that cannot be used",
}


def is_right(tree):
    """What the code says of the shape of a tree. A file need not be whole, for Salt merges files."""
    notes = shape.Notes()
    TREE.read(tree, ROOT, notes)
    return all(re.fullmatch(r"'\w+' is missing", problem.message) for problem in notes.problems)


def fits(tree):
    """What an editor says of it."""
    return VALIDATOR.is_valid({"postgresql": as_an_editor_reads(tree)})


def as_an_editor_reads(value):
    """JSON has neither dates nor other keys than texts."""
    if isinstance(value, dict):
        return {str(key): as_an_editor_reads(item) for key, item in value.items()}
    if isinstance(value, list):
        return [as_an_editor_reads(item) for item in value]
    return value.isoformat() if isinstance(value, datetime.date) else value


def test_it_is_a_schema():
    jsonschema.Draft7Validator.check_schema(schema.of_file())


def test_the_file_is_current():
    """``make schema`` writes it."""
    assert json.loads((REPO / "pillar/schema.json").read_text()) == schema.of_file()


def test_a_right_pillar_fits():
    assert list(VALIDATOR.iter_errors({"postgresql": as_an_editor_reads(RIGHT)})) == []


@pytest.mark.parametrize("case", golden.cases("corpus", 2))
def test_editor_and_code_agree_on_the_corpus(case):
    if case.name in ONLY_THE_CODE_SEES:
        assert (fits(*case.given), is_right(*case.given)) == (True, False)
    else:
        assert fits(*case.given) == is_right(*case.given)


WRONG = [
    None,
    "",
    "x",
    "x y",
    "a\nb",
    0,
    -7,
    10**9,
    1.5,
    True,
    [],
    ["x"],
    [None],
    {},
    {"x": "y"},
    {"x": None},
]


def places(value, path=()):
    """Each place in a tree."""
    yield path
    items = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    for key, item in items:
        yield from places(item, (*path, key))


def changed(tree, path, value):
    if not path:
        return value
    tree = copy.deepcopy(tree)
    inner = tree
    for key in path[:-1]:
        inner = inner[key]
    inner[path[-1]] = value
    return tree


@pytest.mark.parametrize("path", list(places(RIGHT)), ids=str)
def test_editor_and_code_agree_wherever_a_right_pillar_is_changed(path):
    for value in WRONG:
        tree = changed(RIGHT, path, value)
        if path[-1:] != ("search_path",):  # what a setting takes, only the code knows
            assert fits(tree) == is_right(tree), value


@pytest.mark.parametrize(
    "file", sorted(REPO.glob("pillar/*/**/*.sls")), ids=lambda file: str(file.relative_to(REPO))
)
def test_the_example_fits(file):
    assert list(VALIDATOR.iter_errors(yaml.safe_load(file.read_text()))) == []
