"""Making a replica the primary, and bringing back what was left behind."""

from __future__ import annotations

import re
from datetime import UTC, datetime

from pgpillar import files, replication
from pgpillar.replica import Replica
from pgpillar.replication import FOR_REWIND, Standing, position
from pgpillar.server import HEAD, Server, quoted
from pgpillar.standing import SLOT, standing
from pgpillar.upkeep import (
    GUARD,
    PATIENCE,
    PRIVATE,
    Home,
    Live,
    ServerError,
    as_server,
    run_as_server,
    wait_until,
)

IDLE_SLOTS = """
select pg_drop_replication_slot(slot_name) from pg_replication_slots
where not active and starts_with(slot_name, %s)
"""
CLEAN = ("shut down", "shut down in recovery")


def promote(home: Home, wanted: Server) -> bool:
    """Make a replica the primary, to which those left behind can come back. Whether it was one."""
    live = Live(home)
    was_replica = live.ask("select pg_is_in_recovery() as it")[0]["it"]
    if was_replica and not live.ask(f"select pg_promote(true, {PATIENCE}) as it")[0]["it"]:
        raise ServerError(f"it has not become the primary within {PATIENCE} s; see {home.log}")
    for function in FOR_REWIND if wanted.login else ():
        live.ask(f"grant execute on function pg_catalog.{function} to {quoted(wanted.login.user)}")
    return was_replica


def catch_up(home: Home, lsn: str) -> None:
    """Wait until a replica has what its primary wrote at this place."""
    live, query = Live(home), "select pg_last_wal_replay_lsn() > %s::pg_lsn as it"
    if not wait_until(lambda: live.ask(query, lsn)[0]["it"]):
        raise ServerError(f"it has not come past {lsn} within {PATIENCE} s")


def stop(home: Home) -> str:
    """Stop it cleanly, and keep it down when the machine starts. Gives how far it had come."""
    files.write(home.start, HEAD + "manual\n", GUARD)
    if Live(home).is_up:
        home.ctl("stop", "--mode=fast")
    return home.control()["Latest checkpoint location"]


def forget(home: Home, minion: str) -> bool:
    """Drop the slot of a minion's server; whether there was one."""
    slot, live = replication.slot_of(minion), Live(home)
    found = live.ask(SLOT, slot)
    if found and found[0]["active"]:
        raise ServerError(f"{minion} follows this server now; stop it first: salt {minion} pg_server.stop")
    if found:
        live.ask("select pg_drop_replication_slot(%s)", slot)
    return bool(found)


class LeftBehind:
    """A server that was the primary until another was promoted: it stops, and keeps what it holds."""

    def __init__(self, home: Home, successor: str):
        self.home, self.successor = home, successor

    def changes(self) -> dict:
        return {"server": f"stopped, for {self.successor} is the primary"} if Live(self.home).is_up else {}

    def run(self) -> None:
        stop(self.home)

    def waits(self) -> list[str]:
        return []


