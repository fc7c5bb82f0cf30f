"""docs/howto/new-application.rst, step by step: a clone, a real server, an application that connects."""

import json
import os
import secrets
import shutil
import subprocess
import sys
from fnmatch import fnmatch
from pathlib import Path

import pytest
import yaml
from docutils import nodes
from docutils.core import publish_doctree
from docutils.parsers.rst import directives, roles
from docutils.parsers.rst.directives.body import CodeBlock

from tests.functional.minions import Minion

REPO = Path(__file__).parents[3]
PAGE = REPO / "docs/howto/new-application.rst"
APPLICATION = "www-data"
ENVIRONMENT = {
    **{name: os.environ[name] for name in ("HOME", "LANG") if name in os.environ},
    **{f"GIT_{who}_NAME": "a person" for who in ("AUTHOR", "COMMITTER")},
    **{f"GIT_{who}_EMAIL": "person@example.org" for who in ("AUTHOR", "COMMITTER")},
    "PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}",
}


class Block(CodeBlock):
    """A block of the page, with what it says of itself: a class, or the file that its lines are for."""

    option_spec = {**CodeBlock.option_spec, "caption": directives.unchanged}

    def run(self):
        text = "\n".join(self.content)
        said = {"of": self.options.get("class", []), "file": self.options.get("caption")}
        return [nodes.literal_block(text, text, **said)]


def blocks():
    directives.register_directive("code-block", Block)
    for name in ("doc", "test"):
        roles.register_local_role(name, lambda *_, **__: ([], []))
    for block in publish_doctree(PAGE.read_text()).findall(nodes.literal_block):
        yield block["of"], block["file"], block.astext()


class Walk:
    """Somebody who follows the page, by its commands or by hand."""

    def __init__(self, way, clone, minions, node):
        self.way, self.clone, self.minions, self.node = way, clone, minions, node
        (self.encrypted_password,) = [text for of, _, text in blocks() if "by-hand" in of]

    def follow(self, of, file, text):
        by_hand = self.way == "by-hand"
        if file and by_hand:
            self.edit(file, text)
        elif "on-the-node" in of:
            self.said = self.on_the_node(text)
        elif not file and (not of or ("by-command" in of and not by_hand)):
            self.run(text)

    def run(self, text):
        for line in text.splitlines():
            if line.startswith("salt "):
                self.highstate(line.split()[1].strip("'"))
            else:
                self.shell(line)

    def shell(self, command):
        options = {"cwd": self.clone, "env": ENVIRONMENT, "capture_output": True, "text": True}
        done = subprocess.run(["bash", "-euo", "pipefail", "-c", command], **options)
        assert done.returncode == 0, done.stdout + done.stderr
        return done.stdout

    def on_the_node(self, script):
        script = script.replace("/etc/pgpillar", f"{self.node.root}/etc/pgpillar")
        command = [
            "runuser",
            "-u",
            APPLICATION,
            "--",
            "env",
            "-i",
            "PATH=/usr/bin:/bin",
            "bash",
            "-euc",
            script,
        ]
        done = subprocess.run(command, cwd="/", capture_output=True, text=True)
        assert done.returncode == 0, done.stderr
        return done.stdout

    def highstate(self, glob):
        """Highstate on every minion that is meant, with pillar and states from the clone alone."""
        meant = [minion for name, minion in self.minions.items() if fnmatch(name, glob)]
        assert meant
        for minion in meant:
            out, err = minion.start("state.highstate").wait()
            states = json.loads(out)["local"]
            assert isinstance(states, dict), states
            assert all(state["result"] for state in states.values()), out + err

    # By hand

    def edit(self, file, text):
        """Do what the page says for a file of dev, and what it says of prod."""
        text = text.replace("a long random text", secrets.token_hex(16))
        self.put(file, text.replace("another long random text", secrets.token_hex(16)))
        if file.startswith("pillar/dev/secrets"):
            tree = yaml.safe_load(text)
            for user in tree["postgresql"]["users"].values():
                user["password"] = self.shell(self.encrypted_password)
            self.put(file.replace("/dev/", "/prod/"), yaml.safe_dump(tree))
        elif file.startswith("pillar/dev"):
            self.put(file.replace("/dev/", "/prod/"), text)

    def put(self, file, text):
        path = self.clone / file
        if not path.exists():
            path.write_text(("#!yaml|gpg\n" if "/prod/" in file else "") + text)
        elif "{% endload %}" in path.read_text():
            before, mark, after = path.read_text().partition("# {% endload %}")
            path.write_text(f"{before}{text}\n{mark}{after}")
        else:
            head = "#!yaml|gpg\n" if path.read_text().startswith("#!") else ""
            path.write_text(
                head + yaml.safe_dump(merged(yaml.safe_load(path.read_text()), yaml.safe_load(text)))
            )


def merged(old, new):
    if not isinstance(old, dict) or not isinstance(new, dict):
        return new
    return {**old, **{key: merged(old.get(key), value) for key, value in new.items()}}


@pytest.fixture
def node(make_node):
    return make_node("blog-1")


@pytest.fixture
def clone(tmp_path, cluster, node):
    """A clean clone of a fork whose cluster is the test's server. The node has a port of its own."""
    fork, clone = tmp_path / "fork", tmp_path / "clone"
    for name in ("conf", "pillar", "salt", "_modules", "_states", "_utils"):
        shutil.copytree(REPO / name, fork / name, symlinks=True, ignore=shutil.ignore_patterns("__pycache__"))
    server = {"host": "127.0.0.1", "port": cluster.server.port, "ca": cluster.server.ca_pem}
    admin = {"user": cluster.server.superuser, "minion": "db-admin-1"}
    main = {"clusters": {"main": {**server, "admin": admin}}, "pgbouncer": {"port": node.port}}
    write(fork / "pillar/postgresql/clusters.sls", main)
    secret = {"clusters": {"main": {"admin": {"password": cluster.server.password}}}}
    write(fork / "pillar/dev/secrets/postgresql-admin.sls", secret)
    (elsewhere,) = [text for of, _, text in blocks() if "elsewhere" in of]
    subprocess.run(["bash", "-euc", elsewhere], cwd=fork, check=True)
    for command in (
        ["git", "init", "--quiet", "--initial-branch", "main", fork],
        ["git", "-C", fork, "add", "--all"],
        ["git", "-C", fork, "commit", "--quiet", "--message", "a fork"],
        ["git", "clone", "--quiet", fork, clone],
    ):
        subprocess.run(command, check=True, env=ENVIRONMENT)
    return clone


def write(file, tree):
    file.write_text(yaml.safe_dump({"postgresql": tree}))


@pytest.mark.parametrize("way", ["by-command", "by-hand"])
def test_an_application_connects_after_these_steps(way, clone, node, tmp_path):
    roots = {"base": [str(clone / "pillar/dev"), str(clone / "pillar")]}
    options = {"file_roots": {"base": [str(clone / "salt")]}, "pillar_roots": roots}
    node.minion = Minion(node.root / "minion", id="blog-1", pgpillar_root=str(node.root), **options)
    admin = Minion(tmp_path / "db-admin-1", id="db-admin-1", **options)
    walk = Walk(way, clone, {"db-admin-1": admin, "blog-1": node.minion}, node)
    for block in blocks():
        if "on-the-node" in block[0]:
            node.start()
        walk.follow(*block)
    assert walk.said.split("\n")[2].split() == ["blog_app", "|", "blog"]
