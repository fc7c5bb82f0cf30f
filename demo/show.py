"""What the demo puts on the terminal: steps with their seconds, changes as a tree, trials line by line."""

import sys
import time
from contextlib import contextmanager

from rich.console import Console

from pgpillar_cli import drawing

WIDTH = 110  # where nobody looks at a terminal


def console(record=False):
    """A console as wide as the terminal; in a pipe, a file or a picture, of a width that never changes."""
    width = None if sys.stdout.isatty() and not record else WIDTH
    return Console(highlight=False, width=width, record=record)


@contextmanager
def step(out, title):
    """Show that something is being done, and then how long it took."""
    start = time.monotonic()
    out.print(f"{title} ... ", end="", markup=False)
    try:
        yield
    except BaseException:
        out.print("failed", style="red")
        raise
    out.print(f"{time.monotonic() - start:.1f} s", style="dim")


def states(out, names, returned):
    """Print what states did, under the names of their minions; what they could not do is for the end."""
    if names and any(state["result"] for state in returned):
        out.print(" and ".join(names), style="bold")
    for state in returned:
        if state["changes"]:
            out.print(drawing.tree(state["comment"].partition("\n")[0], state["changes"]))
        elif state["result"]:
            out.print(f"  {state['comment']}; nothing changed", markup=False)


def verdicts(out, rows):
    """Print who tried what, what came of it, and whether that is what pillar says."""
    widths = [max((len(row[column]) for row in rows), default=0) for column in (0, 1)]
    for row in rows:
        line = drawing.Line("  ").append(
            "✓ " if row.as_declared else "✗ ", "green" if row.as_declared else "bold red"
        )
        line.append(row.user.ljust(widths[0]) + "  ", "cyan").append(row.attempt.ljust(widths[1]) + "  ")
        out.print(line.append(row.outcome, "dim" if row.outcome.startswith("refused") else ""))
