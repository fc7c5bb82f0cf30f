"""Whatever mutation of the right pillar ``check`` accepts converges on a real server, and stays so."""

import dataclasses
import os

import pytest
from hypothesis import HealthCheck, assume, given, settings

from pgpillar import connect, execute
from pgpillar.model import Secret
from pgpillar_cli import findings
from tests.cli.mutations import changed, judge_in
from tests.functional.conftest import HOST, wipe


@pytest.fixture(scope="module")
def judged(tmp_path_factory):
    return judge_in(tmp_path_factory.mktemp("accepted"))


@settings(
    deadline=None,
    derandomize="EXAMPLES" not in os.environ,
    max_examples=int(os.environ.get("EXAMPLES", "12")),
    suppress_health_check=[*HealthCheck],
)
@given(changed())
def test_what_is_accepted_converges(judged, lasting, mutation):
    found, review = judged(*mutation)
    assume(review.clusters and not findings.is_wrong(found))
    wipe(lasting.server)
    for declared in review.clusters.values():
        with connect.gateway(here(declared.endpoint, lasting)) as gateway:
            assert execute.converge(gateway, declared.cluster, None).failures == {}
            assert list(execute.converge(gateway, declared.cluster, None).changes) == []


def here(endpoint, cluster):
    """The endpoint of a cluster that pillar names, led to the test's own server."""
    admin = {**cluster.admin, "password": Secret(cluster.admin["password"])}
    return dataclasses.replace(endpoint, **{**cluster.endpoint, "ca_file": None, "host": HOST, **admin})
