"""App nodes follow the servers that agents of Consul tell of, whose checks ask the servers themselves."""

import os
import re
import socketserver
import subprocess
import textwrap
import threading
from contextlib import ExitStack, closing, contextmanager
from urllib.error import HTTPError
from urllib.request import urlopen

import psycopg2
import pytest
import yaml

from devtools import consul
from devtools.postgres import as_user, wait_for
from tests.functional.minions import ROOT, Minion
from tests.functional.pair import FIRST, FIRST_AS_REPLICA, SECOND, SECOND_AS_REPLICA, seen, servers
from tests.functional.pair import tree as tree_of

SAY_ROLE = ROOT / "salt" / "postgresql" / "consul" / "say-role.sh"
SERVERS = {"db-1.example.internal": "127.0.0.1", "db-2.example.internal": "127.0.0.2"}
FIRST_NAME, SECOND_NAME = SERVERS


@pytest.fixture(scope="module", autouse=True)
def program():
    try:
        consul.fetch()
    except consul.CannotBeHad as reason:
        pytest.skip(str(reason))


@pytest.fixture
def pair():
    with servers() as made:
        yield made


@pytest.fixture
def agents(tmp_path):
    """By server, the agent on its machine; the app node's is the first."""
    made = {}
    for name in SERVERS:
        made[name] = consul.Agent(tmp_path / name, name, leader=made.get(FIRST_NAME)).start()
    yield made
    for agent in made.values():
        agent.stop()


@pytest.fixture
def agent(tmp_path):
    made = consul.Agent(tmp_path / "alone", "alone").start()
    yield made
    made.stop()


@contextmanager
def answering(server):
    """What systemd does on a host: for each connection, the program with that as input and output."""

    class Handler(socketserver.BaseRequestHandler):
        def handle(self):
            where = {"PGHOST": str(server.socket_dir), "PGPORT": str(server.port), "PATH": os.defpath}
            inherited = {"stdin": self.request, "stdout": self.request, "env": where, "cwd": "/"}
            subprocess.run(["/bin/sh", "-c", SAY_ROLE.read_text()], **inherited, **as_user(server.account))

    with listening(Handler) as url:
        yield url


@contextmanager
def listening(handler):
    with socketserver.ThreadingTCPServer(("127.0.0.1", 0), handler) as listener:
        thread = threading.Thread(target=listener.serve_forever, kwargs={"poll_interval": 0.05})
        thread.start()
        try:
            yield f"http://127.0.0.1:{listener.server_address[1]}"
        finally:
            listener.shutdown()
            thread.join()


class Registrant:
    """The minion of a server, which applies the state that registers it."""

    def __init__(self, directory, name, agent, check):
        self.minion = Minion(directory, id=name)
        self.agent, self.where = agent, {"address": SERVERS[name], "check": check}

    def single(self, function, test=False, **arguments):
        state = {"it": {f"pg_consul.{function}": [{key: value} for key, value in arguments.items()]}}
        self.minion.script("registration.sls", yaml.safe_dump(state))
        (returned,) = self.minion.returned("registration", self.tree, test).values()
        return returned

    def registered(self, test=False):
        return self.single("registered", test, **self.where)


@pytest.fixture
def registrants(pair, agents, tmp_path):
    with answering(pair.first) as first, answering(pair.second) as second:
        made = {}
        for (name, agent), check in zip(agents.items(), (first, second), strict=True):
            made[name] = Registrant(tmp_path / f"minion-{name}", name, agent, check)
            made[name].tree = pair.tree(consul={"url": agent.url})
        yield made


@pytest.fixture
def told(registrants, agents):
    """Both servers are registered, and Consul has asked each what it is."""
    for one in registrants.values():
        assert one.registered()["result"]
    await_roles(agents, {FIRST_NAME}, {SECOND_NAME})


def await_roles(agents, primaries, replicas):
    agent = agents[FIRST_NAME]

    def roles():
        return agent.passing("postgresql", "primary"), agent.passing("postgresql", "replica")

    # An agent whose news its server could not take repeats them after 15 to 30 s
    wait_for(lambda: roles() == (primaries, replicas), f"Consul does not see {primaries}, {replicas}")


@pytest.fixture
def tree(pair, agents):
    return pair.tree(**known_by(agents[FIRST_NAME].url))


def known_by(url):
    return {"discovery": "consul", "minions": [*SERVERS], "consul": {"url": url}}


@pytest.fixture
def at_work(told, own_etc, tree):
    own_etc.converge(tree)
    own_etc.start()
    assert (seen(own_etc, "shop"), seen(own_etc, "shop_ro")) == (FIRST, SECOND_AS_REPLICA)
    return own_etc


