"""``pgpillar check``: everything that is wrong with pillar, at once."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

import click

from pgpillar_cli import findings, formats, roles
from pgpillar_cli.findings import Finding
from pgpillar_cli.overview import Overview
from pgpillar_cli.place import Environment, Place, PlaceError


@click.command(short_help="Tell everything that is wrong with pillar.")
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
    entries, wrong = roles.read(place)
    yield from roles.without_files(place, entries)
    for environment in environments:
        yield from Overview(place, environment, entries, wrong).findings()
