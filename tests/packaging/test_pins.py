"""The pinned requirements belong together, on this Python too."""

import re
import subprocess
import sys
from pathlib import Path

REPO = Path(__file__).resolve().parents[2]


def test_nothing_is_missing_but_what_is_left_out_on_purpose():
    done = subprocess.run([sys.executable, "-m", "pip", "check"], capture_output=True, text=True)
    assert done.stdout.splitlines() == ["salt 3008.3 requires timelib, which is not installed."]


def test_a_minion_gets_the_driver_that_is_tested():
    tested, given = (
        (REPO / path).read_text() for path in ("requirements/runtime.txt", "salt/postgresql/psycopg2.sls")
    )
    version = re.compile(r"psycopg2-binary ?== ?([\d.]+)")
    assert version.search(tested)[1] == version.search(given)[1]
