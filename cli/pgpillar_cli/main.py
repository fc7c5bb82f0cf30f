"""The command line. Each command is a module of its own."""

import errno
import gc
from pathlib import Path

import click

import pgpillar
from pgpillar_cli import check, comment, live, new, plan, schema
from pgpillar_cli.place import Place, PlaceError

ANYWHERE = (live.live.name, schema.schema.name)  # the commands that need no pillar


class Group(click.Group):
    """Commands. What a file or a directory refuses is told in a line, whichever command met it."""

    def invoke(self, context):
        try:
            return super().invoke(context)
        except OSError as error:
            if error.errno == errno.EPIPE:
                raise
            what = error.filename2 or error.filename
            raise click.ClickException(f"{what}: {error.strerror}" if what else str(error)) from None


@click.group(cls=Group, context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100})
@click.version_option(pgpillar.__version__, prog_name="pgpillar")
@click.option(
    "-C",
    "directory",
    default=".",
    type=click.Path(exists=True, file_okay=False, path_type=Path),
    help="Run as if there.",
)
@click.pass_context
def cli(context, directory):
    """PostgreSQL access from Salt pillar: what is wrong with it, and what an edit of it changes."""
    if context.invoked_subcommand in ANYWHERE:
        return
    try:
        context.obj = Place.around(directory)
    except PlaceError as error:
        raise click.ClickException(str(error)) from None


COMMANDS = (
    check.check,
    plan.plan,
    comment.comment,
    live.live,
    new.new_database,
    new.new_user,
    new.new_secret,
    schema.schema,
)
for command in COMMANDS:
    cli.add_command(command)


def main():
    """The command, as a program. Nothing but a change exits with 2, not even a wrong option."""
    click.UsageError.exit_code = 1
    gc.disable()  # all that is read of pillar stays to the end, which is soon
    cli(prog_name="pgpillar")
