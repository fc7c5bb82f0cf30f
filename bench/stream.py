"""A client that asks at a steady pace until its input ends, then prints what it saw as JSON.

Each answer is timed from when its question was due, so that a stall counts for all that had to wait for it.
"""

from __future__ import annotations

import gc
import json
import sys
import threading
from time import perf_counter, sleep

PACE = 0.005


def main(service: str) -> None:
    import psycopg2

    over = threading.Event()
    threading.Thread(target=lambda: (sys.stdin.read(), over.set()), daemon=True).start()
    connection, took, errors = None, [], []
    gc.disable()
    due = perf_counter()
    while not over.is_set():
        due += PACE
        sleep(max(0, due - perf_counter()))
        try:
            connection = connection or _connect(psycopg2, service)
            connection.cursor().execute("select 1")
            took.append((perf_counter() - due) * 1000)
        except psycopg2.Error as error:
            errors.append(str(error))
            connection = None
    print(json.dumps({"took": took, "errors": errors}))


def _connect(psycopg2, service: str):
    connection = psycopg2.connect(f"service={service}")
    connection.autocommit = True
    return connection


if __name__ == "__main__":
    main(sys.argv[1])