class Return:
    """The way back of a server that went another way than its primary, or stopped where that went on."""

    def __init__(self, replica: Replica):
        self.replica, self.home, self.primary = replica, replica.home, replica.primary

    def rejoin(self, discard: bool) -> dict:
        """Follow the primary. What was committed here alone is given up only where ``discard`` says so."""
        if self.home.torn.exists():
            raise ServerError(replication.TORN)
        theirs, ours = self._insist_on_kinship()
        if not self.replica.changes() and Live(self.home).is_streaming():
            return {"rewound": False, "given_up": 0, "unchanged": f"it follows {self.primary} already"}
        stop(self.home)
        self._recover()
        end = replication.end_of(ours.timeline, self.primary.history(theirs.timeline))
        is_astray = end is not None and position(self._reached()) > position(end)
        alone = self._commits_after(end, ours.timeline) if is_astray else []
        if alone and not discard:
            raise ServerError(replication.loss(alone, str(self.primary)))
        if is_astray:
            self._rewind()
        files.write(self.home.signal, "", PRIVATE)
        self.home.torn.unlink(missing_ok=True)
        self.replica.run()
        self._drop_slots()
        return {"rewound": is_astray, "given_up": len(alone)}

    def rebuild(self) -> dict:
        """Copy the data of the primary anew. Those of a server that was a primary itself are kept beside."""
        if self.home.has_data and not self.home.torn.exists():
            self._insist_on_kinship()
        was_primary = self.home.has_data and not self.home.is_replica
        self.replica.make_room()
        self.replica.prepare()
        live = Live(self.home)
        if live.is_up and live.is_streaming():  # it holds the slot that the copy takes
            stop(self.home)
        aside = self.home.data.with_name(f"{self.home.data.name}.until-{datetime.now(UTC):%Y-%m-%d-%H%M%S}")
        with self.replica.copied():
            stop(self.home)
            if self.home.has_data:
                self.home.data.rename(aside)
            self.replica.put_in_place()
        self.home.torn.unlink(missing_ok=True)
        if aside.exists() and not was_primary:
            files.remove(aside)
        self.replica.run()
        return {"kept": str(aside) if was_primary else None}

    def _insist_on_kinship(self) -> tuple[Standing, Standing]:
        """Their standing and ours, where ours is one that can follow theirs."""
        theirs, ours = self.primary.standing(), standing(self.home, Live(self.home))
        for is_wrong, why in _STRANGERS:
            if is_wrong(theirs, ours):
                raise ServerError(f"this server cannot follow {self.primary}, {why}; nothing was done")
        return theirs, ours

    def _recover(self) -> None:
        """Have a server that crashed finish what it wrote, without letting anybody in."""
        if self.home.control()["Database cluster state"] not in CLEAN:
            where = ("-D", self.home.data, "-c", f"config_file={self.home.settings}/postgresql.conf")
            run_as_server(self.home.version, "postgres", "--single", *where, "template1")

    def _reached(self) -> str:
        """How far its own log goes."""
        noted = self.home.control()
        ends = (noted["Latest checkpoint location"], noted["Minimum recovery ending location"])
        return max(ends, key=position)

    def _commits_after(self, end: str, timeline: int) -> list[str]:
        """When each transaction was committed that the primary has not."""
        where = (f"--path={self.home.data}/pg_wal", f"--timeline={timeline}", f"--start={end}")
        said = as_server(self.home.version, "pg_waldump", *where, "--rmgr=Transaction")
        if "could not find file" in said.stderr or "could not open file" in said.stderr:
            raise ServerError(
                "what was committed here alone can be told no more, for its log is gone; bring nothing back"
                " from here, or keep the data beside: pg_server.rebuild"
            )
        return re.findall(r"desc: COMMIT (\S+ \S+)", said.stdout)

    def _rewind(self) -> None:
        self.replica.take_login()
        source = f"--source-server={self.primary.following.conninfo} dbname={replication.DATABASE}"
        rewind = ("pg_rewind", f"--target-pgdata={self.home.data}", source)
        tried = as_server(self.home.version, *rewind, "--dry-run")
        if tried.returncode:
            said = tried.stderr.strip().splitlines()[-1].removeprefix("pg_rewind: error: ")
            raise ServerError(f"it cannot be rewound: {said}; copy the data anew: pg_server.rebuild")
        files.write(self.home.torn, "", PRIVATE)
        run_as_server(self.home.version, *rewind)

    def _drop_slots(self) -> None:
        """Those of servers that followed it: they hold what nobody fetches here any more."""
        Live(self.home).ask(IDLE_SLOTS, replication.PREFIX)


_STRANGERS = (
    (lambda theirs, ours: theirs.system != ours.system, "whose data are of another cluster"),
    (lambda theirs, ours: theirs.in_recovery, "which is a replica itself"),
    (lambda theirs, ours: theirs.timeline < ours.timeline, "which was left behind by a promotion here"),
    (
        lambda theirs, ours: theirs.timeline == ours.timeline and not ours.in_recovery,
        "which is on the same timeline: it is this very server, or a copy of it",
    ),
)
