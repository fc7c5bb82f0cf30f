"""Check that every public function of Salt's modules and runners has a CLI example that would be accepted.

    python3 devtools/check_cli_examples.py _modules/*.py _runners/*.py

An example is a line ``salt '<target>' module.function …``, or one of ``salt-call`` or ``salt-run``, in a code
block after ``CLI Example:``. It must name that very function, and its arguments must fit the signature.
"""

import ast
import inspect
import re
import shlex
import sys
from collections.abc import Iterator
from pathlib import Path

BLOCK = re.compile(
    r"CLI Examples?:\s+\.\. code-block:: (?:bash|shell|console)\s*\n\s*\n(?P<lines>(?:[ ]+\S.*\n|\s*\n)+)"
)
KEYWORD = re.compile(r"(?P<name>[A-Za-z_]\w*)=(?P<value>.*)", re.DOTALL)
FUNCTION = re.compile(r"\w+\.\w+")
PROGRAMS = ("salt", "salt-call", "salt-run")


def main(paths: list[str]) -> None:
    faults = [fault for path in paths for fault in check_module(Path(path))]
    sys.exit("\n".join(faults) or 0)


def check_module(path: Path) -> Iterator[str]:
    """Yield one line for each fault in the module's examples."""
    tree = ast.parse(path.read_text())
    module = constant(tree, "__virtualname__") or path.stem
    alias = constant(tree, "__func_alias__") or {}
    for function in tree.body:
        if isinstance(function, ast.FunctionDef) and not function.name.startswith("_"):
            name = f"{module}.{alias.get(function.name, function.name)}"
            for fault in check_function(function, name):
                yield f"{path}:{function.lineno}: {name}: {fault}"


def constant(tree: ast.Module, name: str):
    """Return the literal that the module assigns to the name, None where it assigns none."""
    for node in tree.body:
        if isinstance(node, ast.Assign) and [ast.unparse(target) for target in node.targets] == [name]:
            return ast.literal_eval(node.value)
    return None


def check_function(function: ast.FunctionDef, name: str) -> Iterator[str]:
    commands = list(example_commands(ast.get_docstring(function) or ""))
    if not commands:
        yield "has no `CLI Example:` with a command in a code block"
    for command in commands:
        fault = check_command(command, name, signature(function))
        if fault:
            yield f"{fault}: {command}"


def example_commands(docstring: str) -> Iterator[str]:
    """Yield the command lines of the code block under ``CLI Example:``, continued lines joined."""
    block = BLOCK.search(docstring + "\n")
    text = block["lines"].replace("\\\n", " ") if block else ""
    for line in text.splitlines():
        command = line.strip().removeprefix("$ ")
        if command and not command.startswith("#"):
            yield command


def check_command(command: str, name: str, accepted: inspect.Signature) -> str | None:
    """Return what is wrong with one command, None where nothing is."""
    try:
        called, arguments = split_call(shlex.split(command))
        if called != name:
            return f"calls {called or 'no function'}"
        keywords = [match for match in map(KEYWORD.fullmatch, arguments) if match]
        positional = [argument for argument in arguments if not KEYWORD.fullmatch(argument)]
        accepted.bind(*positional, **{match["name"]: match["value"] for match in keywords})
    except (TypeError, ValueError) as error:
        return str(error)
    return None


def split_call(words: list[str]) -> tuple[str | None, list[str]]:
    """Take a command line of one of Salt's programs apart into the function and its arguments."""
    program, *rest = words
    if program not in PROGRAMS:
        raise ValueError(f"begins with none of {', '.join(PROGRAMS)}")
    while rest and rest[0].startswith("-"):
        rest.pop(0)
    if program == "salt" and rest:
        rest.pop(0)  # the target
    called = rest.pop(0) if rest and FUNCTION.fullmatch(rest[0]) else None
    return called, rest


def signature(function: ast.FunctionDef) -> inspect.Signature:
    """Return the function's signature as far as binding needs it, without importing its module."""
    given = function.args
    optional = {argument.arg for argument in with_default(given)}
    kinds = (
        (given.posonlyargs, inspect.Parameter.POSITIONAL_ONLY),
        (given.args, inspect.Parameter.POSITIONAL_OR_KEYWORD),
        ([given.vararg] if given.vararg else [], inspect.Parameter.VAR_POSITIONAL),
        (given.kwonlyargs, inspect.Parameter.KEYWORD_ONLY),
        ([given.kwarg] if given.kwarg else [], inspect.Parameter.VAR_KEYWORD),
    )
    empty = inspect.Parameter.empty
    return inspect.Signature(
        inspect.Parameter(argument.arg, kind, default=None if argument.arg in optional else empty)
        for arguments, kind in kinds
        for argument in arguments
    )


def with_default(given: ast.arguments) -> list[ast.arg]:
    positional = given.posonlyargs + given.args
    keyword = [argument for argument, value in zip(given.kwonlyargs, given.kw_defaults, strict=True) if value]
    return positional[len(positional) - len(given.defaults) :] + keyword


if __name__ == "__main__":
    main(sys.argv[1:])
