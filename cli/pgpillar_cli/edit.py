"""Changes to files of a place, held back until what comes of them is known to be right."""

from __future__ import annotations

import io
import os
import shutil
import tempfile
from collections.abc import Iterable, Mapping
from pathlib import Path

import yaml
from ruamel.yaml import YAML
from ruamel.yaml.comments import CommentedMap, CommentedSeq
from ruamel.yaml.error import YAMLError
from ruamel.yaml.scalarstring import LiteralScalarString, SingleQuotedScalarString
from ruamel.yaml.util import load_yaml_guess_indent

from pgpillar_cli import check, findings
from pgpillar_cli.findings import WRONG, Finding
from pgpillar_cli.place import Place


class EditError(Exception):
    """Nothing was edited."""


class Refused(EditError):
    """What would come of it is wrong."""

    def __init__(self, findings: Iterable[Finding], remedies: Mapping[str, str]):
        told = [
            f"- {one.path or one.file}: {one.message}; {remedies.get(one.path, one.fix)}" for one in findings
        ]
        once = dict.fromkeys(told)
        super().__init__("\n".join(["this would make pillar wrong, so nothing was written:", *once]))


class Edit:
    """``mapping`` gives what is to be changed, ``note`` says why; then ``write`` does all of it, or none."""

    def __init__(self, place: Place):
        self.place = place
        self.notes: dict[str, list[str]] = {}
        self.remedies: dict[str, str] = {}  # by path, what the person may type in place of an edit
        self._files: dict[str, File] = {}

    def file(self, name: str) -> File:
        if name not in self._files:
            self._files[name] = File(self.place.root, name)
        return self._files[name]

    def mapping(self, name: str, *keys: str) -> CommentedMap:
        """The mapping at a place in a file. It is made where it is missing."""
        return self.file(name).mapping(*keys)

    def note(self, name: str, what: str) -> None:
        self.notes.setdefault(name, []).append(what)

    def write(self) -> None:
        texts = {name: self._files[name].text() for name in self.notes}
        before, after = self._findings({}), self._findings(texts)
        if wrong := after - before:
            raise Refused(findings.merged(wrong), self.remedies)
        _replace({(self.place.root / name).resolve(): text for name, text in texts.items()})

    def _findings(self, texts: dict[str, str]) -> set[Finding]:
        """What is wrong with a copy of the place that has these files. Lines are left out, for they move."""
        with tempfile.TemporaryDirectory(prefix="pgpillar-") as directory:
            copy = Place(Path(directory))
            shutil.copytree(self.place.root / "pillar", copy.root / "pillar", ignore_dangling_symlinks=True)
            for name, text in texts.items():
                _write(copy.root / name, text)
            found = check.in_all(copy, copy.environments())
            return {one._replace(line=None) for one in findings.merged(found) if one.level == WRONG}


class File:
    """A YAML file that keeps its comments, its order and its style."""

    def __init__(self, root: Path, name: str):
        self.name, self.path, self.head = name, root / name, ""
        self.dumper = YAML()
        self.dumper.preserve_quotes, self.dumper.width = True, 10_000
        self.data = self._read() if self.path.is_file() else CommentedMap()

    def _read(self) -> CommentedMap:
        try:
            text = self.path.read_text()
            data, _, offset = load_yaml_guess_indent(text, yaml=self.dumper)
        except (YAMLError, UnicodeDecodeError):
            raise EditError(f"{self.name} is no YAML by itself (Jinja perhaps); edit it by hand") from None
        offset = 2 if offset is None else offset
        self.dumper.indent(mapping=_indent(data), sequence=2 + offset, offset=offset)
        if data is None:
            data, self.head = CommentedMap(), text
        return data if isinstance(data, CommentedMap) else self._no_mapping()

    def _no_mapping(self, *keys: str):
        where = ":".join((self.name, *keys))
        raise EditError(f"{where} is no mapping; edit it by hand")

    @property
    def is_new(self) -> bool:
        return not self.path.exists()

    def mapping(self, *keys: str) -> CommentedMap:
        inner = self.data
        for key in keys:
            if inner.get(key) is None:
                inner[key] = CommentedMap()
            inner = inner[key]
            if not isinstance(inner, CommentedMap):
                self._no_mapping(*keys)
        if not inner:
            inner.fa.set_block_style()
        return inner

    def begin_with(self, shebang: str) -> None:
        """See that a new file begins so. One that is there must end with the same renderer already."""
        *_, last = shebang.split("|")
        if self.is_new:
            self.head = shebang
        elif not self.path.read_text().partition("\n")[0].endswith(f"|{last.strip()}"):
            fix = f"begin it with {shebang.strip()}, encrypt what is in it, and try again"
            raise EditError(f"{self.name} would hold an encrypted password that nothing decrypts; {fix}")

    def text(self) -> str:
        stream = io.StringIO()
        self.dumper.dump(self.data, stream)
        return self.head + stream.getvalue()


def _indent(data: object) -> int:
    """How much deeper than its key a mapping stands in a file."""
    values = data.values() if isinstance(data, CommentedMap) else ()
    within = [
        value for value in values if isinstance(value, CommentedMap) and value and not value.fa.flow_style()
    ]
    return within[0].lc.col - data.lc.col if within else 2


def text(value: str) -> str:
    """A text that Salt will read as this text, whatever it looks like."""
    if "\n" in value:
        return LiteralScalarString(value)
    return value if _is_plain(value) else SingleQuotedScalarString(value)


def _is_plain(value: str) -> bool:
    try:
        return yaml.safe_load(value) == value
    except yaml.YAMLError:
        return False


def flow(value: dict | list) -> CommentedMap | CommentedSeq:
    """A mapping or a list in one line."""
    made = CommentedMap(value) if isinstance(value, dict) else CommentedSeq(value)
    made.fa.set_flow_style()
    return made


def _write(path: Path, text: str) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)


def _replace(texts: dict[Path, str]) -> None:
    """Write all of the files, or none: each is ready beside its place before the first one moves there."""
    ready = {path: path.with_name(f".{path.name}.new") for path in texts}
    before = {path: path.read_text() for path in texts if path.is_file()}
    replaced = []
    try:
        for path, new in ready.items():
            _write(new, texts[path])
            if path in before:
                shutil.copymode(path, new)
        for path, new in ready.items():
            os.replace(new, path)
            replaced.append(path)
    except OSError:
        _restore(replaced, before)
        raise
    finally:
        for new in ready.values():
            new.unlink(missing_ok=True)


def _restore(replaced: list[Path], before: dict[Path, str]) -> None:
    for path in replaced:
        path.write_text(before[path]) if path in before else path.unlink()
