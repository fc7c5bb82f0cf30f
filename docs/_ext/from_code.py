"""Directives that are written by the code they tell of, so that a page and the code cannot disagree.

``pillar-keys``      the keys of a section of pillar, from its table in pgpillar.tree
``settings-elsewhere``  the settings of pgbouncer or of a server that are not given by that name
``access-levels``    what each level grants, from pgpillar.access
``advice``           what pgpillar says to a complaint of the server or of libpq, from pgpillar.connect
``pillar-change``    pillar (before, ``---``, after), and what the plan from the one to the other is
``pillar-problems``  pillar, and what is said about it
``core-modules``     modules of the core, each with what it says of itself
``command-help``     what a command of ``pgpillar`` says of itself
``:test:``           the name of a test, which must exist
"""

import ast
import re
from pathlib import Path

import click
import yaml
from docutils import nodes
from docutils.parsers.rst import Directive
from docutils.statemachine import StringList

from pgpillar import access, connect, node, pillar, server, text, tree
from pgpillar.model import Cluster
from pgpillar.plan import plan
from pgpillar.shape import Either, ListOf, MapOf, Section
from pgpillar_cli.main import cli

ROOT = Path(__file__).resolve().parents[2]
SECTIONS = {
    "tree": tree.TREE,
    "cluster": tree.CLUSTER,
    "admin": tree.ADMIN,
    "consul": tree.CONSUL,
    "replica": tree.REPLICA,
    "database": tree.DATABASE,
    "schema": tree.SCHEMA,
    "extension": tree.Extensions._one,
    "user": tree.USER,
    "group": tree.GROUP,
    "server": tree.SERVER,
    "pool": tree.POOL,
    "pgbouncer": tree.PGBOUNCER,
}


class FromCode(Directive):
    """A directive that parses the lines it makes."""

    has_content = True

    def run(self):
        node = nodes.container()
        self.state.nested_parse(
            StringList(self.lines(), self.arguments[0] if self.arguments else ""), 0, node
        )
        return node.children

    def lines(self):
        raise NotImplementedError


def table(header, rows):
    """Return the lines of a list-table."""
    lines = [".. list-table::", "   :header-rows: 1", ""]
    for row in (header, *rows):
        cells = [cell.replace("\n", " ") for cell in row]
        lines += [f"   {'* -' if first else '  -'} {cell}" for first, cell in _marked(cells)]
    return [*lines, ""]


def _marked(cells):
    return [(number == 0, cell) for number, cell in enumerate(cells)]


def literal(body, language="text"):
    """Return the lines of a code block."""
    return [f".. code-block:: {language}", "", *(f"   {line}" for line in body.splitlines()), ""]


# Pillar's keys


class PillarKeys(FromCode):
    required_arguments = 1

    def lines(self):
        keys = SECTIONS[self.arguments[0]].keys
        rows = [(f"``{name}``", wanted(key.kind), default(key), key.help) for name, key in keys.items()]
        return table(("key", "value", "if left out", "what it is"), rows)


class SettingsElsewhere(FromCode):
    required_arguments = 1

    def lines(self):
        of = {"pgbouncer": node, "server": server}[self.arguments[0]]
        rows = [(f"``{name}``", where) for name, where in of.ELSEWHERE.items()]
        return table(("setting", "what is said about it"), rows)


def wanted(kind):
    """Return what a kind of value looks like, in words."""
    if isinstance(kind, Either):
        return f"{wanted(kind.text)}; or {wanted(kind.other)}"
    if isinstance(kind, ListOf):
        return f"a list, each {wanted(kind.item)}" + (" (one may stand alone)" if kind.alone else "")
    if isinstance(kind, MapOf):
        return f"a mapping of {wanted(kind.key)} to {wanted(kind.value)}"
    if isinstance(kind, Section):
        name = next((name for name, section in SECTIONS.items() if section is kind), None)
        short = f", or its {kind.short} alone" if kind.short else ""
        return f"{kind.expected}: see {name}{short}" if name else kind.expected
    return kind.expected


def default(key):
    if key.required:
        return "**must be given**"
    if key.default is None or (key.default == -1 and "any number" in key.help):
        return ""
    return f"``{key.default}``" if isinstance(key.default, (str, int)) and key.default != "" else ""


# Modules of the core


class CoreModules(FromCode):
    optional_arguments = 99

    def lines(self):
        return table(("module", "what it is"), [(f"``{name}``", summary(name)) for name in self.arguments])


