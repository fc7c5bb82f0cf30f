"""How everything is: what minions said of themselves, put together by cluster and by app node. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from fnmatch import fnmatchcase
from itertools import chain
from typing import NamedTuple

Told = Mapping[str, object]


def roles_of(minions: Iterable[str], entries: Mapping[str, Iterable[str]]) -> dict[str, list[str]]:
    """The minions that entries of roles.yaml mean, each with its roles."""
    found = {
        minion: [
            *dict.fromkeys(chain(*(roles for glob, roles in entries.items() if fnmatchcase(minion, glob))))
        ]
        for minion in sorted(minions)
    }
    return {minion: roles for minion, roles in found.items() if roles}


class Status(NamedTuple):
    """``minions``: those that were asked, with their roles. ``answers``: what those said that answered."""

    minions: Mapping[str, Iterable[str]]
    answers: Mapping[str, object]

    def data(self) -> dict[str, object]:
        """All of it, for programs. ``retcode`` is what salt-run ends with."""
        wrong = [*self._wrong()]
        return {
            "clusters": self._clusters(),
            "nodes": dict(self._parts("node")),
            "silent": self._silent(),
            "wrong": wrong,
            "retcode": int(bool(wrong)),
        }

    def _parts(self, name: str) -> Iterator[tuple[str, Told]]:
        """What each minion that has such a part said of it."""
        for minion, answer in sorted(self.answers.items()):
            if isinstance(answer, Mapping) and name in answer:
                yield minion, answer[name]

    def _clusters(self) -> dict[str, dict]:
        found: dict[str, dict] = {}
        for minion, clusters in self._parts("clusters"):
            for cluster, told in clusters.items():
                found.setdefault(cluster, {})[minion] = told
        return found

    def _silent(self) -> list[str]:
        return sorted(self.minions.keys() - self.answers.keys())

    def _wrong(self) -> Iterator[str]:
        yield from (f"{minion} did not answer" for minion in self._silent())
        for minion, answer in self.answers.items():
            if not isinstance(answer, Mapping):
                yield f"{minion} has not the modules of pgpillar: salt {minion} saltutil.sync_all"
