"""What ``salt-run pgpillar`` prints, for people. Pure: data in, lines out."""

from __future__ import annotations

import textwrap
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence

from pgpillar.faults import IN, size, trouble
from pgpillar.text import counted

NARROWEST = 8  # characters of a column that is squeezed
GAP = "  "
WRONG, TO_DO, WELL = "✗", "•", " "
COLOURS = {WRONG: "\033[31m", TO_DO: "\033[33m"}
BOLD, PLAIN = "\033[1m", "\033[0m"
HEADER = (WELL, "HOST", "IS", "STATE", "BEHIND", "CERT", "HIGHSTATE")

Told = Mapping[str, object]
Row = Sequence[str]


def visible(words: object) -> str:
    """On one line, without anything that moves a cursor, turns the writing round or cannot be seen."""
    return "".join(one if one.isprintable() else _escape(one) for one in str(words))


def _escape(character: str) -> str:
    return character.encode("unicode_escape").decode()


def drawn(found: Told, width: int, coloured: bool) -> str:
    """What was found in a table, and below it what is wrong and what is to be done."""
    found_rows = _logins(found) if "logins" in found else _rows(found)
    rows = [tuple(map(visible, row)) for row in found_rows]
    lines = [painted(row[0], line, coloured) for row, drawn in table(rows, width) for line in drawn]
    lines[0] = f"{BOLD}{lines[0]}{PLAIN}" if coloured else lines[0]
    for mark, told in ((WRONG, found["wrong"]), (TO_DO, found["to_do"])):
        lines += ["", *_sentences(mark, told, width, coloured)] if told else []
    return "\n".join(lines if found["wrong"] or found["to_do"] else [*lines, "", "All is well."])


def painted(mark: str, line: str, coloured: bool) -> str:
    return f"{COLOURS[mark]}{line}{PLAIN}" if coloured and mark in COLOURS else line


def _sentences(mark: str, told: Mapping[str, Iterable[str]], width: int, coloured: bool) -> Iterator[str]:
    """Each once, with all whom it is about."""
    for what, names in _by_sentence(told).items():
        sentence = visible(f"{mark} {', '.join(names)}: {what}")
        lines = textwrap.wrap(sentence, width, subsequent_indent="  ", **UNBROKEN)
        yield from (painted(mark, line, coloured) for line in lines)


def _by_sentence(told: Mapping[str, Iterable[str]]) -> dict[str, list[str]]:
    found: dict[str, list[str]] = {}
    for name, sentences in told.items():
        for what in sentences:
            found.setdefault(what, []).append(name)
    return found


UNBROKEN = {"break_on_hyphens": False}


# Rows


def _rows(found: Told) -> Iterator[Row]:
    """Every server and every node."""
    yield HEADER
    for minion, *cells in (*_servers(found), *_nodes(found), *_others(found)):
        mark = WRONG if minion in found["wrong"] else TO_DO if minion in found["to_do"] else WELL
        yield mark, minion, *cells


def _servers(found: Told) -> Iterator[Row]:
    for name, cluster in found["clusters"].items():
        servers, admins = cluster["servers"], cluster["admins"]
        for minion in sorted(servers, key=lambda one: one not in cluster["primaries"]):
            server = servers[minion]
            drifts = [server.get("drift", {}), admins.get(minion, {}).get("drift", {})]
            yield (
                minion,
                f"{_role(server)} of {name}",
                _state(server),
                _behind(server),
                _days({**admins.get(minion, {}), **server}),
                _drift(*drifts),
            )
        for row in cluster["strangers"]:
            told = {"bytes": row["lag_bytes"], "seconds": row["lag_seconds"]}
            who = " ".join(filter(None, (row["name"], row["address"])))
            yield who, f"replica of {name}", row["state"], _lag(told), "", ""
        for minion in admins.keys() - servers.keys():
            yield (
                minion,
                f"admin of {name}",
                _reached(admins[minion]),
                "",
                _days(admins[minion]),
                _drift(admins[minion]["drift"]),
            )


