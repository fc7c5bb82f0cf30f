"""A minion that runs for months, and is given new code."""

import re

import pytest


@pytest.mark.parametrize("version", ["1.0.first", "1.0.second", "1.0.third"])
def test_new_code_is_used_once_it_is_synced(call, tree, version):
    source = tree / "_utils" / "pgpillar" / "__init__.py"
    source.write_text(re.sub(r'__version__ = ".*"', f'__version__ = "{version}"', source.read_text()))
    call("saltutil.sync_all")
    assert call("pg_access.version") == version


@pytest.mark.parametrize("text", ["there is none of the first", "there is none of the second"])
def test_modules_of_the_app_node_use_it_too(call, tree, text):
    source = tree / "_utils" / "pgpillar" / "node_secret.py"
    source.write_text(re.sub(r'"there is none .*"', f'"{text}"', source.read_text()))
    call("saltutil.sync_all")
    assert call("node_secret.fault", "shop_app", directory="/var/empty") == text
