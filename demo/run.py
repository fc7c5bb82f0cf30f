"""The demo, step by step. Each finds what an earlier run left, whole or cut off, and goes on from there."""

import socket
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from pathlib import Path

from demo import pillar, place, proof, services, show
from demo.minion import Minion
from demo.node import NAMES, Node
from demo.passage import Passage
from devtools import postgres
from devtools.embedded import Failed

GOODBYE = """
The server and both pgbouncers go on running. What to do next:
  edit   {home}/pillar/postgresql/databases.sls or roles.sls, then `make demo` again; passwords are in
         {home}/pillar/{users} and, for the nodes, {applications}
{hints}  end    make demo-clean; it deletes {home} whole, with the data and the dumps in it
"""
HINT = "  {verb:6} PGSERVICEFILE={home}/{file} psql service={service}\n"


WHERE_PILLAR_IS = (
    f"(pillar is in {place.NAME}/pillar, its passwords in the files of {place.NAME}/pillar/secrets)"
)


def open_server(where):
    """Return the demo's server, whether it exists yet or not."""
    directory = where / "server"
    version = directory / "data" / "PG_VERSION"
    installed = [major for major in postgres.majors() if postgres.installed(major)]
    major = int(version.read_text()) if version.exists() else (installed or postgres.majors())[-1]
    return postgres.Server(directory, postgres.binaries(major))


class Demo:
    def __init__(self, where, out):
        self.where, self.out = where, out
        self.admin = Minion(where, "db-admin")
        self.nodes = [Node(where, name) for name in NAMES]
        self.server = open_server(where)
        self.hints = ""

    def run(self):
        """Do it all, and print it."""
        self._serve()
        self._prepare()
        self._converge("highstate of db-admin", self.admin)
        self._try_server()
        self._converge("highstate of the app nodes", *self._node_minions)
        self._try_nodes()
        self._converge("highstate again, of all", self.admin, *self._node_minions, still=True)
        secrets = {"users": pillar.USER_SECRETS, "applications": Path(pillar.APPLICATION_SECRETS).name}
        goodbye = GOODBYE.format(home=place.NAME, hints=self.hints, **secrets)
        self.out.print(goodbye, markup=False, end="")

    def remove(self):
        """Stop all that runs, and delete the server."""
        for node in self.nodes:
            node.stop()
        self.server.remove()

    @property
    def _node_minions(self):
        return [node.minion for node in self.nodes]

    def _prepare(self):
        pillar.seed(self.where)
        pillar.tell_of(self.where, self.server)
        self.admin.configure()
        for node in self.nodes:
            node.prepare()

    def _step(self, title):
        return show.step(self.out, title)

    # The server

    def _serve(self):
        if self.server.running:
            self.out.print(f"PostgreSQL is running on port {self.server.port}")
            return
        if not self.server.created:
            self._make_server()
        elif not _is_free(self.server.port):
            pillar.forget_server(self.where)
            self.server.port = postgres.free_port()
        with self._step(f"starting it on port {self.server.port}, as user {self.server.account.pw_name}"):
            self.server.start()

    def _make_server(self):
        pillar.forget_server(self.where)
        with self._step("making a private PostgreSQL with a certificate authority of its own"):
            self.server.create()

    # The states

    def _converge(self, title, *minions, still=False):
        """Run the highstates of these minions side by side; ``still``: there must be nothing left to do."""
        with self._step(title), ThreadPoolExecutor(len(minions)) as threads:
            returned = dict(zip(minions, threads.map(Minion.highstate, minions), strict=True))
        for names, states in _alike(returned):
            show.states(self.out, names if len(minions) > 1 else [], states)
        states = [state for each in returned.values() for state in each]
        if failed := [state["comment"] for state in states if state["result"] is False]:
            raise Failed("\n".join([*dict.fromkeys(failed), WHERE_PILLAR_IS]))
        if still and any(state["changes"] for state in states):
            raise Failed("the second highstate found something left to do: see above")

    # The applications

    def _try_server(self):
        cluster = self.admin.cluster()
        names = services.write(self.where, self.server, cluster)
        self._hint("look", services.NAME, names)
        attempts = [partial(proof.attempt, self.server, cluster, trial) for trial in proof.trials(cluster)]
        nothing = f"pillar has no database {proof.DATABASE}, or none of the users that the demo knows"
        self._try("what pillar says, tried over verify-full", attempts, nothing)

    def _try_nodes(self):
        self._pool()
        passage = Passage(self.where, self.server, self.nodes)
        for way in passage.all_ways()[:1]:
            self._hint("use", way.services.relative_to(self.where), [way.pool])
        attempts = passage.attempts()
        nothing = "the app nodes see the password of nobody who may use a database"
        self._try("the way of an application through the pgbouncer of its node", attempts, nothing)

    def _pool(self):
        asleep = [node for node in self.nodes if not node.running]
        if not asleep:
            self.out.print("their pgbouncers are running")
            return
        with self._step(f"starting their pgbouncers, as user {asleep[0].account.pw_name}"):
            for node in asleep:
                node.start()

    def _hint(self, verb, file, names):
        """Keep for the end how a person connects: by the first of these services of a file."""
        for service in names[:1]:
            self.hints += HINT.format(verb=verb, home=place.NAME, file=file, service=service)

    def _try(self, title, attempts, nothing):
        with self._step(title):
            verdicts = [attempt() for attempt in attempts]
        show.verdicts(self.out, verdicts)
        if not verdicts:
            self.out.print(f"  nothing to try: {nothing}")
        if not all(verdict.as_declared for verdict in verdicts):
            raise Failed("not all is as pillar says: see the lines marked with ✗")


def _alike(returned):
    """Those minions together of which the states said the same."""
    groups = []
    for minion, states in returned.items():
        names = next((names for names, others in groups if others == states), None)
        names.append(minion.name) if names else groups.append(([minion.name], states))
    return groups


def _is_free(port):
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind(("127.0.0.1", port))
        except OSError:
            return False
    return True
