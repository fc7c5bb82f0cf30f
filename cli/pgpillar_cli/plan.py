"""``pgpillar plan``: what this branch changes, told without a server."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence

import click

from pgpillar import effect, review
from pgpillar_cli import checkout, findings, formats, report, roles
from pgpillar_cli.overview import Overview
from pgpillar_cli.place import Environment, Place, PlaceError
from pgpillar_cli.report import Part, Report

base_option = click.option(
    "--base", default="origin/main", show_default=True, help="The branch that this one left."
)


@click.command(short_help="Tell what this branch changes.")
@base_option
@click.option("--env", "names", multiple=True, help="Only this environment; may be given again.")
@click.option("--exit-code", "tells", is_flag=True, help="Exit with 2 where anything changes.")
@formats.option
@click.pass_context
def plan(context, base, names, tells, form):
    """Tell what this branch changes: on each cluster, and on the app nodes.

    Compares the pillar as it stands here with the one where this branch left its base, and asks no server.
    Exit code: 0 fine, 1 wrong, and with --exit-code 2 where anything changes.
    """
    try:
        told = between(context.obj, base, names)
    except PlaceError as error:
        raise click.ClickException(str(error)) from None
    report.write(told, form)
    context.exit(1 if told.is_wrong else 2 if tells and told.changes else 0)


def between(place: Place, base: str, names: Sequence[str]) -> Report:
    """What becomes of each environment from where this branch left its base to what stands here."""
    after = _overviews(place, place.environments(names))
    wrong = findings.merged(finding for one in after.values() for finding in one.hindrances())
    with checkout.base_of(place, base) as (old, commit):
        there = [one for one in old.all_environments() if not names or one.name in after]
        before = _overviews(old, there) if not wrong else {}
        all_names = sorted({*before, *after}) if not wrong else ()
        parts = [_part(name, before.get(name), after.get(name)) for name in all_names]
    return Report("plan", f"{base} at {commit[:10]}", report.alike(parts), wrong)


def _overviews(place: Place, environments: Iterable[Environment]) -> dict[str, Overview]:
    entries, wrong = roles.read(place)
    return {one.name: Overview(place, one, entries, wrong) for one in environments}


def _part(name: str, before: Overview | None, after: Overview | None) -> Part:
    """One environment. Where its base is wrong, nothing can be compared with it."""
    goes = after is None
    if hindrances := findings.merged(before.hindrances() if before else ()):
        return Part((name,), base_is_wrong=hindrances, goes=goes)
    old, new = (one.review if one else review.Environment((), False) for one in (before, after))
    clusters = {
        cluster: effect.of_cluster(cluster, old.clusters.get(cluster), new.clusters.get(cluster))
        for cluster in sorted({*old.clusters, *new.clusters})
    }
    nodes = {
        _label(minion, before, after): (old.nodes.get(minion), new.nodes.get(minion))
        for minion in sorted({*old.nodes, *new.nodes})
    }
    told = {cluster: one.told() for cluster, one in clusters.items() if any(one)}
    return Part((name,), told, goes=goes, **{kind: _of_nodes(nodes, tell) for kind, tell in OF_NODES.items()})


OF_NODES = {"nodes": effect.of_node, "clients": effect.of_clients, "leaving": effect.of_leaving}


def _of_nodes(nodes: Mapping[str, tuple], tell: Callable) -> dict[str, dict]:
    return {glob: moves for glob, (old, new) in nodes.items() if (moves := tell(old, new))}


def _label(minion: str, *overviews: Overview | None) -> str:
    """The entry of roles.yaml that a minion stands for."""
    globs = (node.glob for one in overviews if one for node in one.nodes if node.minion == minion)
    return next(globs, minion)
