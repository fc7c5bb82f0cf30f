"""The pinned requirements belong together, on this Python too."""

import subprocess
import sys


def test_nothing_is_missing_but_what_is_left_out_on_purpose():
    done = subprocess.run([sys.executable, "-m", "pip", "check"], capture_output=True, text=True)
    assert done.stdout.splitlines() == ["salt 3008.3 requires timelib, which is not installed."]
