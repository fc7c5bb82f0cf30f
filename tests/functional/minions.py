"""Masterless minions with the repo's states: in this process where that will do, or as people run them."""

import json
import os
import subprocess
import sys
import tempfile
from contextlib import contextmanager
from functools import cached_property
from pathlib import Path
from typing import NamedTuple

import salt._logging
import salt.client
import salt.config
import yaml

salt._logging.shutdown_temp_handler()  # it would speak up when the tests are over

ROOT = Path(__file__).resolve().parents[2]
SALT_CALL = "import sys; from salt.scripts import salt_call; sys.exit(salt_call())"
STATE = "pg_access_|-postgresql.admin {}_|-{}_|-converged"


class Verdict(NamedTuple):
    """What the state of one cluster returned."""

    result: bool | None
    changes: dict
    comment: str

    @property
    def lines(self):
        """The changes, flat: (kind, name, line)."""
        return {
            (kind, name, line)
            for kind, things in self.changes.items()
            for name, lines in things.items()
            for line in lines
        }


class Minion:
    """A minion that keeps all it has in ``directory``. Its pillar is a file that only its user can read."""

    python = sys.executable

    def __init__(self, directory, **options):
        self.directory = Path(directory)
        self.states, self.pillars, self.configuration = (
            self.directory / name for name in ("states", "pillar", "conf")
        )
        for directory in (self.states, self.pillars, self.configuration):
            directory.mkdir(parents=True)
        self.root = self.directory / "minion"
        self.options = options
        self._configure()

    def _configure(self):
        options = {
            "id": "db-admin-1",
            "root_dir": str(self.root),
            "file_client": "local",
            "file_roots": {"base": [str(ROOT / "salt"), str(self.states)]},
            "pillar_roots": {"base": [str(self.pillars)]},
            **self.options,
        }
        (self.configuration / "minion").write_text(json.dumps(options))
        (self.states / "top.sls").write_text("base: {'*': [postgresql.admin]}\n")

    def hold(self, tree):
        """Let pillar hold this under ``postgresql``."""
        (self.pillars / "top.sls").write_text("base: {'*': [postgresql]}\n")
        file = self.pillars / "postgresql.sls"
        file.touch(mode=0o600)
        file.write_text("#!yaml\n" + yaml.safe_dump({"postgresql": tree}))

    def script(self, name, text):
        """Serve a file; returns its address."""
        (self.states / name).write_text(text)
        return f"salt://{name}"

    # In this process

    @cached_property
    def _caller(self):
        options = salt.config.minion_config(str(self.configuration / "minion"))
        return salt.client.Caller(mopts={**options, "module_dirs": [str(ROOT)]})

    def apply(self, tree, test=False, cluster="main"):
        """Apply postgresql.admin with ``tree`` as its pillar, and return the verdict on a cluster."""
        return verdict(self.returned("postgresql.admin", tree, test), cluster)

    def returned(self, name, tree, test=False):
        """Apply any states with ``tree`` as their pillar, and return all that they returned."""
        return self.call("state.sls", name, tree=tree, test=test)

    def call(self, function, *arguments, tree, **options):
        """Call any function of states with ``tree`` as its pillar."""
        return self._caller.cmd(function, *arguments, pillar={"postgresql": tree}, **options)

    # As people do

    def start(self, *arguments, **environment):
        """Start ``salt-call --local`` on this minion; returns the call that runs."""
        command = [self.python, "-c", SALT_CALL, "--local", "-c", str(self.configuration)]
        return Call([*command, "--out", "json", *arguments], {**_bare_environment(), **environment})

    def told(self, *arguments):
        """What ``salt-call --local`` returns."""
        out, err = self.start(*arguments).wait()
        assert out, err
        return json.loads(out)["local"]

    def highstate(self, *arguments):
        """Run a highstate to its end: the verdict and whatever was printed."""
        return finish(self.start(*arguments, "state.highstate"))


class Call:
    """A process of salt-call. What it prints goes to files, so that it never waits for a reader."""

    def __init__(self, command, environment):
        self._out, self._err = tempfile.TemporaryFile(), tempfile.TemporaryFile()  # noqa: SIM115
        self._process = subprocess.Popen(
            command, cwd="/", env=environment, stdin=subprocess.DEVNULL, stdout=self._out, stderr=self._err
        )

    def kill(self):
        self._process.kill()
        self._process.wait()

    def wait(self):
        """Wait for its end; returns standard output and standard error."""
        self._process.wait()
        return _content(self._out), _content(self._err)


def _content(file):
    with file:
        file.seek(0)
        return file.read().decode()


def finish(call, cluster="main"):
    """Wait for a started highstate: its verdict, its standard output and its standard error."""
    out, err = call.wait()
    return verdict(json.loads(out)["local"], cluster), out, err


def verdict(returned, cluster="main"):
    """The verdict on a cluster in what a state run returned."""
    assert isinstance(returned, dict), returned
    state = returned[STATE.format(cluster, cluster)]
    return Verdict(state["result"], state["changes"], state["comment"])


@contextmanager
def restarted(server, **settings):
    """The server with other settings for as long as the block lasts."""
    before = dict(server.settings)
    try:
        _restart(server, {**before, **settings})
        yield server
    finally:
        _restart(server, before)


def _restart(server, settings):
    server.stop()
    server.settings = settings
    server.start()


def _bare_environment():
    """The environment without what could bring the repo's own files onto the path."""
    return {name: value for name, value in os.environ.items() if not name.startswith("PYTHON")}
