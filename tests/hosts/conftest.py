"""The hosts of the Vagrantfile, from a copy of the checkout that a test may edit, as a team edits its own."""

import configparser
import json
import os
import shutil
import subprocess
import sys
import tempfile
from contextlib import contextmanager
from pathlib import Path

import psycopg2
import pytest

from devtools import hosts
from devtools.postgres import wait_for

REPO = Path(__file__).parents[2]
SET_UP = ["/usr/bin/python3", "-IS", REPO / "devtools" / "set_up.py"]
LISTED = ["git", "-c", "safe.directory=*", "ls-files", "-z", "--cached", "--others", "--exclude-standard"]


UP = "systemctl is-system-running --wait | grep -q -e running -e degraded"
COUNTED = []  # lines for the end of the log


class Host:
    """One of them."""

    def __init__(self, name):
        self.name, self.container = name, f"pgpillar-{name}"

    def run(self, *command, check=True):
        """Run a command as root, and give what it printed."""
        done = self._done(*command)
        if check and done.returncode:
            raise AssertionError(f"{self.name}: {' '.join(command)}\n{done.stdout}{done.stderr}")
        return done.stdout

    def sh(self, script, check=True):
        return self.run("sh", "-c", script, check=check)

    def attempt(self, script):
        """Run a script that is to fail, and give all that it said."""
        done = self._done("sh", "-c", script)
        assert done.returncode, f"{self.name}: this should have failed: {script}\n{done.stdout}"
        return done.stdout + done.stderr

    def wait_for(self, script, seconds=120):
        """Return once a script succeeds."""
        wait_for(
            lambda: not self._done("sh", "-c", script).returncode, f"{self.name}: not yet: {script}", seconds
        )

    def write(self, path, text):
        subprocess.run(
            hosts.on(self.name, "tee", path), input=text, text=True, check=True, stdout=subprocess.DEVNULL
        )

    def kill(self):
        """End as by a power cut."""
        subprocess.run(["lxc-stop", "--kill", "--name", self.container], check=True)

    def start(self):
        """Start again, and return once it is up."""
        subprocess.run(["lxc-start", "--name", self.container], check=True)
        self.wait_for(UP)

    def reboot(self):
        """Reboot, and return once it is up again."""
        before = self.init
        self.sh("systemctl reboot", check=False)
        wait_for(lambda: self.init not in ("", before), f"{self.name} has not rebooted", 120)
        self.wait_for(UP)

    @property
    def address(self):
        return self.sh("hostname -I").split()[0]

    @property
    def init(self):
        """The process that this host's first one is on this machine; nothing while it is down."""
        command = ["lxc-info", "--name", self.container, "--pid", "--no-humanize"]
        return subprocess.run(command, capture_output=True, text=True).stdout.strip()

    def _done(self, *command):
        return subprocess.run(hosts.on(self.name, *command), capture_output=True, text=True, timeout=600)


class World:
    """All of them, as the one sees them who edits pillar and runs highstate."""

    def __init__(self, checkout, alone=None):
        self.checkout = checkout
        self.alone = alone  # what an application saw while the primary was the only one
        self.names = sorted(path.parts[-3] for path in checkout.glob(".vagrant/machines/*/lxc/id"))

    def __getitem__(self, name):
        return Host(name)

    def salt(self, target, function, *arguments):
        """Call a function on minions from the master, and give what each returned."""
        command = ["salt", "--out=json", "--static", "--timeout=30", target, function, *arguments]
        return json.loads(self[hosts.MASTER].run(*command, check=False))

    def highstate(self, target):
        """Highstate; gives, by minion, the changes of every state that made some. None may have failed."""
        return {name: changes(name, states) for name, states in self.salt(target, "state.highstate").items()}

    def wait_for_minions(self, target):
        """Return once they answer the master."""
        self[hosts.MASTER].wait_for(f"salt --timeout=5 {target!r} test.ping")

    def outside(self):
        """What the server tells an application on this machine, which has what Vagrant handed out."""
        return outside(self.checkout)

    @contextmanager
    def edited(self, file, old, new):
        """A pull request on a file of the checkout, taken back at the end."""
        path = self.checkout / file
        before = path.read_text()
        assert old in before
        path.write_text(before.replace(old, new))
        try:
            yield
        finally:
            path.write_text(before)