def _nodes(found: Told) -> Iterator[Row]:
    for minion, node in found["nodes"].items():
        pools = node["pools"]
        count = 0 if trouble(pools) else len(pools)
        yield minion, counted(count, "pool") or "app node", _leading(pools), "", "", _drift(node["drift"])


def _others(found: Told) -> Iterator[Row]:
    for kind, state in (("silent", "did not answer"), ("idle", "no server, no pools")):
        for minion, roles in found[kind].items():
            yield minion, ", ".join(roles), state, "", "", ""
    yield from ((minion, "", "cannot tell", "", "", "") for minion in found["mute"])


def _logins(found: Told) -> Iterator[Row]:
    """Every user at every server."""
    yield WELL, "USER", "CLUSTER", "SERVER", "FROM", "LOGIN"
    for row in found["logins"]:
        where, who = f"{row['role']} {row['server']}", ", ".join(row["from"])
        is_in = row["login"] == IN
        yield WELL if is_in else WRONG, row["user"], row["cluster"], where, who, IN if is_in else "refused"


# Cells


def _role(server: Told) -> object:
    return server["standing"].get("role", "server")


def _state(server: Told) -> str:
    if trouble(server["standing"]):
        return "cannot be asked"
    state = server["behind"]["state"] if "behind" in server else "up"
    return f"{state}, timeline {server['standing']['timeline']}"


def _behind(server: Told) -> str:
    return _lag(server["behind"]) if "behind" in server else ""


def _lag(behind: Told) -> str:
    seconds = "? s" if behind["seconds"] is None else f"{behind['seconds']:.0f} s"
    return f"{size(behind['bytes'])}, {seconds}"


def _days(server: Told) -> str:
    certificate = server.get("certificate", {})
    left = certificate.get("days_left", "?" if trouble(certificate) else "")
    return left if isinstance(left, str) else counted(left, "day") or "0 days"


def _reached(admin: Told) -> str:
    return "cannot reach it" if any(map(trouble, admin["drift"].values())) else "reaches it"


def _leading(pools: Told) -> str:
    """How many pools lead to which server, and who waits."""
    if trouble(pools):
        return "cannot be asked"
    leading = Counter(" and ".join(pool["leads_to"]) or "nowhere" for pool in pools.values())
    waiting = sum(pool["cl_waiting"] for pool in pools.values())
    told = [f"{count} → {server}" for server, count in sorted(leading.items())]
    return ", ".join(told + ([f"{waiting} waiting"] if waiting else []))


def _drift(*drifts: Mapping[str, object]) -> str:
    """What a highstate would do."""
    plans = [plan for drift in drifts for plan in drift.values()]
    known = counted(sum(plan for plan in plans if not trouble(plan)), "change")
    if any(map(trouble, plans)):
        return f"at least {known}" if known else "cannot tell"
    return known or "nothing" if plans else ""


# Tables


def table(rows: Sequence[Row], width: int) -> Iterator[tuple[Row, list[str]]]:
    """Each row with its lines, in columns that fit into a width, as far as words can be broken at all."""
    widths = _fitting([*zip(*rows, strict=True)], width)
    for row in rows:
        yield row, [*_lines(row, widths)]


def _fitting(columns: Sequence[Row], width: int) -> list[int]:
    """How wide each column is. The widest give way first, and words are broken last."""
    widths = [max(map(len, column)) for column in columns]
    words = [max(map(len, " ".join(column).split()), default=1) for column in columns]
    for least in (words, [min(word, NARROWEST) for word in words]):
        while sum(widths) + len(GAP) * (len(widths) - 1) > width:
            room = [is_now - at_least for is_now, at_least in zip(widths, least, strict=True)]
            if not any(room):
                break
            widths[room.index(max(room))] -= 1
    return widths


def _lines(row: Row, widths: Sequence[int]) -> Iterator[str]:
    cells = [textwrap.wrap(cell, width, **UNBROKEN) for cell, width in zip(row, widths, strict=True)]
    for number in range(max(map(len, cells))):
        parts = [cell[number] if number < len(cell) else "" for cell in cells]
        yield GAP.join(part.ljust(width) for part, width in zip(parts, widths, strict=True)).rstrip()
