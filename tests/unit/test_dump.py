"""The cause of a failed dump, out of what pg_dump says."""

import pytest

from pgpillar import dump

SAID = {
    "newer": (
        'pg_dump: error: Dumping the contents of table "orders" failed: PQgetResult() failed.\n'
        'pg_dump: detail: Error message from server: ERROR:  could not open file "base/1/2"\n'
        "HINT:  Look there.\n"
        "pg_dump: detail: Command was: COPY public.orders (what) TO stdout;\n",
        'Dumping the contents of table "orders" failed: PQgetResult() failed: '
        'ERROR:  could not open file "base/1/2"',
    ),
    "older": (
        'pg_dump: error: Dumping the contents of table "orders" failed: PQgetResult() failed.\n'
        "pg_dump: error: Error message from server: ERROR:  could not read block 0\n"
        "pg_dump: error: The command was: COPY public.orders (what) TO stdout;\n",
        'Dumping the contents of table "orders" failed: PQgetResult() failed: ERROR:  could not read block 0',
    ),
    "a query": (
        "pg_dump: error: query failed: ERROR:  permission denied for table orders\n"
        "pg_dump: detail: Query was: LOCK TABLE public.orders IN ACCESS SHARE MODE\n",
        "query failed: ERROR:  permission denied for table orders",
    ),
    "an older query": (
        "pg_dump: error: query failed: ERROR:  permission denied for table orders\n"
        "pg_dump: error: query was: LOCK TABLE public.orders IN ACCESS SHARE MODE\n",
        "query failed: ERROR:  permission denied for table orders",
    ),
    "another program": ("sh: no such program\nmore\n", "sh: no such program"),
    "nothing": ("", "no reason was given"),
}


@pytest.mark.parametrize("kind", SAID)
def test_the_cause_is_named_without_the_query(kind):
    said, cause = SAID[kind]
    assert dump._cause(said) == cause
