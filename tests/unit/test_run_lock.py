"""Who holds the lock of a cluster, where that cannot be found out."""

import psycopg2
import pytest

from pgpillar import run_lock
from pgpillar.connect import ClusterError


class Shut:
    """A way in that leads nowhere."""

    def __init__(self, error):
        self.error = error

    def open(self):
        raise self.error


@pytest.mark.parametrize("error", [ClusterError("too many clients"), psycopg2.OperationalError("gone")])
def test_a_holder_that_cannot_be_found_is_not_named(error):
    assert run_lock._holder(Shut(error), 4711) == ""
