"""Any mutation of the right pillar is accepted, and then converges, or told of by its place.

EXAMPLES=1000 in the environment draws more, and new ones.
"""

import os
import shutil

import pytest
import yaml
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from pillar_repo import TESTS, Repo

from pgpillar import sql
from pgpillar.model import Cluster, Server
from pgpillar.plan import plan
from pgpillar_cli import findings, roles
from pgpillar_cli.overview import Overview
from pgpillar_cli.place import Place
from tests.unit import paper

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

often = settings(
    deadline=None,
    derandomize="EXAMPLES" not in os.environ,
    max_examples=int(os.environ.get("EXAMPLES", "60")),
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.function_scoped_fixture],
)


@pytest.fixture(scope="module")
def judged(tmp_path_factory):
    """Return a function that writes a file of dev and returns what is found, and what could be read."""
    directory = tmp_path_factory.mktemp("fuzz")
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


def is_right_or_told(found, review):
    for one in found:
        assert one.message
        assert one.fix
        assert one.path or one.file
    if not findings.is_wrong(found):
        for name, declared in review.clusters.items():
            converges(name, declared.cluster)


def converges(name, wanted):
    """On paper: what the plan leads to leaves nothing to plan. Every statement can be written."""
    offered = {extension for database in wanted.databases.values() for extension in database.extensions}
    current = Cluster(
        name, server=Server(180000, "doadmin", True, extensions=dict.fromkeys(offered, ("1.0", "1.0")))
    )
    changes = plan(current, wanted)
    assert all(sql.script(changes)) or not changes
    assert plan(paper.applied(current, changes), wanted) == []


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


@often
@given(mangled())
def test_any_text_is_right_or_told(judged, mutation):
    is_right_or_told(*judged(*mutation))


@often
@given(changed())
def test_any_pillar_is_right_or_told_by_path(judged, mutation):
    found, review = judged(*mutation)
    is_right_or_told(found, review)
    assert "no-secret-in-dev" not in " ".join(f"{one.message} {one.fix} {one.path}" for one in found)
