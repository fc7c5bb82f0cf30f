"""The time limit of a script, without a script."""

import threading

from pgpillar import bootstrap
from pgpillar.connect import ClusterError


def test_an_end_that_fails_is_tried_again(monkeypatch):
    """Without that, nothing would ever end the session of the script."""
    monkeypatch.setattr(bootstrap, "AGAIN", 0.01)
    ended, attempts = threading.Event(), []

    def end():
        attempts.append(1)
        if len(attempts) < 3:
            raise ClusterError("too many clients already")
        ended.set()

    bootstrap._within(0.01, lambda: ended.wait(60), end)
    assert len(attempts) >= 3
