"""``pgpillar comment``: what a pull request is to be told."""

from __future__ import annotations

import click

from pgpillar_cli import check, findings, formats, plan, report
from pgpillar_cli.formats import Block
from pgpillar_cli.place import Place, PlaceError

MARK = "<!-- pgpillar -->"  # nobody sees it; by it, the next comment is known to replace this one


@click.command(short_help="Write what a pull request is to be told.")
@plan.base_option
@click.pass_context
def comment(context, base):
    """Write what a pull request is to be told, as Markdown: what is wrong with it, and what it changes.

    It is what check and plan say, together no longer than a comment may be. Exit code: 0 fine, 1 wrong.
    """
    try:
        blocks, is_wrong = _told(context.obj, base)
    except PlaceError as error:
        raise click.ClickException(str(error)) from None
    click.echo(formats.fitted([Block(MARK), *blocks]))
    context.exit(int(is_wrong))


def _told(place: Place, base: str) -> tuple[list[Block], bool]:
    found = findings.merged(check.in_all(place, place.environments()))
    if findings.is_wrong(found):
        return formats.blocks(found), True
    told = plan.between(place, base, ())
    return [*formats.blocks(found), *report.blocks(told)], told.is_wrong
