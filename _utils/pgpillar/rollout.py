"""From one generation of pgbouncer's files to the next. What does not work is never put in its place."""

from __future__ import annotations

import re
import ssl
from collections.abc import Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, suppress
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import NamedTuple

from pgpillar import files, hosts_file, pgbouncer, trial
from pgpillar.bouncer import BEFORE, BouncerError, Console, Installation, arguments, process
from pgpillar.connect import ClusterError, ca_of, gateway
from pgpillar.files import Guard
from pgpillar.model import Endpoint, Place, Secret
from pgpillar.node import Node, Pool
from pgpillar.paths import Paths
from pgpillar.pgbouncer import INI, USERLIST, Home
from pgpillar.tables import compared


class Wanted(NamedTuple):
    """All that a generation is made from."""

    node: Node
    servers: Mapping[str, Place]
    passwords: Mapping[str, Secret]
    cas: tuple[str, ...]

    def texts(self, place: Home, hide: bool) -> dict[str, str]:
        return pgbouncer.texts(self.node, self.servers, self.passwords, self.cas, place, hide)


def cas(endpoints: Mapping[str, Endpoint]) -> tuple[str, ...]:
    """The CAs of clusters. One that cannot be read, or was cut, is refused by its place in pillar."""
    return tuple(filter(None, (_ca(name, endpoint) for name, endpoint in endpoints.items())))


def _ca(cluster: str, endpoint: Endpoint) -> str:
    where = f"postgresql:clusters:{cluster}:{'ca' if endpoint.ca else 'ca_file'}"
    try:
        text = ca_of(endpoint)
        if certificates := "\n".join(_CERTIFICATE.findall(text)):
            ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT).load_verify_locations(cadata=certificates)
    except (ssl.SSLError, ValueError, TypeError):
        raise BouncerError(
            f"{where}: this is no whole certificate; copy it again, to its last line"
        ) from None
    except OSError as error:
        raise BouncerError(f"{where}: {error}") from None
    return text


_CERTIFICATE = re.compile("-----BEGIN CERTIFICATE-----.*?-----END CERTIFICATE-----", re.DOTALL)