def test_a_server_registers_itself_once_and_is_forgotten(registrants, agents):
    one, agent = registrants[FIRST_NAME], agents[FIRST_NAME]
    changes = {"postgresql-primary": "new", "postgresql-replica": "new"}
    foreseen, done = one.registered(test=True), one.registered()
    assert (foreseen["result"], foreseen["changes"]) == (None, changes)
    assert (done["result"], done["changes"]) == (True, changes)
    assert one.registered()["changes"] == {}

    # What somebody took away, or what another check was registered with, is put right
    agent.put("agent/check/deregister/service:postgresql-replica")
    assert one.registered()["changes"] == {"postgresql-replica": "changed"}
    one.where["check"] += "/elsewhere"
    assert one.registered()["changes"] == dict.fromkeys(changes, "changed")

    assert one.single("absent", test=True)["changes"] == dict.fromkeys(changes, "goes")
    assert one.single("absent")["changes"] == dict.fromkeys(changes, "goes")
    assert one.single("absent")["changes"] == {}
    assert agent.ask("agent/services") == {}


def test_pools_follow_a_promotion(pair, agents, at_work, tree):
    assert at_work.converge(tree) == {}

    pair.first.stop()
    await_roles(agents, set(), {SECOND_NAME})
    state = at_work.apply(tree)["pgbouncer.configured"]
    assert (state["result"], state["changes"]) == (False, {})
    assert state["comment"] == (
        "pgbouncer is left as it was: pool 'shop' has no server: none of cluster 'main' passes Consul's check"
        " as the primary (there are db-1.example.internal, db-2.example.internal); start or promote one"
    )
    assert seen(at_work, "shop_ro") == SECOND_AS_REPLICA

    pair.second.promote()
    await_roles(agents, {SECOND_NAME}, set())
    at_work.converge(tree)
    assert (seen(at_work, "shop"), seen(at_work, "shop_ro")) == (SECOND, SECOND)

    pair.bring_first_back()
    await_roles(agents, {SECOND_NAME}, {FIRST_NAME})
    at_work.converge(tree)
    assert (seen(at_work, "shop"), seen(at_work, "shop_ro")) == (SECOND, FIRST_AS_REPLICA)


def test_nobody_guesses_between_two_primaries(pair, agents, at_work, tree):
    pair.second.promote()
    await_roles(agents, {*SERVERS}, set())
    assert at_work.refused(tree) == (
        "pgbouncer is left as it was: cluster 'main' has more than one primary by Consul:"
        f" db-1.example.internal (at 127.0.0.1:{pair.port}) and db-2.example.internal (at"
        f" 127.0.0.2:{pair.port}) said so; stop the one that should not be"
    )
    assert seen(at_work, "shop") == FIRST


def test_an_agent_that_is_gone_leaves_the_pools(agents, at_work, tree):
    url = agents[FIRST_NAME].url
    agents[FIRST_NAME].stop()
    assert at_work.refused(tree) == (
        "pgbouncer is left as it was: postgresql:clusters:main:consul: no agent of Consul answers at"
        f" {url} ([Errno 111] Connection refused); start it, or say in url where one is"
    )
    assert (seen(at_work, "shop"), seen(at_work, "shop_ro")) == (FIRST, SECOND_AS_REPLICA)


def test_a_server_whose_connections_are_all_taken_still_says_what_it_is(pair, registrants):
    check = registrants[FIRST_NAME].where["check"]
    with pytest.raises(psycopg2.OperationalError, match="connection slots"), ExitStack() as taken:
        for _ in range(100):
            connection = pair.first.connect("shop_app", "secret", "shop", over="tls")
            taken.enter_context(closing(connection))
            assert answer(f"{check}/primary") == (200, "this server is primary\n")
    assert answer(f"{check}/replica") == (503, "this server is primary\n")
    pair.first.stop()
    assert answer(f"{check}/primary") == (503, "this server is silent\n")


def answer(url):
    try:
        with urlopen(url, timeout=10) as got:
            return got.status, got.read().decode()
    except HTTPError as error:
        return error.code, error.read().decode()


FORGED = {"ID": "forged", "Name": "postgresql", "Tags": ["primary"], "Address": "192.0.2.66", "Port": 5432}
OURS = {"cluster": "main", "minion": FIRST_NAME}
NO_PLACE = (
    "postgresql:clusters:main:consul: what Consul tells of the cluster's servers are not all places of a"
    " primary or a replica; let the state postgresql.consul register them, and take out what it did not"
)


