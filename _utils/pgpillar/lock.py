"""One run at a time on a node: a second waits for the first, and then finds its work done."""

from __future__ import annotations

import fcntl
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path


@contextmanager
def held(path: str | Path) -> Iterator[None]:
    """A lock that goes with the process that holds it, however that ends."""
    Path(path).parent.mkdir(parents=True, exist_ok=True)
    number = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    try:
        fcntl.flock(number, fcntl.LOCK_EX)
        yield
    finally:
        os.close(number)


@contextmanager
def kept(path: str | Path) -> Iterator[int]:
    """The same on what is there already, which nobody else holds; whoever inherits it holds it as well."""
    number = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    try:
        fcntl.flock(number, fcntl.LOCK_EX | fcntl.LOCK_NB)
        yield number
    finally:
        os.close(number)


def is_free(path: str | Path) -> bool:
    """Whether nobody holds a lock on what is there."""
    try:
        with kept(path):
            return True
    except BlockingIOError:
        return False