class Rollout:
    """The files of one pgbouncer as they are and as they are wanted."""

    def __init__(self, installation: Installation, wanted: Wanted, paths: Paths):
        self.installation, self.wanted, self.paths = installation, wanted, paths
        self.hosts_file = Path(paths.hosts)
        self.addresses = hosts_file.wanted(wanted.servers.values())
        self.old_addresses = hosts_file.written(self._hosts())
        self.old = installation.texts()
        self.hides = "SCRAM-SHA-256$" in self.old.get(USERLIST, "")
        self.console = Console(paths.sockets, pgbouncer.port(self.old) or wanted.node.port, installation.user)

    def generation(self, hide: bool) -> tuple[str, dict[str, str]]:
        """The name of a generation, and its files. They hold the name, so that the console tells it."""
        name = pgbouncer.fingerprint(self.wanted.texts(self._place(""), hide))
        return name, self.wanted.texts(self._place(str(self.installation.path(name))), hide)

    def _place(self, files: str) -> Home:
        return Home(files, self.paths.sockets, self.paths.log, self.paths.pid, self.wanted.node.port)

    def changes(self) -> dict:
        """What would change, without a secret in it."""
        _, texts = self.generation(self.hides)
        changes = pgbouncer.difference(self.old, texts)
        if "settings" in changes:
            trial.check_settings(self.wanted.node.settings, self.installation.user)
        self._insist_on_reload()
        if moved := compared(self.old_addresses, self.addresses):
            changes["addresses"] = moved
        if self.installation.is_foreign():
            changes["kept"] = {INI: f"as {BEFORE}"}
        if faults := self.installation.faults():
            changes["files"] = {**changes.get("files", {}), **faults}
        if not changes and self.is_up and not self._is_taken_up():
            changes["running"] = "reloaded"
        return changes

    def _insist_on_reload(self) -> None:
        """Refuse what a pgbouncer that runs takes up only when it is started anew."""
        rows = self.console.ask("SHOW CONFIG") if self.is_up else []
        fixed = {row["key"]: row["value"] for row in rows if row["changeable"] == "no"}
        differing = partial(pgbouncer.differing, self.wanted.node, self._place(""), fixed)
        if differing() and (stuck := differing(self._told())):
            raise BouncerError(
                f"these settings take a restart, which cuts every client: {'; '.join(stuck)};"
                " stop pgbouncer (systemctl stop pgbouncer) and apply this again, which starts it with them"
            )

    def _told(self) -> dict[str, str]:
        """How pgbouncer shows the settings of pillar: an octal number, for one, in decimal."""
        bare = self.wanted._replace(node=replace(self.wanted.node, pools={}))
        with trial.instance(lambda place: bare.texts(place, False), self.installation.user) as scratch:
            shown = scratch.console.settings()
        return {name: shown[name] for name in self.wanted.node.settings if name != "listen_addr"}

    @property
    def is_up(self) -> bool:
        """Whether pgbouncer runs. One that runs elsewhere than its files say is an error."""
        if self.console.is_up:
            return True
        if number := process(self.paths.pid):
            where = "{host}, port {port}".format(**self.console.where)
            raise BouncerError(
                f"a pgbouncer runs (process {number}) that does not listen in {where}, so it is not on these"
                " files; stop it (systemctl stop pgbouncer) and apply this again, which starts it on them"
            )
        return False

    def _is_taken_up(self) -> bool:
        return self._is_in_force(self.installation.current()) and not self._astray()

    def _is_in_force(self, name: str | None) -> bool:
        return name is not None and f"/{name}/" in self.console.settings()["auth_file"]

    def run(self) -> bool:
        """Try the new files, put them in place, reload, compare; at a fault the old ones are in force.

        Tells whether there was a pgbouncer to reload.
        """
        is_up = self.is_up
        missing = sorted(user for user, secret in self.wanted.passwords.items() if not secret.reveal())
        if missing:
            raise BouncerError(
                f"this node has no password for {', '.join(missing)} yet; node_secret.present makes it"
            )
        pools = self._changed_pools()
        self._insist(self._direct_failures(pools))
        with self._moved():
            hide = self._tried(pools)
            try:
                self._replace(hide, is_up)
            finally:
                self._tidy()
        return is_up

    def _tidy(self) -> None:
        """Remove what the running pgbouncer is off. It reads the CA at each login to a server."""
        with suppress(BouncerError):  # one that cannot be asked may be on any of them
            if not self.is_up or self._is_in_force(self.installation.current()):
                self.installation.tidy()

    def _replace(self, hide: bool, is_up: bool) -> None:
        name, texts = self.generation(hide)
        before = self.installation.current()
        self.installation.write(name, texts)
        told = self._told() if is_up and self.wanted.node.settings else {}
        if is_up:
            self._lead_back()
        self.installation.switch(name)
        if is_up:
            self._take_up(name, before, told)

    def _lead_back(self) -> None:
        """What pgbouncer reads at a reload is a setting of its own, and may not be what it was started on."""
        ini = str(self.installation.directory / INI)
        if ini in arguments(self.paths.pid):
            self.console.ask(f"SET conffile = {pgbouncer.literal(ini)}")

    @contextmanager
    def _moved(self) -> Iterator[None]:
        """Have the names lead to where a login showed their servers to be; at a fault, to where they led."""
        before = self._hosts()
        self._lead(hosts_file.rewritten(before, self.addresses))
        try:
            yield
        except BaseException:
            self._lead(before)
            raise

    def _lead(self, text: str) -> None:
        if text != self._hosts():
            files.write(self.hosts_file, text, Guard(0o644))

    def _hosts(self) -> str:
        return files.read(self.hosts_file) if self.hosts_file.exists() else ""

    def _tried(self, pools: list[Pool]) -> bool:
        """Whether the node's passwords can be kept as verifiers: tried, for no version tells it for sure."""
        if not pools:
            return self.hides
        hide = not self._failures(True, pools[:1])
        self._insist(self._failures(hide, pools))
        return hide

    def _insist(self, failures: Mapping[str, str]) -> None:
        if failures:
            reasons = [f"- pool {name!r}: {reason}" for name, reason in sorted(failures.items())]
            raise BouncerError(
                "\n".join(["no login through these pools, so the old files stay in force:", *reasons])
            )

    def _changed_pools(self) -> list[Pool]:
        """The pools that are to be tried: what leads to them is new."""
        changed = pgbouncer.changed_pools(self.old, self.generation(self.hides)[1], self.wanted.node)
        moved = [self.wanted.node.pools[name] for name in sorted(self._led_elsewhere())]
        return changed + [pool for pool in moved if pool not in changed]

    def _led_elsewhere(self) -> set[str]:
        """The pools whose server's name has another address than before."""
        moved = compared(self.old_addresses, self.addresses)
        return {pool for pool, server in self.wanted.servers.items() if server.host in moved}

    def _astray(self) -> set[str]:
        """The pools that keep connections to another address than they are to have."""
        wanted = {pool: server.hostaddr for pool, server in self.wanted.servers.items() if server.hostaddr}
        return pgbouncer.astray(wanted, self.console.ask("SHOW SERVERS")) if wanted else set()

    def _direct_failures(self, pools: list[Pool]) -> dict[str, str]:
        """Where a login without pgbouncer fails. It says why, at once, which pgbouncer does not."""
        with ThreadPoolExecutor(trial.LOGINS) as threads:
            reasons = threads.map(self._direct_failure, pools)
            return trial.told(pools, reasons)

    def _direct_failure(self, pool: Pool) -> str | None:
        server, endpoint = self.wanted.servers[pool.name], self.wanted.node.endpoints[pool.cluster]
        place = {
            "host": server.host,
            "hostaddr": server.hostaddr,
            "port": server.port,
            "database": pool.database,
        }
        as_pool = replace(endpoint, user=pool.user, password=pool.password, **place)
        try:
            with gateway(as_pool, "pgpillar pool check") as way:
                way.open().close()
        except ClusterError as error:
            return str(error)
        return None

    def _failures(self, hide: bool, pools: list[Pool]) -> dict[str, str]:
        node = replace(self.wanted.node, settings={**self.wanted.node.settings, **trial.HASTE})
        hasty = self.wanted._replace(node=node)
        with trial.instance(lambda place: hasty.texts(place, hide), self.installation.user) as scratch:
            return scratch.failures(pools, self.wanted.passwords)

    def _take_up(self, name: str, before: str | None, told: Mapping[str, str]) -> None:
        """Have the running pgbouncer read the live files; where it does not end up with them, go back.

        Between the two stand the console's answers alone, for meanwhile clients may be refused.
        """
        try:
            self.console.ask("RELOAD")
            self._compare(name, told)
        except BouncerError as error:
            raise BouncerError(
                f"pgbouncer did not take up the new files{self._go_back(before, name)}: {error}"
            ) from None
        moved = pgbouncer.moved_pools(self.old, self.installation.texts())
        for pool in sorted({*moved, *self._led_elsewhere(), *self._astray()}):
            self.console.ask(f'RECONNECT "{pool}"')

    def _go_back(self, before: str | None, name: str) -> str:
        """Put the generation of before in its place again, if there is one; tells what came of it."""
        if before in (None, name):
            return ", and goes on as it was until it is started again"
        self.installation.switch(before)
        with suppress(BouncerError):  # what went wrong is told already
            self.console.ask("RELOAD")
        return ", so the old ones are back"

    def _compare(self, name: str, told: Mapping[str, str]) -> None:
        place = self._place(str(self.installation.path(name)))
        shown = self.console.databases(), self.console.settings()
        if faults := pgbouncer.deviations(self.wanted.node, self.wanted.servers, place, *shown, told):
            raise BouncerError("; ".join(faults))
