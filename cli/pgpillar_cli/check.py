"""``pgpillar check``: everything that is wrong with pillar, at once."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

import click

from pgpillar import node, pillar, shape
from pgpillar_cli import findings, formats, roles
from pgpillar_cli.compiled import Compiler, View
from pgpillar_cli.findings import Finding
from pgpillar_cli.locate import Locator
from pgpillar_cli.place import Environment, Place, PlaceError


@click.command()
@click.option("--env", "names", multiple=True, help="Only this environment; may be given again.")
@formats.option
@click.pass_context
def check(context, names, form):
    """Tell everything that is wrong with pillar, with file, line, path and fix.

    Salt compiles the pillar of every role in every environment. Nothing is decrypted: of encrypted values the
    shape is checked. Exit code: 0 fine, 1 wrong.
    """
    place: Place = context.obj
    try:
        found = findings.merged(in_all(place, place.environments(names)))
    except PlaceError as error:
        raise click.ClickException(str(error)) from None
    formats.write_findings(found, form)
    context.exit(int(findings.is_wrong(found)))


def in_all(place: Place, environments: Iterable[Environment]) -> Iterator[Finding]:
    """What is wrong in each of these environments."""
    nodes, wrong = roles.read(place)
    for environment in environments:
        found = [*wrong, *in_one(place, environment, nodes)]
        yield from (one._replace(environments=(environment.name,)) for one in found)


def in_one(place: Place, environment: Environment, nodes: Iterable[roles.Node]) -> Iterator[Finding]:
    compiler = Compiler(place, environment)
    for one in nodes:
        view = compiler.view(one.minion)
        locator = Locator(place.root, view.sources)
        yield from (locator.located(finding) for finding in view.findings)
        for problem in _problems(view):
            yield locator.located(Finding(problem.message, problem.fix, problem.path))


def _problems(view: View) -> list[shape.Problem]:
    """What the core says of what a node sees: of the clusters that it administers, or of its pools.

    Where a file cannot be read, what others say of it proves nothing; so they are looked at by themselves.
    """
    if not view.whole:
        return pillar.shape_problems(view.tree)
    try:
        (pillar if pillar.administered(view.tree, view.minion) else node).read(view.tree)
    except pillar.PillarError as error:
        return error.problems
    return []
