"""Any mutation of the right pillar is accepted, and then converges, or told of by its place.

EXAMPLES=1000 in the environment draws more, and new ones.
"""

import os

import pytest
from hypothesis import HealthCheck, given, settings

from pgpillar import sql
from pgpillar.model import Cluster, Server
from pgpillar.plan import plan
from pgpillar_cli import findings
from tests.cli.mutations import changed, judge_in, mangled
from tests.unit import paper

often = settings(
    deadline=None,
    derandomize="EXAMPLES" not in os.environ,
    max_examples=int(os.environ.get("EXAMPLES", "60")),
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.function_scoped_fixture],
)


@pytest.fixture(scope="module")
def judged(tmp_path_factory):
    return judge_in(tmp_path_factory.mktemp("fuzz"))


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
