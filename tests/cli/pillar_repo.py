"""A repo with pillar in it, which tests edit and have ``pgpillar`` judge."""

import json
from pathlib import Path

from click.testing import CliRunner

from pgpillar_cli.main import cli

TESTS = Path(__file__).resolve().parents[1]


class Repo:
    """A directory with pillar in it, to be edited and then judged by ``pgpillar``."""

    def __init__(self, root: Path):
        self.root = root

    def write(self, file: str, text: str) -> None:
        path = self.root / "pillar" / file
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)

    def replace(self, file: str, old: str, new: str) -> None:
        """Edit a file, where ``old`` stands in it once."""
        text = (self.root / "pillar" / file).read_text()
        assert text.count(old) == 1
        self.write(file, text.replace(old, new))

    def add(self, file: str, text: str) -> None:
        self.write(file, (self.root / "pillar" / file).read_text() + text)

    def run(self, *arguments: str):
        """What the command does here. An exception that it lets through is raised."""
        return CliRunner().invoke(cli, ["-C", str(self.root), *arguments], catch_exceptions=False)

    def findings(self, *arguments: str) -> list[dict]:
        return json.loads(self.run("check", "--format", "json", *arguments).stdout)
