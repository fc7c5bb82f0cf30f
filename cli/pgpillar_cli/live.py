"""``pgpillar live``: how the servers differ from pillar, asked from the node that administers them."""

from __future__ import annotations

from pathlib import Path

import click
import salt.client
import salt.config
import salt.syspaths
from salt.exceptions import SaltException

import pgpillar
from pgpillar_cli import compiled, formats, report
from pgpillar_cli.report import Part, Report

REPO = Path(pgpillar.__file__).parents[2]  # where Salt finds the modules of a clone
IMPATIENT = {"retry_dns": 0, "master_tries": 1}  # somebody waits
NOTHING = {"changes": {}, "destructive": {}, "losses": {}, "sql": []}


@click.command(short_help="Tell how the servers differ from pillar.")
@click.option("--cluster", "names", multiple=True, help="Only this cluster; may be given again.")
@click.option(
    "-c",
    "--config-dir",
    "directory",
    default=salt.syspaths.CONFIG_DIR,
    show_default=True,
    type=click.Path(exists=True, file_okay=False, path_type=Path),
    help="Where the minion's configuration stands.",
)
@click.option("--exit-code", "tells", is_flag=True, help="Exit with 2 where a server differs.")
@formats.option
@click.pass_context
def live(context, names, directory, tells, form):
    """Tell how the servers differ from pillar, and what they hold that pillar does not name.

    Run it as root on the minion that administers them. It reads pillar as that minion does, asks each
    server in a read-only transaction, and changes nothing. Exit code: 0 fine, 1 wrong or out of reach, and
    with --exit-code 2 where a server differs.
    """
    with compiled.quietly():
        try:
            told = through(Minion(directory), names)
        except SaltException as error:
            raise click.ClickException(str(error)) from None
    report.write(told, form)
    context.exit(1 if told.is_wrong else 2 if tells and told.changes else 0)


class Minion:
    """The minion of this machine, and what its modules say."""

    def __init__(self, directory: Path):
        file = directory / "minion"
        if not file.exists():
            raise SaltException(f"there is no minion on this machine: {file} is missing")
        options = salt.config.minion_config(str(file))
        self.name = options["id"]
        ours = {"module_dirs": [*options["module_dirs"], str(REPO)], **IMPATIENT}
        self.caller = salt.client.Caller(mopts={**options, **ours})

    def ask(self, function: str, *arguments: str):
        return self.caller.cmd(f"pg_access.{function}", *arguments)


def through(minion: Minion, names: tuple[str, ...]) -> Report:
    """What the clusters of a minion say: those of these names, or all that it administers."""
    clusters = {name: _told(minion, name) for name in names or minion.ask("clusters")}
    return Report("live", f"the servers, as {minion.name} sees them", [Part((minion.name,), clusters)], ())


def _told(minion: Minion, cluster: str) -> dict:
    try:
        return {**minion.ask("plan", cluster), "unmanaged": minion.ask("unmanaged", cluster)}
    except SaltException as error:
        return {**NOTHING, "failures": {cluster: str(error)}}
