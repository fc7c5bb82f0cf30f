"""A repo with pillar in it, which tests edit and have ``pgpillar`` judge."""

import json
import subprocess
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

    def git(self, *arguments: str) -> str:
        command = ["git", "-C", self.root, "-c", "user.name=a person", "-c", "user.email=person@example.org"]
        return subprocess.run([*command, *arguments], check=True, capture_output=True, text=True).stdout

    def commit(self, branch: str | None = None) -> None:
        """Commit what stands here, on a branch of this name where one is given."""
        if branch:
            self.git("checkout", "--quiet", "-B", branch)
        self.git("add", "--all")
        self.git("commit", "--quiet", "--allow-empty", "--message", "an edit")

    def run(self, *arguments: str, **options):
        """What the command does here. An exception that it lets through is raised."""
        return CliRunner().invoke(cli, ["-C", str(self.root), *arguments], catch_exceptions=False, **options)

    def findings(self, *arguments: str) -> list[dict]:
        return json.loads(self.run("check", "--format", "json", *arguments).stdout)
