"""What the attackers' tests share with other tests of real servers."""

# Of app nodes
from tests.functional.conftest import cluster, default_major, server, servers  # noqa: F401
from tests.functional.node.conftest import make_node, node, pgbouncer, shop  # noqa: F401
