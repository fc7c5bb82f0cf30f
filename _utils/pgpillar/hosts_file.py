"""The addresses to dial for the names of servers, in the hosts file: pgbouncer knows no other place."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from pgpillar.model import Place, Trouble

BEGIN, END = "# pgpillar: begin", "# pgpillar: end"


def wanted(servers: Iterable[Place]) -> dict[str, str]:
    """The address of each name that has one given."""
    found: dict[str, str] = {}
    for server in servers:
        if server.hostaddr and found.setdefault(server.host, server.hostaddr) != server.hostaddr:
            addresses = f"{found[server.host]} and {server.hostaddr}"
            raise Trouble(f"{server.host} would lead to {addresses}; give each server a name of its own")
    return found


def written(text: str) -> dict[str, str]:
    """What our part of a hosts file says."""
    lines = [line.split() for line in _ours(text).splitlines() if not line.startswith("#")]
    return {line[1]: line[0] for line in lines if len(line) == 2}


def rewritten(text: str, names: Mapping[str, str]) -> str:
    """A hosts file with our part made new, and every other line as it was."""
    rest = text.replace(_ours(text), "") if _ours(text) else text
    if not names:
        return rest
    lines = [BEGIN, *(f"{address} {name}" for name, address in sorted(names.items())), END, ""]
    return "\n".join(lines) + rest  # first, so that it wins over what others wrote


def _ours(text: str) -> str:
    _, begin, after = text.partition(BEGIN + "\n")
    ours, end, _ = after.partition(END + "\n")
    return begin + ours + end if begin and end else ""
