"""What a process costs."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path
from time import perf_counter
from typing import NamedTuple


class Cost(NamedTuple):
    """Seconds by the clock, and the most memory that it or a process of its own held, in MiB."""

    seconds: float
    peak: float


class Broken(Exception):
    """A run that did not do what was to be measured."""


def environment(**more: str) -> dict[str, str]:
    """The environment without what could change what is measured."""
    return {k: v for k, v in os.environ.items() if not k.startswith(("PG", "PYTHON"))} | more


def run(command: list, output: Path, **more: str) -> Cost:
    """Run a command to its end, its output in a file, and what it complains of in another beside it."""
    complaints = output.with_suffix(".err")
    with output.open("wb") as file, complaints.open("wb") as errors:
        begun = perf_counter()
        process = subprocess.Popen(
            command, stdin=subprocess.DEVNULL, stdout=file, stderr=errors, env=environment(**more)
        )
        _, status, usage = os.wait4(process.pid, 0)
        seconds = perf_counter() - begun
    process.returncode = os.waitstatus_to_exitcode(status)
    if process.returncode:
        said = output.read_text()[-3000:] + complaints.read_text()
        raise Broken(f"{command[0]} ended with {process.returncode}:\n{said}")
    return Cost(seconds, usage.ru_maxrss / 1024)
