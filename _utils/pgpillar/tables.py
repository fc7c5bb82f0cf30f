"""Two tables beside one another: what people are told of how one became the other."""

from __future__ import annotations

from collections.abc import Callable, Mapping


def _arrow(before: object, now: object) -> str:
    return f"{before} → {now}"


def compared(before: Mapping, now: Mapping, tell: Callable[..., str] = _arrow) -> dict[str, str]:
    """What is new, gone and changed, by name."""
    told = dict.fromkeys(before.keys() - now.keys(), "gone")
    told |= dict.fromkeys(now.keys() - before.keys(), "new")
    told |= {
        name: tell(before[name], now[name])
        for name in before.keys() & now.keys()
        if before[name] != now[name]
    }
    return dict(sorted(told.items()))