def test_what_is_no_server_of_the_cluster_is_not_believed(agents, told, node, tree):
    forged = [{**OURS, "minion": "db-9"}, {**OURS, "cluster": "other"}, None]
    for number, meta in enumerate(forged):
        agents[SECOND_NAME].put("agent/service/register", {**FORGED, "ID": f"forged-{number}", "Meta": meta})
    wait_for(lambda: len(agents[FIRST_NAME].ask("health/service/postgresql")) == 7, "they are not registered")
    assert configured(node, tree)["primary"] == f"127.0.0.1:{tree['clusters']['main']['port']}"


@pytest.mark.parametrize(
    "forged", [{"Tags": ["other"]}, {"Tags": ["primary", "replica"]}, {"Address": "192.0.2.1\n192.0.2.66 db"}]
)
def test_what_is_no_place_is_refused(agent, node, forged):
    agent.put("agent/service/register", {**FORGED, "Meta": OURS, **forged})
    wait_for(lambda: agent.ask("health/service/postgresql"), "it is not registered")
    assert NO_PLACE in node.refused(tree_of(**known_by(agent.url)))


def test_a_cluster_that_consul_does_not_know(agent, node):
    tree = tree_of(**known_by(agent.url))
    assert "Consul knows no service 'postgresql' of cluster 'main', or does not tell it" in node.refused(tree)
    agent.put("agent/service/register", {**FORGED, "Meta": {**OURS, "minion": "db-9"}})
    wait_for(lambda: agent.ask("health/service/postgresql"), "it is not registered")
    assert (
        "Consul has db-9 in cluster 'main'; name its servers in postgresql:clusters:main:minions"
    ) in node.refused(tree)


def test_a_token_is_asked_for_where_consul_wants_one_and_never_told(tmp_path, node):
    agent = consul.Agent(tmp_path / "strict", "strict", with_acls=True).start()
    try:
        tree = tree_of(**known_by(agent.url))
        about = tree["clusters"]["main"]["consul"]
        assert "put a token that may read it into postgresql:clusters:main:consul:token" in node.refused(tree)
        about["token"] = "a-token-that-nobody-knows"
        assert "consul: the agent refuses: ACL not found; put a token that may do this" in node.refused(tree)

        agent.put("agent/service/register", {**FORGED, "Meta": OURS}, consul.MANAGEMENT)
        about["token"] = consul.MANAGEMENT
        wait_for(lambda: "192.0.2.66" in configured(node, tree)["primary"], "it is not registered")
        node.minion.hold(tree)
        out, err = node.minion.start("-m", str(ROOT), "-l", "all", "pg_client.servers", "main").wait()
        assert "192.0.2.66" in out
        assert consul.MANAGEMENT not in out + err
    finally:
        agent.stop()


@pytest.mark.parametrize(
    "said", [b"HTTP/1.0 200 OK\r\n\r\n<html>", b"HTTP/1.0 404 No\r\n\r\n", b"SSH-2.0-x\r\n"]
)
def test_what_is_no_agent_is_told(node, said):
    class Handler(socketserver.BaseRequestHandler):
        def handle(self):
            self.request.recv(10000)
            self.request.sendall(said)

    with listening(Handler) as url:
        told = node.refused(tree_of(**known_by(url)))
        assert re.search(f"(what answers|no agent of Consul answers) at {url}", told)


def test_the_template_of_the_page_gives_an_application_its_addresses(pair, agents, told, node, tree):
    port = pair.port
    expected = {"primary": f"127.0.0.1:{port}", "read_only": [f"127.0.0.2:{port}"]}
    assert configured(node, tree) == expected
    pair.first.stop()
    pair.second.promote()
    await_roles(agents, {SECOND_NAME}, set())
    assert configured(node, tree) == {"primary": f"127.0.0.2:{port}", "read_only": [f"127.0.0.2:{port}"]}


def configured(node, tree):
    """What an application reads that is given the file of the page, as it stands there."""
    page = (ROOT / "docs" / "howto" / "follow-servers.rst").read_text()
    block = re.search(r"code-block:: jinja\n\n((?:   .*\n|\n)+)", page)[1]
    source = node.minion.script("databases.yaml", textwrap.dedent(block))
    file = node.root / "databases.yaml"
    state = {"it": {"file.managed": [{"name": str(file)}, {"source": source}, {"template": "jinja"}]}}
    node.minion.script("application.sls", yaml.safe_dump(state))
    (returned,) = node.minion.returned("application", tree).values()
    assert returned["result"], returned
    return yaml.safe_load(file.read_text())["databases"]