def summary(module):
    """Return the first sentences of what a module of the core says of itself."""
    parsed = ast.parse((ROOT / f"_utils/pgpillar/{module}.py").read_text())
    return ast.get_docstring(parsed).partition("\n\n")[0]


# Levels


class AccessLevels(FromCode):
    def lines(self):
        rows = [(what, *(granted(by[level]) for level in access.LEVELS)) for what, by in LEVEL_ROWS]
        return table(("on", *(f"``{level}``" for level in access.LEVELS)), rows)


LEVEL_ROWS = [
    ("the database", access.ON_DATABASE),
    ("each declared schema", access.ON_SCHEMA),
    *(
        (
            f"each {kind}, and each that is created later",
            {level: on.get(kind, ()) for level, on in access.ON_OBJECTS.items()},
        )
        for kind in access.ON_OBJECTS[access.READ]
    ),
]


def granted(privileges):
    return ", ".join(f"``{privilege}``" for privilege in privileges) or "as the owner, by membership"


# What is said to the complaints of others


class Advice(FromCode):
    required_arguments = 1

    def lines(self):
        return table(("what the server or libpq says", "what to do"), TABLES[self.arguments[0]]())


def connection_faults():
    for pattern, advice in connect._CONNECTION_FAULTS:
        yield (
            " / ".join(dict.fromkeys(f"“{part.rstrip('$')}”" for part in pattern.split("|"))),
            escaped(advice),
        )


def server_errors():
    for kind, advice in connect._ADVICE:
        yield re.sub(r"(?<=[a-z])(?=[A-Z])", " ", kind.__name__).lower(), escaped(advice)


def escaped(words):
    return words.replace("*", r"\*").replace("`", r"\`")


TABLES = {"connecting": connection_faults, "working": server_errors}


# Pillar, and what comes of it


class PillarChange(FromCode):
    def lines(self):
        before, _, after = "\n".join(self.content).rpartition("---\n")
        changes = plan(declared(before), declared(after))
        return [*literal(after, "yaml"), *literal(drawn(text.tree(changes)))]


class PillarProblems(FromCode):
    def lines(self):
        body = "\n".join(self.content)
        try:
            pillar.read(completed(body))
        except pillar.PillarError as error:
            return [*literal(body, "yaml"), *literal(str(error))]
        raise self.error("nothing is wrong with this pillar")


class CommandHelp(FromCode):
    required_arguments = 1

    def lines(self):
        command = cli.commands[self.arguments[0]]
        with click.Context(command, info_name=f"pgpillar {command.name}", max_content_width=100) as context:
            return literal(command.get_help(context))


def declared(body):
    return pillar.read(completed(body))["main"].cluster if body.strip() else Cluster("main")


def completed(body):
    """Return pillar with what a page leaves out for brevity: the cluster, and passwords."""
    tree = yaml.safe_load(body)["postgresql"]
    tree.setdefault("clusters", {"main": {"host": "postgresql.example.internal"}})
    for name, user in tree.get("users", {}).items():
        tree["users"][name] = {"password": "not shown", **(user or {})}
    return tree


def drawn(tree):
    """Return changes as the demo shows them, without colour."""
    lines = []
    for group, names in tree.items():
        lines.append(group)
        for name, what in names.items():
            lines += [f"  {name}", *(f"    {line}" for line in what)]
    return "\n".join(lines) or "nothing changes"


# Tests that a page relies on


def name_test(name, rawtext, given, lineno, inliner, *_):
    """Name a test, and fail the build where there is none of that name."""
    path, _, test = given.partition("::")
    if not exists(path, test):
        message = inliner.reporter.error(f"there is no test {given}", line=lineno)
        return [inliner.problematic(rawtext, rawtext, message)], [message]
    return [nodes.literal(rawtext, test or given, classes=["test"])], []


def exists(path, test):
    file = ROOT / path
    return file.is_file() and (not test or re.search(rf"^def {test}\b", file.read_text(), re.M))


DIRECTIVES = {
    "pillar-keys": PillarKeys,
    "settings-elsewhere": SettingsElsewhere,
    "access-levels": AccessLevels,
    "advice": Advice,
    "pillar-change": PillarChange,
    "pillar-problems": PillarProblems,
    "core-modules": CoreModules,
    "command-help": CommandHelp,
}


def setup(app):
    for name, directive in DIRECTIVES.items():
        app.add_directive(name, directive)
    app.add_role("test", name_test)
    return {"parallel_read_safe": True, "env_version": 1}
