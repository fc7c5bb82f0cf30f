"""The demo, step by step. Each finds what an earlier run left, whole or cut off, and goes on from there."""

import socket

from demo import pillar, place, proof, services, show
from demo.minion import Minion
from devtools import postgres
from devtools.embedded import Failed

GOODBYE = """
The server goes on running. What to do next:
  edit   {home}/pillar/postgresql/databases.sls or roles.sls, then `make demo` again
  look   PGSERVICEFILE={home}/{services} psql service=shop.analyst
  end    make demo-clean
"""


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
        self.minion = Minion(where)
        self.server = open_server(where)

    def run(self):
        """Do it all, and print it."""
        self._serve()
        pillar.seed(self.where)
        pillar.tell_of(self.where, self.server)
        self.minion.configure()
        self._converge("highstate")
        self._try_it()
        self._converge("highstate again")
        self.out.print(GOODBYE.format(home=place.NAME, services=services.NAME), markup=False, end="")

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

    def _converge(self, title):
        with self._step(title):
            returned = self.minion.call("state.highstate")
        if isinstance(returned, list):
            raise Failed("\n".join(["Salt cannot read the pillar or the states:", *returned]))
        states = sorted(returned.values(), key=lambda state: state["__run_num__"])
        for state in states:
            show.state(self.out, state)
        failed = [state["comment"] for state in states if state["result"] is False]
        if failed:
            raise Failed("\n".join(failed))

    # The application

    def _try_it(self):
        cluster = self.minion.declared()
        services.write(self.where, self.server, cluster)
        trials = proof.trials(cluster)
        with self._step("what pillar says, tried over verify-full"):
            verdicts = [proof.attempt(self.server, cluster, trial) for trial in trials]
        show.verdicts(self.out, verdicts)
        if not all(verdict.as_declared for verdict in verdicts):
            raise Failed("the server does not do what pillar says: see the lines marked with ✗")


def _is_free(port):
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind(("127.0.0.1", port))
        except OSError:
            return False
    return True
