"""What Consul's agent knows of the servers of a cluster, and what a server has it know of itself."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import NamedTuple

from pgpillar.model import Consul, Endpoint, Trouble, ip_address, port

ROLES = ("primary", "replica")  # the tags of its services
# The agent is near: nobody stands between, and what does not answer soon answers never
PATIENCE = {"http_connect_timeout": 5, "http_request_timeout": 20, "proxy_host": None}
INTERVAL, TIMEOUT = "5s", "3s"  # of the check


class Service(NamedTuple):
    """One server in one role, as Consul has it."""

    minion: str
    address: str
    port: int
    role: str
    passes: bool


class Itself(NamedTuple):
    """What a server is to say of itself."""

    cluster: str
    minion: str
    port: int
    address: str  # to dial; empty where it is its agent's
    check: str  # the URL that answers /primary and /replica


@dataclass(frozen=True)
class Agent:
    """An agent by its HTTP interface. It gives an answer or raises Trouble, and is never silent."""

    cluster: str
    endpoint: Endpoint
    query: Callable  # Salt's http.query

    def services(self) -> list[Service]:
        """The servers that are registered for this cluster, passing or not."""
        told = self._read(f"health/service/{self.about.service}", dc=self.about.datacenter)
        try:
            return sorted(_service(entry) for entry in told if _meta(entry).get("cluster") == self.cluster)
        except (AttributeError, KeyError, TypeError, ValueError):
            raise self._trouble(NO_PLACE) from None

    def faults(self, wanted: Mapping[str, Mapping]) -> dict[str, str]:
        """Which of these services this agent does not have as they are wanted, by id."""
        checks = self._read("agent/checks")
        found = {name: self._verdict(name, definition, checks) for name, definition in wanted.items()}
        return {name: verdict for name, verdict in found.items() if verdict}

    def _verdict(self, name: str, definition: Mapping, checks: object) -> str | None:
        there = self._read(f"agent/service/{name}")
        if there is None:
            return "new"
        same = {"Name": there.get("Service"), **{key: there.get(key) for key in COMPARED}}
        is_checked = f"service:{name}" in (checks or ())
        return None if is_checked and same == {key: definition[key] for key in same} else "changed"

    def register(self, wanted: Mapping[str, Mapping]) -> None:
        for definition in wanted.values():
            self._answer("agent/service/register", method="PUT", data=json.dumps(definition))

    def known(self, names: tuple[str, ...]) -> list[str]:
        return [name for name in names if self._read(f"agent/service/{name}") is not None]

    def deregister(self, names: tuple[str, ...]) -> None:
        for name in names:
            self._answer(f"agent/service/deregister/{name}", method="PUT")

    @property
    def about(self) -> Consul:
        return self.endpoint.consul

    def _read(self, what: str, **params) -> object:
        answer = self._answer(what, params={key: value for key, value in params.items() if value})
        try:
            return json.loads(answer) if answer is not None else None
        except ValueError:
            raise self._trouble(NO_CONSUL) from None

    def _answer(self, what: str, **more) -> str | None:
        """What the agent says; None where it says that there is no such thing."""
        token = self.about.token
        header = {"X-Consul-Token": token.reveal()} if token else {}
        url = f"{self.about.url}/v1/{what}"
        got = self.query(url, header_dict=header, status=True, opts=PATIENCE, backend="tornado", **more)
        status, body = got.get("status"), got.get("body") or ""
        if status == 200:
            return body
        if status == 404 and body.startswith("unknown service"):
            return None
        raise self._trouble(COMPLAINTS.get(status, NO_CONSUL), body.strip() or got.get("error"))

    def _trouble(self, complaint: str, said: str = "") -> Trouble:
        path = f"postgresql:clusters:{self.cluster}:consul"
        return Trouble(f"{path}: {complaint.format(url=self.about.url, said=said)}")


COMPARED = ("Tags", "Meta", "Address", "Port")
NO_ANSWER = "no agent of Consul answers at {url} ({said}); start it, or say in url where one is"
NO_CONSUL = "what answers at {url} is no agent of Consul; say in url where one is"
NO_PLACE = (
    "what Consul tells of the cluster's servers are not all places of a primary or a replica; let the state"
    " postgresql.consul register them, and take out what it did not"
)
COMPLAINTS = {
    0: NO_ANSWER,
    403: "the agent refuses: {said}; put a token that may do this into token, in a secrets file",
    500: "the agent at {url} cannot say it now: {said}; look at `consul members` there",
    599: NO_ANSWER,
}


def _service(entry: Mapping) -> Service:
    node, about = entry["Node"], entry["Service"]
    (role,) = set(ROLES) & set(about["Tags"])
    address = ip_address(about["Address"] or node["Address"])
    passes = all(check["Status"] == "passing" for check in entry["Checks"])
    return Service(_meta(entry).get("minion", node["Node"]), address, port(about["Port"]), role, passes)


def _meta(entry: Mapping) -> Mapping:
    return entry["Service"]["Meta"] or {}


def definitions(service: str, itself: Itself) -> dict[str, dict]:
    """The two services of a server, by id: in each role once, of which the checks let one pass."""
    return {name: _definition(name, role, service, itself) for name, role in _named(service)}


def _definition(name: str, role: str, service: str, itself: Itself) -> dict:
    url = f"{itself.check}/{role}"
    check = {"Name": f"the server says that it is a {role}", "HTTP": url}
    return {
        "ID": name,
        "Name": service,
        "Tags": [role],
        "Address": itself.address,
        "Port": itself.port,
        # Consul shows no definition of a check again, so what it asks stands here to be compared
        "Meta": {"cluster": itself.cluster, "minion": itself.minion, "check": f"{url} each {INTERVAL}"},
        "Check": {**check, "Interval": INTERVAL, "Timeout": TIMEOUT, "Status": "critical"},
    }


def ids(service: str) -> tuple[str, ...]:
    return tuple(name for name, _ in _named(service))


def _named(service: str) -> Iterator[tuple[str, str]]:
    return ((f"{service}-{role}", role) for role in ROLES)
