"""What ``salt-run pgpillar`` prints, for people. Pure: data in, lines out."""

from __future__ import annotations

from collections.abc import Mapping


def drawn(found: Mapping, width: int, coloured: bool) -> str:
    """What a function of the runner returned, as wide as that at most."""
    return "\n".join(found["wrong"]) or "all is well"
