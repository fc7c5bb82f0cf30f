"""What is wrong with clusters and app nodes, and what is to be done, by what it is about. Pure."""

from __future__ import annotations

from collections.abc import Container, Iterable, Iterator, Mapping

from pgpillar.replication import slot_of
from pgpillar.text import counted

Told = Mapping[str, object]

IN = "ok"  # what is told of a login that works
NONSENSE = "what it says is of another form"  # as that of older modules
SOON = 14  # days before its end at which a certificate should long have been renewed
PATIENCE = 5  # seconds that a client may wait for a pool
DISTANCE = 60  # seconds that a replica may be behind
RENEWAL = "pg_server.plan_certificate"


def trouble(told: object) -> str | None:
    """Why this could not be asked, if so."""
    found = told.get("trouble") if isinstance(told, Mapping) else None
    return found if isinstance(found, str) else None


def grouped(told: Iterable[tuple[str, str]]) -> dict[str, list[str]]:
    found: dict[str, list[str]] = {}
    for name, what in dict.fromkeys(told):
        found.setdefault(name, []).append(what)
    return found


def unheard(minions: Mapping[str, Iterable[str]], answers: Told) -> dict[str, dict[str, object]]:
    """The minions that did not answer, those that could not, and those that have nothing to tell."""
    mute = {one: said for one, said in sorted(answers.items()) if isinstance(said, str)}
    kinds = {
        "silent": minions.keys() - answers.keys(),
        "idle": {one for one, said in answers.items() if not said},
    }
    named = {kind: {one: [*minions[one]] for one in sorted(which)} for kind, which in kinds.items()}
    return {**named, "mute": mute}


def not_heard(found: Told) -> Iterator[tuple[str, str]]:
    for minion in found["silent"]:
        yield minion, "did not answer; is the host up, and salt-minion on it?"
    for minion, said in found["mute"].items():
        remedy = f"; salt {minion} saltutil.sync_all gives it the newest modules" if _is_old(said) else ""
        yield minion, f"cannot tell: {' '.join(said.removeprefix('ERROR: ').split())}{remedy}"


def _is_old(said: str) -> bool:
    return said == NONSENSE or "is not available" in said


def wrong(found: Told) -> Iterator[tuple[str, str]]:
    yield from not_heard(found)
    for name, cluster in found["clusters"].items():
        yield from _wrong_with_cluster(name, cluster)
    for minion, node in found["nodes"].items():
        yield from ((minion, what) for what in (*_troubles(node), *_crowded(node["pools"])))


def _wrong_with_cluster(name: str, cluster: Told) -> Iterator[tuple[str, str]]:
    if len(cluster["primaries"]) > 1:
        yield name, f"has more than one primary: {' and '.join(cluster['primaries'])}; stop all but one"
    if cluster["servers"] and not cluster["primaries"]:
        yield name, "no server of it that answers is the primary"
    known = {slot_of(minion) for minion in _faulty(cluster)}
    for minion, server in cluster["servers"].items():
        for what in (*_failing(server), *_ending(server), *_useless_slots(server, known)):
            yield minion, what
    for minion, told in _admins(cluster).items():
        yield from ((minion, what) for what in _unreached(told))
        if not any("certificate" in server for server in cluster["servers"].values()):
            its = f"the certificate of cluster {name}"
            yield from ((minion, what) for what in _ending(told, its, "renew it where that is hosted"))


def _faulty(cluster: Told) -> set[str]:
    return {minion for minion, server in cluster["servers"].items() if _fault(server)}


def _admins(cluster: Told) -> dict[str, Told]:
    """But for those whose own server is at fault, since that is why they see what they see."""
    faulty = _faulty(cluster)
    return {minion: told for minion, told in cluster["admins"].items() if minion not in faulty}


def _fault(server: Told) -> str | None:
    """What is the matter with a server as a whole, and goes before what follows from it."""
    fault = server.get("fault")
    return fault if isinstance(fault, str) else trouble(server["standing"])


def _troubles(told: Told) -> Iterator[str]:
    """Whatever could not be asked of a thing."""
    yield from filter(None, map(trouble, (*told.values(), *told.get("drift", {}).values())))


def _failing(server: Told) -> Iterator[str]:
    yield from [_fault(server)] if _fault(server) else (*_troubles(server), *_lagging(server))


def _unreached(admin: Told) -> Iterator[str]:
    """Why a cluster cannot be read goes before why its certificate cannot be seen."""
    yield from [*_troubles({"drift": admin["drift"]})] or _troubles(admin)


def _ending(told: Told, its: str = "its certificate", remedy: str = "a highstate renews it") -> Iterator[str]:
    left = told.get("certificate", {}).get("days_left", SOON)
    if left < SOON:
        when = f"ends in {counted(left, 'day') or 'hours'}" if left >= 0 else "has ended"
        yield f"{its} {when}; {remedy}"


def _lagging(server: Told) -> Iterator[str]:
    behind = server.get("behind")
    if behind and behind["state"] != "streaming":
        yield f"does not follow its primary: {behind['state']}"
    elif behind and (behind["seconds"] or 0) > DISTANCE:
        yield f"is {behind['seconds']:.0f} s behind its primary"


def _useless_slots(server: Told, known: Container[str]) -> Iterator[str]:
    """Those that nobody uses. Of the known it is told why, in another place."""
    for slot in server["standing"].get("slots", ()):
        if slot["name"] in known:
            continue
        if slot["wal_status"] in ("unreserved", "lost"):
            yield f"slot {slot['name']}: the log that its replica needs is gone; build that replica anew"
        elif not slot["active"]:
            yield f"slot {slot['name']}: nobody uses it, and it keeps {size(slot['kept_bytes'])} of the log"


def _crowded(pools: Told) -> Iterator[str]:
    for name, pool in () if trouble(pools) else pools.items():
        if pool["maxwait"] >= PATIENCE:
            yield f"pool {name}: {counted(pool['cl_waiting'], 'client')} waiting, one for {pool['maxwait']} s"


def to_do(found: Told) -> Iterator[tuple[str, str]]:
    for cluster in found["clusters"].values():
        for minion in sorted(cluster["servers"].keys() - _faulty(cluster)):
            server = cluster["servers"][minion]
            yield from ((minion, what) for what in (*_waiting(server), *_drifted(minion, server)))
        for minion, told in _admins(cluster).items():
            yield from ((minion, what) for what in _drifted(minion, told))
    for minion, node in found["nodes"].items():
        yield from ((minion, what) for what in _drifted(minion, node))


def _waiting(server: Told) -> Iterator[str]:
    if waits := () if trouble(server.get("waits")) else server.get("waits"):
        yield f"{', '.join(waits)}: in force after a restart; postgresql:server:restart allows it"


def _drifted(minion: str, told: Told) -> Iterator[str]:
    told_already = {RENEWAL} if [*_ending(told)] else ()
    for plan, changes in told.get("drift", {}).items():
        if not trouble(changes) and changes and plan not in told_already:
            yield f"is not as pillar says; salt {minion} {plan} tells what a highstate would change"


def size(count: int | None) -> str:
    """A number of bytes, for people."""
    if count is None:
        return "?"
    power = max(min((count.bit_length() - 1) // 10, len(UNITS) - 1), 0)
    return f"{count / 1024**power:.3g} {UNITS[power]}"


UNITS = "B", "kB", "MB", "GB", "TB"
