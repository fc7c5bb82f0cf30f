"""Mutations of the right pillar, and what ``check`` makes of them."""

import shutil

import yaml
from hypothesis import strategies as st

from pgpillar_cli import roles
from pgpillar_cli.overview import Overview
from pgpillar_cli.place import Place
from tests.cli.pillar_repo import TESTS, Repo

RIGHT = TESTS / "corpus" / "right"
FILES = [
    "roles.yaml",
    "postgresql/clusters.sls",
    "postgresql/server.sls",
    "dev/secrets/postgresql-admin.sls",
    "dev/secrets/postgresql-users/all.sls",
    "dev/secrets/postgresql-users/shop.sls",
    "dev/secrets/postgresql-users/wiki.sls",
]
TEXTS = {file: (RIGHT / file).read_text() for file in [*FILES, "dev/top.sls", "top.jinja"]}
DATA = {file: yaml.safe_load(TEXTS[file]) for file in FILES}
TOKENS = [
    "{",
    "}",
    "[",
    "]",
    ": ",
    "- ",
    "\t",
    "{{",
    "}}",
    "{% if x %}",
    "{{ x }}",
    "'",
    '"',
    "*a",
    "&a ",
    "!a ",
    "#",
]
TOKENS += [
    "|",
    "\n",
    "  ",
    "\0",
    "<<: ",
    "? ",
    "\n---\n",
    "%",
    "@",
    "`",
    "é",
    "include: [x]\n",
    "#!py\n",
    "null",
    "~",
]
VALUES = [
    None,
    "",
    0,
    -1,
    10**12,
    1.5,
    True,
    [],
    {},
    [None],
    {"a": None},
    {"a": {"b": []}},
    [{"a": 1}],
    "x" * 64,
]
VALUES += [
    "shop",
    "wiki",
    "public",
    "pg_read",
    "a b",
    "é",
    "{{ x }}",
    "salt://x",
    "2030-01-31",
    "read",
    "main",
    {1: 2},
]


def judge_in(directory):
    """Return a function that writes a file of dev and returns what is found, and what could be read."""
    shutil.copytree(RIGHT, directory / "pillar")
    repo, place = Repo(directory), Place(directory)
    (environment,) = place.environments(["dev"])

    def judge(file, text):
        try:
            repo.write(file, text)
            overview = Overview(place, environment, *roles.read(place))
            return [*overview.findings()], overview.review
        finally:
            repo.write(file, TEXTS[file])

    return judge


@st.composite
def mangled(draw):
    """A file with a piece put in, taken out, or put there twice."""
    file = draw(st.sampled_from([*TEXTS]))
    text = TEXTS[file]
    at = draw(st.integers(0, len(text)))
    to = draw(st.integers(at, min(len(text), at + 40)))
    return file, draw(
        st.sampled_from([text[:at] + text[to:], text[:to] + text[at:], text[:at]])
        | st.sampled_from(TOKENS).map(lambda token: text[:at] + token + text[at:])
    )


def places(value, path=()):
    yield path
    for key, item in (
        value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    ):
        yield from places(item, (*path, key))


@st.composite
def changed(draw):
    """A file in which one value is another, is not there, or has another name."""
    file = draw(st.sampled_from(FILES))
    data = yaml.safe_load(TEXTS[file])
    *above, last = draw(st.sampled_from([path for path in places(data) if path]))
    holder = data
    for key in above:
        holder = holder[key]
    what = draw(st.sampled_from(["replace", "replace", "take out", "rename"]))
    if what == "replace":
        holder[last] = draw(st.sampled_from(VALUES))
    elif what == "take out":
        del holder[last]
    elif isinstance(holder, dict):
        holder[draw(st.sampled_from(["shop", "wiki", "new", "", "x" * 70, 5, "owner"]))] = holder.pop(last)
    return file, yaml.safe_dump(data, allow_unicode=True)