def failed(states):
    """Those that ran and failed; others only wait for them."""
    return [
        state for state in states.values() if state["result"] is False and state.get("__state_ran__", True)
    ]


def changes(minion, states):
    assert isinstance(states, dict), f"{minion}: {states}"
    failed = [state["comment"] for state in states.values() if not state["result"]]
    assert not failed, f"{minion}: {failed}"
    return {name: state["changes"] for name, state in states.items() if state["changes"]}


SEEN = "select current_user, ssl from pg_stat_ssl where pid = pg_backend_pid()"


def outside(checkout):
    services = configparser.ConfigParser()
    services.read(checkout / ".vagrant" / "pg_service.conf")
    login = {**services["postgresql"], "user": "shop_app", "password": "no-secret-in-dev-shop_app"}
    assert login["sslmode"] == "verify-full"
    with psycopg2.connect(dbname="shop", **login) as connection, connection.cursor() as cursor:
        cursor.execute(SEEN)
        return cursor.fetchone(), Path(login["sslrootcert"]).read_text()


@pytest.fixture(scope="session")
def tell():
    """``tell(line)``: have a line stand at the end of the log, whatever becomes of the test."""
    return COUNTED.append


def pytest_terminal_summary(terminalreporter):
    if COUNTED:
        terminalreporter.section("counted")
        terminalreporter.write("".join(f"{line}\n" for line in COUNTED))


def pytest_addoption(parser):
    parser.addoption(
        "--hosts-of", metavar="CHECKOUT", help="use hosts of this checkout that are up; they stay"
    )


@pytest.fixture(scope="session")
def world(request):
    if there := request.config.getoption("--hosts-of"):
        yield World(Path(there))
        return
    if reason := hosts.why_not():
        pytest.skip(reason)
    logged(*SET_UP, "hosts")
    checkout, before = copy_of_the_checkout(), running()
    try:
        on_checkout(checkout, "up", hosts.PRIMARY)
        alone = outside(checkout)
        on_checkout(checkout, "up")
        yield World(checkout, alone)
    finally:
        on_checkout(checkout, "clean")
        shutil.rmtree(checkout)
        assert running() == before, "the hosts are ended, and something of them is left"


def running():
    """Containers, bridges, and the daemons that serve them on this machine's network."""
    return {
        "containers": sorted(os.listdir(hosts.box.CONTAINERS)),
        "bridges": sorted(path.parent.name for path in Path("/sys/class/net").glob("*/bridge")),
        "daemons": sorted(path.name for path in Path("/proc").glob("[0-9]*") if serves_hosts(path)),
    }


def serves_hosts(process):
    try:
        is_here = os.readlink(process / "ns/net") == os.readlink("/proc/self/ns/net")
        return is_here and (process / "comm").read_text().strip() in ("dnsmasq", "lxc-start", "lxc-monitord")
    except OSError:  # it has ended meanwhile
        return False


def copy_of_the_checkout():
    checkout = Path(tempfile.mkdtemp(prefix="pgpillar-hosts-", dir="/var/tmp"))
    checkout.chmod(0o755)
    listed = subprocess.run(LISTED, cwd=REPO, check=True, capture_output=True, text=True).stdout
    for name in filter(None, listed.split("\0")):
        (checkout / name).parent.mkdir(parents=True, exist_ok=True)
        shutil.copy2(REPO / name, checkout / name, follow_symlinks=False)
    return checkout


def on_checkout(checkout, *arguments):
    logged(sys.executable, "-m", "devtools.hosts", *arguments, cwd=checkout)


def logged(*command, **more):
    """Run a command, and have what it prints stand at the end of the log."""
    done = subprocess.run(command, stdout=subprocess.PIPE, text=True, **more)
    COUNTED.append(done.stdout.rstrip())
    assert done.returncode == 0, f"{command}: see the end of the log"
