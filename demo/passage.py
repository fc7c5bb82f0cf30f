"""Tries what an application can do with what its app node gives it, and what it cannot."""

import os
import pwd
import subprocess
from contextlib import closing
from functools import partial

import psycopg2

from demo.proof import Verdict, reason
from devtools.bouncer import PORT
from devtools.postgres import as_user

WHO = "SELECT format('%s in %s, over %s', current_user, current_database(), version) FROM pg_stat_ssl"
MINE = f"{WHO} WHERE pid = pg_backend_pid()"


class Passage:
    """The way of an application of each of these nodes to the server, and what it finds on it."""

    def __init__(self, place, server, nodes):
        self.place, self.psql = place, server.bindir / "psql"
        self.ways = {node: node.ways() for node in nodes}

    def all_ways(self):
        return [way for ways in self.ways.values() for way in ways]

    def attempts(self):
        """Each as a function that does it and gives its verdict."""
        for node, ways in self.ways.items():
            yield from (partial(self._by_service, node, way) for way in ways)
            for way in {way.user: way for way in ways}.values():  # one for each user
                yield from (partial(self._with, node, way, *login) for login in self._wrong(node, way))
                yield partial(self._search, node, way)

    def _wrong(self, node, way):
        """Passwords that are right elsewhere."""
        yield from (
            (f"the password of {other.name}", other.password(way.user)) for other in self._others(node)
        )
        yield "the real password", way.real

    def _others(self, node):
        return [other for other, ways in self.ways.items() if other is not node and ways]

    def _by_service(self, node, way):
        """As the application does it: its own system user, and a name in its own file."""
        where = {"PGSERVICEFILE": way.services}
        done = self._run(way.account, self.psql, "-XwAtc", MINE, f"service={way.pool}", environment=where)
        told = f"{done.stdout.strip()}, {node.console.settings()['server_tls_sslmode']}"
        outcome = f"refused: {done.stderr.strip()}" if done.returncode else told
        return Verdict(f"{node.name} {way.user}", f"service={way.pool}", outcome, done.returncode == 0)

    def _with(self, node, way, what, password):
        try:
            where = {"host": node.paths.sockets, "port": PORT, "dbname": way.pool, "user": way.user}
            with closing(psycopg2.connect(**where, password=password)):
                outcome, refused = "let in", False
        except psycopg2.OperationalError as error:
            outcome, refused = f"refused: {reason(error)}", True
        return Verdict(f"{node.name} {way.user}", f"with {what}", outcome, refused)

    def _search(self, node, way):
        """Look for the bytes of the real password, as the application; and as root, who is to find them."""
        # Without root's rights, the application is who owns it all: then its own files are what it is given
        where = way.services.parent if os.geteuid() else self.place
        holders = self._holders(way.account, where, way.real)
        everywhere = self._holders(pwd.getpwuid(os.geteuid()), self.place, way.real)
        files = self._run(way.account, "find", where, "-type", "f", "-readable", "-printf", ".").stdout
        outcome = (
            f"in {', '.join(holders) or 'none'} of its {len(files)} files; {len(everywhere)} others hold it"
        )
        attempt = f"{way.account.pw_name} looks for the real password"
        return Verdict(f"{node.name} {way.user}", attempt, outcome, bool(everywhere and not holders))

    def _holders(self, account, where, what):
        return self._run(account, "grep", "-rslFf-", where, told=what).stdout.splitlines()

    def _run(self, account, *command, told="", environment=()):
        return subprocess.run(
            command, input=told, capture_output=True, text=True, check=False, cwd="/",
            env={"PATH": os.defpath, "LC_ALL": "C.UTF-8", **dict(environment)}, **as_user(account),
        )  # fmt: skip
