"""A masterless minion for each contestant: its own configuration, states, pillar and cache."""

from __future__ import annotations

import json
import sys
from pathlib import Path

from bench import meter

REPO = Path(__file__).resolve().parent.parent
OURS = REPO / "salt"
NOTHING = {"nothing": {"test.nop": []}}


class Minion:
    """``states`` is an SLS as data, which may include pgpillar's own, or None for its state tree alone."""

    def __init__(self, directory: Path, pillar: dict, states: dict | None, renderer="jinja|yaml", **options):
        self.directory = directory
        directory.mkdir(parents=True)
        self._write("pillar/top.sls", {"base": {"*": ["all"]}})
        self.hold(pillar)
        if states is not None:
            self._write("salt/top.sls", {"base": {"*": ["states"]}})
            self._write("salt/states.sls", states, f"#!{renderer}\n")
        roots = [OURS] if states is None else [directory / "salt"]
        if states and "include" in states:
            roots.append(OURS)
        configuration = {
            "id": "db-admin-1",
            "root_dir": str(directory),
            "file_client": "local",
            "file_roots": {"base": [str(root) for root in roots]},
            "pillar_roots": {"base": [str(directory / "pillar")]},
            **options,
        }
        self._write("minion", configuration)

    def hold(self, pillar: dict) -> None:
        self._write("pillar/all.sls", {"postgresql": pillar} if pillar else {}, "#!json\n")

    def _write(self, name: str, data: dict, head: str = "") -> None:
        path = self.directory / name
        path.parent.mkdir(exist_ok=True)
        path.write_text(head + json.dumps(data, indent=1))

    def warm_up(self) -> None:
        """Have the modules synced and compiled, as on every minion that has run once."""
        self._call("saltutil.sync_all")
        self._call("state.highstate", "test=True")

    def highstate(self, changing: bool) -> meter.Cost:
        """Run it; see that it succeeded, and that it changed something if and only if it was to."""
        cost, returned = self._call("state.highstate")
        failed = [state["comment"] for state in returned.values() if not state["result"]]
        changed = [state for state in returned.values() if state["changes"]]
        if failed or bool(changed) != changing:
            raise meter.Broken(
                f"{self.directory.name}: {len(changed)} states changed; failures: {failed[:3]}"
            )
        return cost

    def _call(self, *arguments: str) -> tuple[meter.Cost, dict]:
        salt_call = Path(sys.executable).with_name("salt-call")
        options = ["--local", "--config-dir", self.directory, "--out", "json", "--log-level", "quiet"]
        output = self.directory / "output.json"
        cost = meter.run([salt_call, *options, *arguments], output)
        return cost, json.loads(output.read_text())["local"]
