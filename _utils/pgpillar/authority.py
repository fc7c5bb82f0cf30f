"""The certificate authorities of one's own: which of them signs, and which are trusted meanwhile."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

from pgpillar import certificates, files
from pgpillar.files import Guard
from pgpillar.model import Trouble
from pgpillar.tables import compared

GUARD = Guard(0o644)
EVERYBODY = "'*'"


class Said(NamedTuple):
    """What nodes said of themselves. An authority goes by its key."""

    trusts: Mapping[str, Sequence[str]]  # by minion: the keys that it trusts
    served: Mapping[str, str | None]  # by minion: the key that signed the certificate it serves
    garbled: Collection[str] = ()  # the minions whose word is of another form

    @classmethod
    def of(cls, minion: str, words: Mapping[str, object]) -> Said:
        """By what is in the mine: the word of each node, of the CA on this minion."""
        clear = {node: word for node, word in words.items() if _is_word(word)}
        trusts = {node: word["trusts"][minion] for node, word in clear.items() if minion in word["trusts"]}
        served = {node: word["served"] for node, word in clear.items()}
        return cls(trusts, served, words.keys() - clear.keys())


def _is_word(word: object) -> bool:
    """Whether this is what ``pg_trust.announce`` gives."""
    if not (isinstance(word, Mapping) and isinstance(word.get("trusts"), Mapping)):
        return False
    keys = word["trusts"].values()
    return isinstance(word.get("served", 0), str | None) and all(map(_are_keys, keys))


def _are_keys(keys: object) -> bool:
    return isinstance(keys, list) and all(isinstance(key, str) for key in keys)


class Authorities:
    """Each in its own directory. ``signs`` leads to the one that signs; those in ``trusted`` are trusted."""

    def __init__(self, directory: str, wanted: Sequence[str]):
        self.directory, self.wanted = Path(directory), wanted
        self.link, self.trusted = self.directory / "signs", self.directory / "trusted"

    def changes(self) -> dict:
        """What would change."""
        signs = {"signs": self.signs()} if self.signs() else {}
        trusted = compared(self._texts(), {name: self._made(name) for name in self.wanted}, _renewed)
        return compared(signs, {"signs": self.wanted[0]}) | ({"trusted": trusted} if trusted else {})

    def check(self, said: Said) -> None:
        """Go no further where a node would be left without a CA that it needs."""
        if hindrances := list(self._hindrances(said)):
            raise Trouble("\n".join(["the change of CA has to wait:", *hindrances]))

    def run(self) -> None:
        """Make it so."""
        if unmade := [name for name in self.wanted if not self._made(name)]:
            raise Trouble(f"{', '.join(unmade)} has no certificate yet; the state tls.ca makes it")
        files.make_directory(self.trusted, Guard(0o755))
        for name in self.wanted:
            files.write(self._trusted(name), self._made(name), GUARD)
        self._let_sign(self.wanted[0])
        for name in self._leaving():
            self._trusted(name).unlink()

    def announcement(self) -> dict[str, str]:
        """What nodes have to know: who signs, and whom to trust."""
        return {"signs": self._made(self.signs() or ""), "trusted": "".join(self._texts().values())}

    def signs(self) -> str | None:
        return self.link.readlink().name if self.link.is_symlink() else None

    def _hindrances(self, said: Said) -> Iterator[str]:
        first, leaving = self.wanted[0], self._leaving()
        another_signs = self.signs() not in (None, first)
        if another_signs:
            yield from self._without_trust(said, first)
        for minion in sorted(said.garbled) if another_signs or leaving else ():
            yield f"- what {minion} said in the mine is of another form; {_remedy(minion)}"
        for name in leaving:
            key = _key(self._texts()[name])
            for minion in sorted(minion for minion, signer in said.served.items() if signer == key):
                yield f"- {minion} has a certificate from {name} still; {_remedy(minion)}"

    def _without_trust(self, said: Said, name: str) -> Iterator[str]:
        key = _key(self._made(name))
        if not said.trusts:
            yield f"- nobody has said in the mine whom it trusts; {_remedy(EVERYBODY)}"
        for minion in sorted(minion for minion, trusted in said.trusts.items() if key not in trusted):
            yield f"- {minion} does not trust {name} yet; {_remedy(minion)}"

    def _leaving(self) -> list[str]:
        return sorted(self._texts().keys() - set(self.wanted))

    def _let_sign(self, name: str) -> None:
        files.link(self.link, name)

    def _texts(self) -> dict[str, str]:
        """What is trusted now, by name."""
        return {path.stem: files.read(path) for path in sorted(self.trusted.glob("*.crt"))}

    def _trusted(self, name: str) -> Path:
        return self.trusted / f"{name}.crt"

    def _made(self, name: str) -> str:
        """The certificate of an authority; nothing, while it is not made."""
        path = self.directory / name / "ca.crt"
        return files.read(path) if path.exists() else ""


def _remedy(minion: str) -> str:
    return f"run: salt {minion} state.highstate, then salt {minion} mine.update"


def _renewed(before: str, now: str) -> str:
    return "renewed"


def _key(text: str) -> str | None:
    return next(map(certificates.key_of, certificates.in_pem(text)), None)
