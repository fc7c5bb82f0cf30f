"""An application that writes numbered rows through everything, and notes on its own disk how each came out.

    PGSERVICEFILE=... python ledger.py NOTES

A line of the notes is the time and ``ok NUMBER``, once the server has acknowledged the row, or the time and
the complaint. No number is tried again: whether a row arrived whose answer was lost, nobody can tell.
"""

import itertools
import select
import sys
import time

import psycopg2
from psycopg2 import extensions

PATIENCE = 5  # seconds for an answer
PAUSE = 0.05


def main(notes):
    extensions.set_wait_callback(wait)
    connection = None
    with open(notes, "a") as file:
        for number in itertools.count(int(time.time() * 1000)):
            try:
                connection = connection or log_in()
                connection.cursor().execute("insert into ledger values (%s)", [number])
                came_out = f"ok {number}"
            except (psycopg2.Error, TimeoutError) as error:
                connection, came_out = None, str(error).replace("\n", " ")
            print(time.time(), came_out, file=file, flush=True)
            time.sleep(PAUSE)


def log_in():
    connection = psycopg2.connect("service=shop")
    connection.autocommit = True
    return connection


def wait(connection):
    """Wait for the server no longer than this application has patience."""
    while (state := connection.poll()) != extensions.POLL_OK:
        reads = [connection] if state == extensions.POLL_READ else []
        writes = [connection] if state == extensions.POLL_WRITE else []
        if select.select(reads, writes, [], PATIENCE) == ([], [], []):
            raise TimeoutError("no answer")


if __name__ == "__main__":
    main(sys.argv[1])
