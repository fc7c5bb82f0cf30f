"""``pgpillar schema``."""

import json

from pillar_repo import Repo


def test_a_schema_is_had_anywhere(tmp_path):
    assert json.loads(Repo(tmp_path).run("schema").stdout)["$schema"]
