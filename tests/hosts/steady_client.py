"""A client at work: again and again new sessions, each way in turn, beside one of each way that stays.

steady_client.py WAYS FILE. Each line of WAYS is the DSN of one; into FILE it writes what it asked and which
errors it met, when it is told to end.
"""

import contextlib
import json
import signal
import sys
import time
from pathlib import Path

import psycopg2


class Client:
    def __init__(self):
        self.asked, self.errors, self.slowest, self.over = 0, [], 0.0, False

    def end(self, *_):
        self.over = True

    def run(self, ways):
        lasting = [psycopg2.connect(dsn) for dsn in ways]
        while not self.over:
            for dsn in ways:
                self.ask(lambda dsn=dsn: contextlib.closing(psycopg2.connect(dsn)))
            for session in lasting:
                self.ask(lambda session=session: contextlib.nullcontext(session))
            time.sleep(0.02)  # an application has other work as well

    def ask(self, session):
        began = time.monotonic()
        try:
            with session() as connection, connection, connection.cursor() as cursor:
                cursor.execute("select 1")
        except psycopg2.Error as error:
            self.errors.append(str(error))
        self.asked += 1
        self.slowest = max(self.slowest, time.monotonic() - began)


def main(ways, file):
    client = Client()
    signal.signal(signal.SIGTERM, client.end)
    client.run(Path(ways).read_text().splitlines())
    Path(file).write_text(
        json.dumps({"asked": client.asked, "errors": client.errors, "slowest": client.slowest})
    )


main(*sys.argv[1:])
