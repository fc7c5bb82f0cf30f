"""What changes, drawn: as a tree on the terminal, as Markdown for a pull request, as data for programs."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace

import click
from rich.console import Console
from rich.text import Text

from pgpillar.text import counted, leaves, lost
from pgpillar_cli import drawing, formats, safe
from pgpillar_cli.findings import Finding
from pgpillar_cli.formats import Block, fitted
from pgpillar_cli.safe import visible

NOTHING = {"plan": "nothing changes", "live": "nothing differs"}
BESIDE = {  # what is told of a cluster beside its changes
    "powers": "gives power beyond databases",
    "way": "how it is reached and administered",
    "refusals": "cannot be",
    "failures": "could not be read",
    "inherited": "moves as well, as far as the server has it",
    "forgotten": "no longer in pillar, and left as it is",
    "unmanaged": "not in pillar, and left alone",
}
NEWS = {  # those that are news by themselves, as the headline has them
    "powers": "gives power beyond databases on cluster",
    "refusals": "cannot be on cluster",
    "failures": "could not read cluster",
    "way": "another way to cluster",
    "forgotten": "no longer in pillar on cluster",
}
OF_NODES = {  # what is told of app nodes, and of each thing there
    "nodes": ("pgbouncer reloads on", "pool {}"),
    "clients": ("client files change on", "user {}"),
    "leaving": ("no longer in pillar, and left as they are:", "{}"),
}


@dataclass(frozen=True)
class Part:
    """What becomes of environments that are alike; or why that cannot be told."""

    environments: tuple[str, ...]
    clusters: Mapping[str, Mapping] = field(default_factory=dict)
    nodes: Mapping[str, Mapping[str, Sequence[str]]] = field(default_factory=dict)
    clients: Mapping[str, Mapping[str, Sequence[str]]] = field(default_factory=dict)
    leaving: Mapping[str, Mapping[str, Sequence[str]]] = field(default_factory=dict)
    base_is_wrong: Sequence[Finding] = ()
    goes: bool = False  # it is no longer there

    @property
    def where(self) -> str:
        return " and ".join(self.environments)

    @property
    def of_nodes(self) -> dict[str, Mapping[str, Mapping[str, Sequence[str]]]]:
        """What is told of nodes, by title."""
        return {
            f"{title} these nodes of {self.where}": _labelled(nodes, label)
            for kind, (title, label) in OF_NODES.items()
            if (nodes := getattr(self, kind))
        }

    def notes(self, against: str) -> Iterator[str]:
        """What is to be said of the environments as a whole."""
        if self.goes:
            yield f"{self.where} goes: nothing is dropped there, and nobody converges it any more"
        if self.base_is_wrong:
            wrong = f"the pillar of {against} is itself wrong, so nothing can be compared with it"
            yield f"{self.where}: {wrong}"


@dataclass(frozen=True)
class Report:
    """What changes, compared with something else, or what is wrong with pillar."""

    command: str
    against: str
    parts: Sequence[Part]
    wrong: Sequence[Finding]

    @property
    def is_wrong(self) -> bool:
        return bool(self.wrong) or any(one.get("refusals") or one.get("failures") for one in self.clusters)

    @property
    def changes(self) -> bool:
        return any(news(self))

    @property
    def clusters(self) -> list[Mapping]:
        return [cluster for part in self.parts for cluster in part.clusters.values()]


def _labelled(nodes: Mapping[str, Mapping[str, Sequence[str]]], label: str) -> dict[str, dict[str, list]]:
    return {
        node: {label.format(name) if name else "settings": [*lines] for name, lines in moves.items()}
        for node, moves in nodes.items()
    }


def alike(parts: Iterable[Part]) -> list[Part]:
    """Environments of which the same is to be told are told of once."""
    found: list[Part] = []
    for part in parts:
        same = next(
            (one for one in found if replace(one, environments=()) == replace(part, environments=())), None
        )
        if same:
            found[found.index(same)] = replace(same, environments=same.environments + part.environments)
        else:
            found.append(part)
    return found


def write(told: Report, form: str) -> None:
    if told.wrong:
        formats.write_findings(told.wrong, form)
    else:
        _WRITERS[form](told)


# What is counted and listed, whatever it is drawn as


def headline(told: Report) -> str:
    """How much changes, in one line."""
    return f"pgpillar {told.command}: {'; '.join(news(told)) or NOTHING[told.command]}"


def news(told: Report) -> Iterator[str]:
    """Whatever makes it untrue that nothing changes."""
    yield from (f"{part.where} goes" for part in told.parts if part.goes)
    yield from (f"{part.where} cannot be compared" for part in told.parts if part.base_is_wrong)
    yield from filter(None, [summary(told.clusters)])
    clusters = [pair for part in told.parts for pair in part.clusters.items()]
    for key, words in NEWS.items():
        yield from _on(words, (name for name, cluster in clusters if cluster.get(key)))
    for kind, (words, _) in OF_NODES.items():
        yield from _on(words, (name for part in told.parts for name in getattr(part, kind)))


def _on(words: str, names: Iterable[str]) -> Iterator[str]:
    if once := sorted({*names}):
        yield f"{words} {', '.join(once)}"


def summary(clusters: Iterable[Mapping]) -> str:
    """How many lines of changes there are, and how many of them destroy or take away what."""
    clusters = [*clusters]
    changes = counted(sum(leaves(one["changes"]) for one in clusters), "change")
    losses = lost(sum((Counter(one["losses"]) for one in clusters), Counter()))
    return f"{changes}, of which {losses}" if losses else changes


def told_beside(cluster: Mapping) -> dict[str, list[str]]:
    """What is to be told of a cluster beside its changes: lines, by title."""
    return {title: [*_listed(cluster[key])] for key, title in BESIDE.items() if cluster.get(key)}


def _listed(found: object) -> Iterator[str]:
    """Lists and mappings of lists, as lines."""
    if not isinstance(found, Mapping):
        yield from found
        return
    for key, value in found.items():
        if isinstance(value, Mapping):
            yield from (f"{key} of {line}" for line in _listed(value))
        else:
            yield f"{key}: {', '.join(value) if isinstance(value, list) else value}"


# On the terminal


def _text(told: Report) -> None:
    out = formats.console()
    out.print(Text(visible(headline(told)), "bold"))
    for part in told.parts:
        for note in part.notes(told.against):
            out.print(Text(visible(note), "yellow"))
        formats.text(out, part.base_is_wrong)
        for name, cluster in part.clusters.items():
            draw(out, f"cluster {name} of {part.where}", cluster)
        for title, nodes in part.of_nodes.items():
            out.print(drawing.tree(title, nodes))


def draw(out: Console, title: str, cluster: Mapping) -> None:
    """The changes of a cluster, what is told beside them, and the statements."""
    found = {**_marked(cluster), **told_beside(cluster)}
    out.print(drawing.tree(title if found else f"{title}: as pillar says", found))
    for statement in cluster["sql"]:
        out.print(Text(visible(f"    {statement}"), "dim"))


def _marked(cluster: Mapping) -> dict[str, dict[str, list[str]]]:
    """The changes, with a sign before those that destroy or take away."""
    return {
        kind: {
            name: [_sign(line, cluster, kind, name) + line for line in lines] for name, lines in names.items()
        }
        for kind, names in cluster["changes"].items()
    }


def _sign(line: str, cluster: Mapping, kind: str, name: str) -> str:
    return "⚠ " if line in cluster["destructive"].get(kind, {}).get(name, ()) else ""


# As Markdown


def _markdown(told: Report) -> None:
    click.echo(fitted([*blocks(told)]))


def blocks(told: Report) -> Iterator[Block]:
    """What changes, in Markdown."""
    yield Block(f"### {safe.markdown(headline(told))}")
    yield Block(f"Compared with {safe.markdown(told.against)}.")
    for part in told.parts:
        yield from (Block(f"**{safe.markdown(note)}**") for note in part.notes(told.against))
        if part.base_is_wrong:
            yield Block("", [*map(formats.item, part.base_is_wrong)])
        for name, cluster in part.clusters.items():
            yield from cluster_blocks(f"Cluster {name} of {part.where}", cluster)
        for title, nodes in part.of_nodes.items():
            yield Block(f"#### {safe.markdown(title)}\n", [*_node_items(nodes)])


def cluster_blocks(title: str, cluster: Mapping) -> Iterator[Block]:
    yield Block(f"#### {safe.markdown(title)}")
    if cluster["changes"]:
        yield _fenced("diff", [*_diff(cluster)])
    for what, lines in told_beside(cluster).items():
        yield Block(f"**{what}**\n", [f"- {safe.markdown(line)}" for line in lines])
    if cluster["sql"]:
        fence = _fenced("sql", cluster["sql"], matters=False)
        fence.head = f"<details><summary>SQL, without its secrets</summary>\n\n{fence.head}"
        fence.tail += "\n\n</details>"
        yield fence


def _fenced(language: str, lines: Sequence[str], matters: bool = True) -> Block:
    fence = safe.longer(lines, 3)
    return Block(f"{fence}{language}", [*map(visible, lines)], fence, matters)


def _diff(cluster: Mapping) -> Iterator[str]:
    """GitHub shows what begins with '-' in red, and with '+' in green."""
    for kind, names in cluster["changes"].items():
        yield f"  {kind}"
        for name, lines in names.items():
            yield f"    {name}"
            for line in lines:
                yield f"{'-' if _sign(line, cluster, kind, name) else '+'}     {line}"


def _node_items(nodes: Mapping[str, Mapping[str, Sequence[str]]]) -> Iterator[str]:
    for node, moves in nodes.items():
        for name, lines in moves.items():
            told = ", ".join(lines)
            yield f"- {safe.markdown(f'{node}, {name}: {told}')}"


# For programs


def _json(told: Report) -> None:
    parts = [
        {**vars(part), "base_is_wrong": [finding._asdict() for finding in part.base_is_wrong]}
        for part in told.parts
    ]
    click.echo(json.dumps({**vars(told), "parts": parts}, indent=2, ensure_ascii=False))


def _github(told: Report) -> None:
    """One note for the whole, and one for each change that destroys, takes away or gives power."""
    click.echo(f"::notice title=pgpillar {told.command}::{safe.command(headline(told))}")
    for part in told.parts:
        for note in part.notes(told.against):
            click.echo(f"::warning title=pgpillar {told.command}::{safe.command(note)}")
        for name, cluster in part.clusters.items():
            title = safe.command(f"cluster {name} of {part.where}", ",:")
            for line in _destructive(cluster):
                click.echo(f"::warning title={title}::{safe.command(line)}")


def _destructive(cluster: Mapping) -> Iterator[str]:
    yield from (f"cannot be: {refusal}" for refusal in cluster["refusals"])
    yield from (f"{BESIDE['powers']}: {line}" for line in cluster.get("powers", ()))
    for names in cluster["destructive"].values():
        yield from (f"{name}: {line}" for name, lines in names.items() for line in lines)


_WRITERS = {"text": _text, "markdown": _markdown, "json": _json, "github": _github}
