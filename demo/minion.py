"""The masterless minion of the demo: Salt as anybody would call it, and all it writes kept in one place."""

import json
import os
import subprocess
import sys
from pathlib import Path

import salt.config
import salt.pillar

from demo.place import ROOT
from devtools.embedded import Failed
from pgpillar import pillar

LOG_LINES = 15
NOT_RUN = "One or more requisite failed"  # which tells nothing beside the failure that it is for


class Minion:
    def __init__(self, place, name, **options):
        self.place, self.name, self.options = place, name, options
        self.directory = Path(place, "minions", name)
        self.log = self.directory / "salt.log"

    def configure(self):
        """Write the minion's configuration, and begin its log anew."""
        self.directory.parent.mkdir(mode=0o700, exist_ok=True)
        self.directory.mkdir(mode=0o700, exist_ok=True)
        self.log.unlink(missing_ok=True)
        configuration = {
            "id": self.name,
            "root_dir": str(self.directory),
            "file_client": "local",
            "file_roots": {"base": [str(self.place / "salt"), str(ROOT / "salt")]},
            "pillar_roots": {"base": [str(self.place / "pillar")]},
            "pillar_safe_render_error": False,
            "log_file": str(self.log),
            "log_level_logfile": "info",
            **self.options,
        }
        (self.directory / "minion").write_text(json.dumps(configuration, indent=1))

    def call(self, *arguments):
        """Return what salt-call returns, as data."""
        salt_call = Path(sys.executable).with_name("salt-call")
        options = ["--local", "--config-dir", self.directory, "--out", "json", "--log-level", "quiet"]
        done = subprocess.run(
            [salt_call, *options, *arguments],
            check=False, stdin=subprocess.DEVNULL, capture_output=True, text=True, env=_environment(),
        )  # fmt: skip
        try:
            return json.loads(done.stdout)["local"]
        except (ValueError, KeyError):
            raise Failed("\n".join([f"salt-call {arguments[0]} failed:", *self._tail(done)])) from None

    def highstate(self):
        """Run it; returns what each state said, in their order."""
        returned = self.call("state.highstate")
        if isinstance(returned, list):
            raise Failed("\n".join(["Salt cannot read the pillar or the states:", *returned]))
        states = sorted(returned.values(), key=lambda state: state["__run_num__"])
        return [self._said(state) for state in states if not state["comment"].startswith(NOT_RUN)]

    def _said(self, state):
        """What a state said; the places that it changed are told as they are seen from the node's own /."""
        changes = json.dumps(state["changes"]).replace(f"{self.place / self.name}/", "/")
        return {"comment": state["comment"], "result": state["result"], "changes": json.loads(changes)}

    def pillar(self):
        """What stands under ``postgresql``: read here, for salt-call prints asterisks for its values."""
        options = salt.config.minion_config(str(self.directory / "minion"))
        compiled = salt.pillar.get_pillar(options, {"id": self.name}, self.name, "base").compile_pillar()
        return compiled["postgresql"]

    def cluster(self):
        """The cluster that pillar declares."""
        return pillar.read(self.pillar())["main"].cluster

    def _tail(self, done):
        said = [*done.stdout.splitlines(), *done.stderr.splitlines()]
        log = self.log.read_text(errors="replace").splitlines() if self.log.exists() else []
        return [*said[-LOG_LINES:], f"the end of {self.log}:", *log[-LOG_LINES:]]


def _environment():
    """The demo's own Python finds its packages by itself, and no other."""
    return {name: value for name, value in os.environ.items() if not name.startswith(("PYTHON", "PG"))}
