"""Another server as the primary of a cluster: who does what, in which order. It acts by asking minions."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import NoReturn

from pgpillar.model import Trouble
from pgpillar.replication import position

NEAR = 16 * 1024 * 1024  # bytes that a replica may be behind before a switchover stops the primary
CLIENT = "postgresql.client"
SERVERS = {"postgresql.server", "postgresql.replica"}


class Failed(Exception):
    """A minion that answered with an error, or not at all."""


class Silent(Failed):
    """A minion that did not answer."""


class Switch:
    """``everybody``: the minions that may have pools or servers.

    ``ask(minions, function, *arguments)`` gives each answer by minion; what failed is a ``Failed`` there.
    With ``promptly=True``, one that does not soon show that it is there is ``Silent``.

    ``unsay(minion, cluster)`` takes out of the mine what a minion said of its server of a cluster.
    """

    def __init__(self, target: str, everybody: Iterable[str], ask: Callable, unsay: Callable):
        self.target, self.everybody, self.ask, self.unsay = target, everybody, ask, unsay
        self.steps: list[str] = []
        self.astray: dict[str, Failed] = {}
        self.left: dict[str, Failed] = {}
        self.status: dict[str, Mapping] = {}
        self.began = time.monotonic()

    def run(self) -> dict:
        """Promote it; gives what was done, step by step, and why no more was, if so."""
        try:
            self._prepare()
            self._switch()
            self._lead_others()
        except Trouble as trouble:
            return {"steps": self.steps, "outcome": f"stopped: {trouble}", "retcode": 1}
        open_ends = [*map(_led_astray, self.astray.items()), *map(_left_behind, self.left.items())]
        outcome = "; ".join([self._what_it_is(), *open_ends])
        return {"steps": self.steps, "outcome": outcome, "retcode": int(bool(open_ends))}

    def _what_it_is(self) -> str:
        if self._role(self.target) != "primary":
            return f"{self.target} is the primary"
        others = [minion for minion in self.others if self._role(minion) == "replica"]
        return f"{self.target} was the primary already, and nobody was promoted; {_could_be(others)}"

    # What there is, and whether it can be

    def _prepare(self) -> None:
        self._call_the_roll()
        self.cluster, minions = self._peers()
        self.others = [minion for minion in minions if minion != self.target]
        servers = [self.target, *self.others]
        there = [minion for minion in servers if minion not in self.gone]
        answers = self.gone | self.ask(there, "pg_server.status", self.cluster)
        answers = {minion: answers[minion] for minion in servers}
        self.status = _heard(answers)
        self.silent = {minion: told for minion, told in answers.items() if isinstance(told, Failed)}
        primaries = [minion for minion in self.others if self._role(minion) == "primary"]
        if why := next(self._objections(primaries), None):
            raise Trouble(f"{why}; nothing was done")
        self.old = primaries[0] if primaries else None
        # A highstate does not give it to the daemon, and the login of who follows stands in it
        self.ask(
            [one for one in there if not isinstance(answers[one], Silent)], "saltutil.refresh_pillar", True
        )

    def _call_the_roll(self) -> None:
        """Who is there, and what for. Whoever is silent is waited for once."""
        tops = self.ask(self.everybody, "state.show_top", promptly=True)
        self.gone = {minion: top for minion, top in tops.items() if isinstance(top, Silent)}
        states = {minion: {*_states(top)} for minion, top in tops.items()}
        self.apps = sorted(minion for minion in states if CLIENT in states[minion])
        self.servers = sorted(minion for minion in states if SERVERS & states[minion])

    def _peers(self) -> tuple[str, list[str]]:
        """The cluster of the one that is to be promoted, and the minions of its servers."""
        if self.target not in self.everybody:
            self._refuse("no minion of this name has a role")
        if self.target in self.gone:
            self._refuse(self.gone[self.target])
        told = self.ask([self.target], "pg_server.peers")[self.target]
        if isinstance(told, Failed):
            self._refuse(told if self.target in self.servers else "it is no PostgreSQL server")
        return told

    def _refuse(self, why: object) -> NoReturn:
        raise Trouble(
            f"{self.target} cannot be promoted: {why}; {_could_be(self._replicas())}; nothing was done"
        )

    def _replicas(self) -> list[str]:
        """Those of every cluster."""
        peers = self.ask(self.servers, "pg_server.peers") if self.servers else {}
        clusters = {minion: told[0] for minion, told in _heard(peers).items()}
        for cluster in sorted(set(clusters.values())):
            servers = [minion for minion in clusters if clusters[minion] == cluster]
            self.status |= _heard(self.ask(servers, "pg_server.status", cluster))
        return [minion for minion in self.status if self._role(minion) == "replica"]

    def _role(self, minion: str) -> str | None:
        return self.status.get(minion, {}).get("role")

    def _objections(self, primaries: list[str]) -> Iterator[str]:
        """Why not. None is looked for before the one ahead of it was found to be no hindrance."""
        if self.target in self.silent:
            yield f"{self.target} cannot be asked: {self.silent[self.target]}"
        yield from self._to_a_switchover(primaries) if primaries else self._to_a_failover()

    def _to_a_switchover(self, primaries: list[str]) -> Iterator[str]:
        target, primary = self.target, primaries[0]
        if len(primaries) > 1:
            yield f"{' and '.join(primaries)} both are primaries; stop the one that should not be"
        if self._role(target) == "primary":
            yield f"{target} is a primary, and so is {primary}; stop the one that should not be"
        if not self._follows():
            yield f"{target} does not follow {primary}, which is alive; see pg_server.fault"
        if (behind := self._behind(primary)) > NEAR:
            yield f"{target} is {behind} bytes behind {primary}; let it catch up"

    def _to_a_failover(self) -> Iterator[str]:
        target = self.target
        if self._follows():
            yield (
                f"the primary of {target} is alive, for it still sends, and its minion does not answer;"
                " mend that, or stop the server there (that a host has lost power shows after a minute)"
            )
        if further := self._further():
            yield f"{further} has received more than {target}; promote that"
        if self._reaches_primary():
            yield (
                f"the server that {target} followed takes connections still, though it cannot be asked;"
                " mend that, or stop it there"
            )

    def _follows(self) -> bool:
        following = self.status[self.target].get("following") or {}
        return following.get("state") == "streaming"

    def _behind(self, primary: str) -> int:
        return position(self.status[primary]["lsn"]) - position(self.status[self.target]["lsn"])

    def _further(self) -> str | None:
        """A replica that has received more than the one that is to be promoted."""
        own = position(self.status[self.target]["lsn"])
        replicas = [minion for minion in self.others if self._role(minion) == "replica"]
        return next((one for one in replicas if position(self.status[one]["lsn"]) > own), None)

    def _reaches_primary(self) -> bool:
        """A minion that is silent, or too slow to be heard, is no proof that its server is gone."""
        return self._role(self.target) == "replica" and self._told(self.target, "pg_server.reaches_primary")

    # Doing it

    def _switch(self) -> None:
        if self._role(self.target) == "primary":
            self._note(f"{self.target} is the primary already")
        elif self.old:
            self._hand_over()
        else:
            known = self.status[self.target]["lsn"]
            self._note(f"no primary answers; what it committed after {known}, {self.target} has not")
        was_replica = self._told(self.target, "pg_server.promote")
        for minion in self.others:
            if minion == self.old or self._role(minion) != "replica":
                self.unsay(minion, self.cluster)
        self._told(self.target, "mine.update")
        if was_replica:
            self._note(f"promoted {self.target}, and announced it in the Salt mine")
        self._lead_apps()

    def _hand_over(self) -> None:
        """Stop the old primary, which sends all it has before it ends, and see that all has come."""
        end = self._told(self.old, "pg_server.stop")
        self._note(f"stopped {self.old} cleanly, at {end}")
        try:
            self._told(self.target, "pg_server.catch_up", end)
        except Trouble:
            self._told(self.old, "pg_server.configure")
            self._note(f"started {self.old} again")
            raise
        self._note(f"{self.target} has all of it")

    def _lead_apps(self) -> None:
        """One whose pools cannot be led keeps nobody from the rest; it is told in the end."""
        self.astray = self._not_applied(self.apps)
        if self.astray:
            self.astray = self._not_applied(list(self.astray))  # a server may be slow to let in at first
        if led := [app for app in self.apps if app not in self.astray]:
            self._note(f"led the pools of {', '.join(led)}")

    def _lead_others(self) -> None:
        """The other servers, as replicas of the new primary."""
        self._told(self.target, "pg_server.configure")
        followers = [minion for minion in self.others if self._leads(minion)]
        for minion in followers:
            self._told(minion, "mine.update")
        if followers:
            self._lead_apps()
        for minion in sorted(self.gone.keys() - {*self.others}):
            self._note(
                f"{minion} does not answer; if it has pools, then once it does: salt {minion} state.highstate"
            )

    def _leads(self, minion: str) -> bool:
        """Whether a server follows the new primary now. What keeps one from it is told in the end."""
        if isinstance(self.silent.get(minion), Silent):
            self._note(f"{minion} is left behind; when it answers: salt {minion} pg_server.rejoin")
            return False
        verb = "pg_server.configure" if self._role(minion) == "replica" else "pg_server.rejoin"
        done = self.ask([minion], verb)[minion]
        if isinstance(done, Failed):
            self.left[minion] = done
            return False
        self._note(f"{minion} follows {self.target}{', rewound' if done.get('rewound') else ''}")
        return True

    # How it is said

    def _note(self, what: str) -> None:
        self.steps.append(f"{time.monotonic() - self.began:5.1f} s  {what}")

    def _told(self, minion: str, function: str, *arguments: object):
        answer = self.ask([minion], function, *arguments)[minion]
        if isinstance(answer, Failed):
            raise Trouble(f"{minion}: {function}: {answer}")
        return answer

    def _not_applied(self, minions: list[str]) -> dict[str, Failed]:
        answers = self.ask(minions, "state.apply", CLIENT) if minions else {}
        return {minion: answer for minion, answer in answers.items() if isinstance(answer, Failed)}


def _led_astray(told: tuple[str, Failed]) -> str:
    return f"the pools of {told[0]} are not led there, highstate it: {told[1]}"


def _left_behind(told: tuple[str, Failed]) -> str:
    return f"{told[0]} does not follow it: {told[1]}; once that is mended: salt {told[0]} pg_server.rejoin"


def _heard(answers: Mapping[str, object]) -> dict:
    return {minion: told for minion, told in answers.items() if not isinstance(told, Failed)}


def _could_be(replicas: Iterable[str]) -> str:
    return f"what could be promoted: {', '.join(replicas) or 'nothing, for no replica answers'}"


def _states(top: object) -> list[str]:
    return [state for states in top.values() for state in states] if isinstance(top, Mapping) else []
