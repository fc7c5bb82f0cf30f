"""Private agents of Consul, from Debian's package, which is fetched once and kept outside of the checkout."""

import json
import subprocess
from pathlib import Path
from urllib.request import ProxyHandler, Request, build_opener

from devtools.embedded import Failed
from devtools.postgres import free_port, wait_for

FETCH = Path(__file__).parent.parent / "salt" / "consul" / "fetch.sh"
CACHE = Path("/var/cache/pgpillar/consul")
PROGRAM = CACHE / "package" / "usr" / "bin" / "consul"
USES = ("http", "server", "serf_lan")
MANAGEMENT = "a-token-that-may-do-everything"


class CannotBeHad(Exception):
    """There is no Consul for this machine; the message says why."""


def fetch():
    """See that its program is there."""
    if PROGRAM.exists():
        return
    unpack = 'set -e; "$0" "$1"; dpkg --extract "$1/consul.deb" "$1/package"'
    done = subprocess.run(["bash", "-c", unpack, FETCH, CACHE], capture_output=True, text=True)
    if done.returncode:
        raise CannotBeHad(f"Consul could not be fetched: {done.stderr.strip().splitlines()[-1:]}")


class Agent:
    """An agent, which leads a datacenter of its own or joins that of another."""

    def __init__(self, directory, name, leader=None, with_acls=False):
        self.directory, self.name, self.leader, self.with_acls = Path(directory), name, leader, with_acls
        self.ports = {port: free_port() for port in USES}
        self.url = f"http://127.0.0.1:{self.ports['http']}"
        self.process = None

    def start(self):
        """Start it, and wait until it can answer."""
        fetch()
        self.directory.mkdir(exist_ok=True)
        configuration = self.directory / "agent.json"
        configuration.write_text(json.dumps(self._configuration()))
        with open(self.directory / "agent.log", "ab") as log:
            command = [PROGRAM, "agent", *(() if self.leader else ("-dev",)), "-config-file", configuration]
            self.process = subprocess.Popen(command, stdout=log, stderr=log, cwd="/")
        wait_for(lambda: self._is_ready() or self._has_ended(), f"{self.name}: Consul does not come up")
        if self._has_ended():
            raise Failed(f"{self.name}: Consul ended: {(self.directory / 'agent.log').read_text()[-500:]}")
        return self

    def _has_ended(self):
        return self.process.poll() is not None

    def _configuration(self):
        more = {"retry_join": [f"127.0.0.1:{self.leader.ports['serf_lan']}"]} if self.leader else {}
        if self.with_acls:
            tokens = {"master": MANAGEMENT, "agent": MANAGEMENT}
            more["acl"] = {"enabled": True, "default_policy": "deny", "tokens": tokens}
        return {
            "node_name": self.name,
            "bind_addr": "127.0.0.1",
            "data_dir": str(self.directory / "data"),
            "ports": {**self.ports, "dns": -1, "grpc": -1, "serf_wan": -1},
            **more,
        }

    def _is_ready(self):
        try:
            return self.ask("health/service/consul", MANAGEMENT)
        except OSError:
            return False

    def ask(self, what, token=""):
        """What it answers to a question of its HTTP interface."""
        return json.loads(self._send(what, token))

    def put(self, what, content=None, token=""):
        """Have it take something."""
        self._send(what, token, method="PUT", data=json.dumps(content).encode())

    def _send(self, what, token, **more):
        request = Request(f"{self.url}/v1/{what}", headers={"X-Consul-Token": token}, **more)
        with build_opener(ProxyHandler({})).open(request, timeout=10) as answer:
            return answer.read()

    def passing(self, service, tag):
        """The nodes on which a service passes in this role, as consul-template asks for them."""
        return {one["Node"]["Node"] for one in self.ask(f"health/service/{service}?passing&tag={tag}")}

    def stop(self):
        if self.process:
            self.process.kill()
            self.process.wait()
            self.process = None
