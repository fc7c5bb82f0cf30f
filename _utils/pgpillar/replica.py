"""A server that follows another: copied from it whole, and kept at it."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import psycopg2

from pgpillar import files, lock
from pgpillar.connect import explained, gateway
from pgpillar.files import Guard
from pgpillar.model import Trouble
from pgpillar.replication import Following, Standing
from pgpillar.server import Server
from pgpillar.standing import SLOT
from pgpillar.upkeep import LOCALE, PRIVATE, USER, Home, ServerError, Upkeep, ask, run_as_server, wait_until
from pgpillar.vitals import SERVER

MADE = ("pg_hba.conf", "pg_ident.conf", "postgresql.conf")
GOES_ON = "a copy that was cut off goes on by itself; let it end, or end pg_basebackup on this machine"


class Replica(Upkeep):
    """What a replica is, and what it is to be."""

    def __init__(self, wanted: Server, home: Home):
        super().__init__(wanted, home)
        self.primary = Primary(wanted.following)
        self.private = {Path(path): text for path, text in wanted.following.texts.items()}
        self.texts |= self.private

    def _parts(self) -> dict[str, dict]:
        return super()._parts() | {"slot": self._slot()}

    def _slot(self) -> dict[str, str]:
        """Its slot there, where the primary can be asked; why it cannot is told by ``status``."""
        try:
            return {} if self.primary.slot() else {self.primary.following.slot: "new"}
        except Trouble:
            return {}

    def _beginning(self) -> str:
        return f"copied from {self.primary}"

    def _guard(self, path: Path) -> Guard:
        return PRIVATE if path in self.private else super()._guard(path)

    def run(self) -> None:
        self.prepare()
        super().run()
        wait_until(self.live.is_streaming)  # where it does not come to that, ``status`` says why

    def take_login(self) -> None:
        """Have what it comes in to the primary with."""
        for path in self._faults().keys() & self.private.keys():
            files.write(path, self.texts[path], PRIVATE)

    def prepare(self) -> None:
        self.take_login()
        if self._slot():
            self.primary.reserve()

    def _make(self) -> None:
        if not self.home.has_data:
            with self.copied():
                self.put_in_place()
        if not self.home.has_settings:
            adopt(self.home)

    def make_room(self) -> None:
        """Take away a copy that was cut off; whatever else stands in its place is left, and told."""
        coming = self.home.coming
        if self.home.left_a_copy:
            files.remove(coming)
        if coming.exists():
            raise ServerError(f"{coming} is being written, or a server ran in it: {GOES_ON}, or move it away")

    @contextmanager
    def copied(self) -> Iterator[None]:
        """The primary's data, beside the place that they get within the block, now that they are whole."""
        self.make_room()
        self.primary.renew()
        files.make_directory(self.home.coming, Guard(0o700, USER), by_link=False)
        with lock.kept(self.home.coming) as held:
            self._copy(held)
            yield

    def _copy(self, held: int) -> None:
        slot, where = f"--slot={self.primary.following.slot}", f"--pgdata={self.home.coming}"
        source = f"--dbname={self.primary.following.conninfo}"
        words = (source, where, slot, "--checkpoint=fast")
        run_as_server(self.home.version, "pg_basebackup", *words, keeps=[held])
        files.write(self.home.coming / self.home.signal.name, "", PRIVATE)

    def put_in_place(self) -> None:
        self.home.coming.rename(self.home.data)


class Primary:
    """The server that a replica follows, asked over the network as the replica comes in."""

    def __init__(self, following: Following):
        self.following = following

    def __str__(self) -> str:
        endpoint = self.following.endpoint
        return f"{endpoint.host} ({endpoint.hostaddr})" if endpoint.hostaddr else endpoint.host

    def ask(self, query: str, *values: str) -> list[dict]:
        return ask(self.following.endpoint, query, *values)

    def standing(self) -> Standing:
        return Standing.told(self.ask(SERVER)[0])

    def slot(self) -> dict | None:
        """The slot of this replica, if there is one."""
        return next(iter(self.ask(SLOT, self.following.slot)), None)

    def reserve(self) -> None:
        """Make the slot, which holds what the replica has not received from now on."""
        self.ask("select pg_create_physical_replication_slot(%s, true)", self.following.slot)

    def renew(self) -> None:
        """See that there is a slot, and one that holds what it is to."""
        if not wait_until(lambda: not (self.slot() or {}).get("active")):
            raise ServerError(f"{self} still sends to slot {self.following.slot}: {GOES_ON}")
        slot = self.slot()
        if slot and slot["wal_status"] == "lost":
            self.ask("select pg_drop_replication_slot(%s)", self.following.slot)
        if not slot or slot["wal_status"] == "lost":
            self.reserve()

    def history(self, timeline: int) -> str:
        """Where each timeline before this one ended."""
        if timeline == 1:
            return ""
        with gateway(self.following.endpoint) as way:
            try:
                ((_, told),) = way.command(f"TIMELINE_HISTORY {timeline}")
            except psycopg2.Error as error:
                raise ServerError(f"{self}: {explained(error)}") from None
        return told if isinstance(told, str) else bytes(told).decode()  # text since PostgreSQL 15


def adopt(home: Home) -> None:
    """Have Debian's tools know data that came from another server, by settings as they make them."""
    with tempfile.TemporaryDirectory(prefix="pgpillar-", dir=home.data.parent) as place:
        os.chown(place, *PRIVATE.ids, follow_symlinks=False)
        run_as_server(home.version, "initdb", f"--pgdata={place}/data", "--no-sync", *LOCALE)
        for name in MADE:  # in a directory that is the server's own, so that it may lead anywhere
            files.write(home.data / name, files.read(Path(place, "data", name), by_link=False), PRIVATE)
    home.create()
