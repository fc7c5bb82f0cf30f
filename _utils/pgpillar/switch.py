"""Another server as the primary of a cluster: who does what, in which order. It acts by asking minions."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Mapping

from pgpillar.model import Trouble
from pgpillar.replication import position

NEAR = 16 * 1024 * 1024  # bytes that a replica may be behind before a switchover stops the primary
CLIENT = "postgresql.client"


class Failed(Exception):
    """A minion that answered with an error, or not at all."""


class Silent(Failed):
    """A minion that did not answer."""


class Switch:
    """``everybody``: the minions that may have pools or servers.

    ``ask(minions, function, *arguments)`` gives each answer by minion; what failed is a ``Failed`` there.

    ``unsay(minion, cluster)`` takes out of the mine what a minion said of its server of a cluster.
    """

    def __init__(self, target: str, everybody: Iterable[str], ask: Callable, unsay: Callable):
        self.target, self.everybody, self.ask, self.unsay = target, everybody, ask, unsay
        self.steps: list[str] = []
        self.astray: dict[str, Failed] = {}
        self.left: dict[str, Failed] = {}
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
        outcome = "; ".join([f"{self.target} is the primary", *open_ends])
        return {"steps": self.steps, "outcome": outcome, "retcode": int(bool(open_ends))}

    # What there is, and whether it can be

    def _prepare(self) -> None:
        self.cluster, minions = self._told(self.target, "pg_server.peers")
        self.others = [minion for minion in minions if minion != self.target]
        answers = self.ask([self.target, *self.others], "pg_server.status", self.cluster)
        self.status = {minion: told for minion, told in answers.items() if not isinstance(told, Failed)}
        self.silent = {minion: told for minion, told in answers.items() if isinstance(told, Failed)}
        # Whoever is silent is waited for once
        tops = self.ask([one for one in self.everybody if one not in self.silent], "state.show_top")
        self.apps = sorted(minion for minion, top in tops.items() if CLIENT in _states(top))
        primaries = [minion for minion in self.others if self._role(minion) == "primary"]
        for is_so, why in self._objections(primaries):
            if is_so():
                raise Trouble(f"{why()}; nothing was done")
        self.old = primaries[0] if primaries else None
        # A highstate does not give it to the daemon, and the login of who follows stands in it
        self.ask(
            [one for one in answers if not isinstance(answers[one], Silent)], "saltutil.refresh_pillar", True
        )

    def _role(self, minion: str) -> str | None:
        return self.status.get(minion, {}).get("role")

    def _objections(self, primaries: list[str]) -> Iterable[tuple[Callable, Callable]]:
        """Why not, each as a question and its sentence; the first that holds is told."""
        target, mine = self.target, self.status.get(self.target, {})
        following = mine.get("following") or {}
        follows = following.get("state") == "streaming"
        return (
            (lambda: target in self.silent, lambda: f"{target} cannot be asked: {self.silent[target]}"),
            (
                lambda: len(primaries) > 1,
                lambda: f"{' and '.join(primaries)} both are primaries; stop the one that should not be",
            ),
            (
                lambda: primaries and self._role(target) == "primary",
                lambda: f"{target} is a primary, and so is {primaries[0]}; stop the one that should not be",
            ),
            (
                lambda: primaries and not follows,
                lambda: f"{target} does not follow {primaries[0]}, which is alive; see pg_server.fault",
            ),
            (
                lambda: primaries and self._behind(primaries[0]) > NEAR,
                lambda: (
                    f"{target} is {self._behind(primaries[0])} bytes behind {primaries[0]}; let it catch up"
                ),
            ),
            (
                lambda: not primaries and follows,
                lambda: (
                    f"the primary of {target} is alive, for it still sends, and its minion does not answer;"
                    " mend that, or stop the server there"
                ),
            ),
            (
                lambda: not primaries and self._further(),
                lambda: f"{self._further()} has received more than {target}; promote that",
            ),
        )

    def _behind(self, primary: str) -> int:
        return position(self.status[primary]["lsn"]) - position(self.status[self.target]["lsn"])

    def _further(self) -> str | None:
        """A replica that has received more than the one that is to be promoted."""
        own = position(self.status[self.target]["lsn"])
        replicas = [minion for minion in self.others if self._role(minion) == "replica"]
        return next((one for one in replicas if position(self.status[one]["lsn"]) > own), None)

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


def _states(top: object) -> list[str]:
    return [state for states in top.values() for state in states] if isinstance(top, Mapping) else []
