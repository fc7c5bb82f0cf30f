"""Whom this node trusts: the CA file of each cluster whose CA is one of our own."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import cached_property
from pathlib import Path

from cryptography.x509 import Certificate

from pgpillar import certificates, files
from pgpillar.files import Guard
from pgpillar.model import Trouble
from pgpillar.tables import compared

GUARD = Guard(0o644)
Word = Mapping[str, str]  # what a CA says: who "signs", and who is to be "trusted", as PEM


class Trust:
    """``clusters``: as pillar has them. ``ask``: the word of a CA, empty where it said nothing."""

    def __init__(self, clusters: Mapping[str, Mapping], ask: Callable[[str], Word]):
        self.ask = ask
        ours = {name: one for name, one in clusters.items() if one.get("ca_server")}
        self.authority_of = {_ca_file(name, one): one["ca_server"] for name, one in ours.items()}

    def changes(self) -> dict[str, dict | str]:
        """What would change, by file."""
        found = {str(path): _difference(path, text) for path, text in self._texts.items()}
        return {path: what for path, what in found.items() if what}

    def run(self) -> None:
        for path, text in self._texts.items():
            if files.fault(path, text, GUARD):
                files.write(path, text, GUARD)

    def unheard(self) -> list[str]:
        """The CAs that have said nothing. Who was trusted before is trusted on."""
        return sorted(set(self.authority_of.values()) - {self.authority_of[path] for path in self._texts})

    def missing(self) -> list[str]:
        """The files that are not there, and that nobody said anything for."""
        return [str(path) for path in self.authority_of if path not in self._texts and not path.exists()]

    def keys(self, bundle: Path) -> dict[str, list[str]]:
        """The keys trusted here, by CA. Where pgbouncer's bundle holds some of them, only those count."""
        there = {path: authority for path, authority in self.authority_of.items() if path.exists()}
        pooled = _keys(bundle)
        return {authority: sorted(_keys(path) & pooled or _keys(path)) for path, authority in there.items()}

    def signer(self, certificate: Certificate) -> str | None:
        """The key that a certificate was signed with, where it is one of those trusted here."""
        known = (one for path in self.authority_of for one in _certificates(path))
        return next(
            (certificates.key_of(o) for o in known if certificates.is_signed_by(certificate, o)), None
        )

    @cached_property
    def _texts(self) -> dict[Path, str]:
        said = {path: self._said(authority) for path, authority in self.authority_of.items()}
        return {path: text for path, text in said.items() if text}

    def _said(self, authority: str) -> str:
        return said(authority, self.ask(authority), "trusted")


def said(authority: str, word: object, part: str) -> str:
    """A part of the word of a CA, which is certificates; nothing, where it said nothing."""
    text = word.get(part, "") if isinstance(word, Mapping) else None
    if text == "" or (isinstance(text, str) and certificates.in_pem(text)):
        return text
    raise Trouble(f"what {authority} said of its CA in the mine is no certificate; who said it?")


def _ca_file(name: str, cluster: Mapping) -> Path:
    if not cluster.get("ca_file"):
        raise Trouble(f"postgresql:clusters:{name}:ca_file: missing beside ca_server; say where it goes")
    return Path(cluster["ca_file"])


def _difference(path: Path, text: str) -> dict | str | None:
    """Who is trusted newly or no more; or what else is wrong with the file."""
    fault = files.fault(path, text, GUARD)
    if fault not in ("new", "changed"):
        return fault
    before = {certificates.called(one): certificates.ends(one) for one in _certificates(path)}
    now = {certificates.called(one): certificates.ends(one) for one in certificates.in_pem(text)}
    return compared(before, now) or fault


def _certificates(path: Path) -> list[Certificate]:
    return certificates.in_pem(files.read(path)) if path.exists() else []


def _keys(path: Path) -> set[str]:
    return {certificates.key_of(one) for one in _certificates(path)}
