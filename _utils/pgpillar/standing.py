"""What a server is to its cluster, up or down, and what keeps it from its work."""

from __future__ import annotations

import re

from pgpillar import replication
from pgpillar.model import Trouble
from pgpillar.replication import Following, Standing
from pgpillar.upkeep import Home, Live, ask
from pgpillar.vitals import SERVER

SLOT = "select active, wal_status from pg_replication_slots where slot_name = %s"


def standing(home: Home, live: Live) -> Standing:
    """What a server is; where it is down, by what its data say."""
    if live.is_up:
        return Standing.told(live.ask(SERVER)[0])
    noted = home.control()
    timeline, system = noted["Latest checkpoint's TimeLineID"], noted["Database system identifier"]
    return Standing(home.is_replica, int(timeline), system)


def fault(home: Home, following: Following | None, successor: str | None) -> str | None:
    """What keeps it from its work. ``following``: how it is to follow; ``successor``: who took its place."""
    live = Live(home)
    if not home.has_data:
        return "there is no server here yet; highstate makes it"
    if home.torn.exists():
        return replication.TORN
    if successor:
        return replication.left_behind(successor)
    if not live.is_up:
        return f"it is down; highstate starts it, or see {home.log}"
    return _why_not(home, live, following) if home.is_replica and not live.is_streaming() else None


def _why_not(home: Home, live: Live, following: Following | None) -> str:
    """Why a replica does not follow: by what its primary says, and by its own log."""
    if following is None:
        return "no server of its cluster says that it is the primary, so it follows none"
    try:
        (primary,) = ask(following.endpoint, SERVER)
        slots = ask(following.endpoint, SLOT, following.slot)
    except Trouble as trouble:
        return replication.unreachable(str(trouble))
    own = standing(home, live)
    return replication.not_following(own, Standing.told(primary), slots, last_words(home))


_WORDS = re.compile(r"(?:FATAL|ERROR|LOG):  +(.*(?:WAL stream|primary|timeline|replication slot).*)")


def last_words(home: Home, size: int = 65536) -> str:
    """What its log said last of following."""
    if not home.log.exists():
        return ""
    with home.log.open("rb") as file:
        file.seek(max(home.log.stat().st_size - size, 0))
        said = _WORDS.findall(file.read().decode(errors="replace"))
    return said[-1] if said else ""
