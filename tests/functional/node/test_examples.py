"""Examples of the documentation, applied on a node."""

import re
import subprocess
import textwrap
from pathlib import Path

import pytest
import yaml

DOCS = Path(__file__).parents[3] / "docs"
BLOCK = re.compile(r"\.\. code-block:: yaml\n(?:\n|   :.*\n)*((?:   .*\n|\n)+)")


def examples():
    """The pools that pages name, by page."""
    for page in sorted(DOCS.rglob("*.rst")):
        for block in BLOCK.findall(page.read_text()):
            if re.search(r"^ +pools:$", block, re.M):
                pools = yaml.safe_load(textwrap.dedent(block))["postgresql"]["pools"]
                yield pytest.param(pools, id=str(page.relative_to(DOCS)))


@pytest.mark.parametrize("pools", [*examples()])
def test_pools_of_the_pages_leave_the_one_that_is_there(running, shop, pools):
    main = shop["clusters"]["main"]
    main["replicas"] = [{"host": main["host"], "port": main["port"]}]
    running.converge({**shop, "pools": pools})
    assert {running.query("select current_user", pool) == [("shop_app",)] for pool in pools} == {True}
    where = {"PGSERVICEFILE": f"{running.paths.clients}/shop_app/pg_service.conf", "PATH": "/usr/bin:/bin"}
    command = ["psql", "-XAtc", "select current_user", "service=shop"]
    assert subprocess.run(command, env=where, capture_output=True, text=True).stdout == "shop_app\n"


def test_pages_name_pools():
    pages = {"howto/app-node.rst", "howto/follow-servers.rst", "tutorial.rst"}
    assert {one.id for one in examples()} == pages
