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

ID = "db-admin-1"  # that of roles.yaml which administers
LOG_LINES = 15


class Minion:
    def __init__(self, place):
        self.place, self.directory = place, Path(place, "minion")
        self.log = self.directory / "salt.log"

    def configure(self):
        """Write the minion's configuration, and begin its log anew."""
        self.directory.mkdir(mode=0o700, exist_ok=True)
        self.log.unlink(missing_ok=True)
        configuration = {
            "id": ID,
            "root_dir": str(self.directory),
            "file_client": "local",
            "file_roots": {"base": [str(ROOT / "salt"), str(self.place / "salt")]},
            "pillar_roots": {"base": [str(self.place / "pillar")]},
            "pillar_safe_render_error": False,
            "log_file": str(self.log),
            "log_level_logfile": "info",
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

    def declared(self):
        """The cluster that pillar declares: read here, for salt-call prints asterisks for its values."""
        options = salt.config.minion_config(str(self.directory / "minion"))
        compiled = salt.pillar.get_pillar(options, {"id": ID}, ID, "base").compile_pillar()
        return pillar.read(compiled["postgresql"])["main"].cluster

    def _tail(self, done):
        said = [*done.stdout.splitlines(), *done.stderr.splitlines()]
        log = self.log.read_text(errors="replace").splitlines() if self.log.exists() else []
        return [*said[-LOG_LINES:], f"the end of {self.log}:", *log[-LOG_LINES:]]


def _environment():
    """The demo's own Python finds its packages by itself, and no other."""
    return {name: value for name, value in os.environ.items() if not name.startswith(("PYTHON", "PG"))}
