"""Pillar as Salt compiles it for a node: what came of it, what each file gave to it, and what Salt said."""

from __future__ import annotations

import copy
import fnmatch
import logging
import re
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from functools import partial
from itertools import chain
from math import inf
from pathlib import Path
from typing import NamedTuple

import salt.config
import salt.loader
import salt.pillar
import yaml
from salt.template import compile_template

from pgpillar import sealed, shape
from pgpillar_cli import complaints
from pgpillar_cli.findings import Finding
from pgpillar_cli.place import Environment, Place

NOWHERE = "/nonexistent/pgpillar"  # Salt's own directories; it needs none
GRAINS = {"kernel": "Linux", "os": "Debian", "os_family": "Debian"}  # what Jinja in pillar may count on
Loader = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
MOST = 1_000_000  # values in a file; 2,000 databases with their users are a tenth of it

GLOB = re.compile(r"[\w.*?\[\]!-]+")  # of ids, as a target in a top file
JINJA = re.compile(r"\{[{%#]")
DATA = (
    "jinja",
    "yaml",
    "gpg",
)  # the renderers that run no code of a file's; of jinja, each text is looked at
PLAIN = ("jinja", "yaml")  # the renderers that encrypt nothing, and decrypt nothing

LOADED: dict[str | None, object] = {}  # what stands in a text of YAML


class Source(NamedTuple):
    """A file that Salt read: the YAML that Jinja left of it, and what that says."""

    file: str
    text: str
    data: object


class View(NamedTuple):
    """What a node sees of pillar, and what is wrong with that."""

    minion: str
    tree: object  # what stands under ``postgresql``
    sources: Mapping[str, Source]
    findings: list[Finding]
    whole: bool  # whether every file could be read
    programs: frozenset[str]  # the files that ran code while they were read


class Compiler:
    """Compiles the pillar of one environment, for as many nodes as are asked for."""

    def __init__(self, place: Place, environment: Environment):
        self.place, self.environment = place, environment
        with quietly():
            self.pillar = _Pillar(self._options(), {**GRAINS}, "", "base")

    def view(self, minion: str) -> View:
        """The pillar of a node. It may be wrong in any way: that is told among the findings."""
        return self._view(minion, self.pillar.compile_pillar)

    def alone(self, file: Path) -> View:
        """What one file says, whoever sees it."""
        return self._view("", partial(self.pillar.compile_file, str(file)))

    def _view(self, minion: str, compile_pillar: Callable[[], Mapping]) -> View:
        witness = Witness(self.place)
        with quietly():
            try:
                self.pillar.turn_to(minion, witness)
                compiled = compile_pillar()
            except Exception as error:  # Salt expects more of a top file than it checks
                compiled = {"_errors": [f"{type(error).__name__}: {error}"]}
        top = self.place.relative(self.environment.top)
        files = {file: self.place.root / file for file in witness.sources}
        errors = compiled.get("_errors", ())
        tree = witness.still_encrypted(compiled.get("postgresql", {}))
        findings = witness.findings + complaints.of_salt(errors, top, files)
        whole = witness.whole and not errors
        return View(minion, tree, witness.sources, findings, whole, frozenset(witness.programs))

    def finds(self, sls: object) -> bool:
        """Whether there is a file of this name, or one that this glob takes."""
        return isinstance(sls, str) and bool(fnmatch.filter(self.pillar.avail["base"], sls))

    def _options(self) -> dict:
        return salt.config.apply_master_config(
            {
                "root_dir": NOWHERE,
                "file_client": "local",
                "pillar_roots": {"base": self.environment.roots},
                "pillar_safe_render_error": False,
            }
        )


@contextmanager
def quietly() -> Iterator[None]:
    """Salt logs whole files where they cannot be rendered, and these hold secrets."""
    logging.disable(logging.CRITICAL)
    try:
        yield
    finally:
        logging.disable(logging.NOTSET)


class _Pillar(salt.pillar.Pillar):
    """Salt's own, with a witness of its renderers, and for one node after the other.

    To make one for each node would take five times as long: what Salt can load is looked for each time.
    """

    def turn_to(self, minion: str, witness: Witness) -> None:
        self.minion_id, self.pillar_data, self.ignored_pillars = minion, {}, {}
        self.opts |= {"id": minion, "minion_id": minion, "grains": {**GRAINS, "id": minion}}
        self.functions.opts["grains"] = self.functions.pack["__grains__"] = self.opts["grains"]
        self.functions.pack["__pillar__"] = self.pillar_data
        self.matchers = salt.loader.matchers(self.opts, pillar=self.pillar_data)
        everything = (self.opts, self.functions, self.client)
        renderers = salt.loader.render(*everything, file_client=self.client, pillar=self.pillar_data)
        self.rend = witness.of(renderers)

    def top_matches(self, top, reload=False):
        """Salt's own, of the targets that may mean this node. Salt takes long for each of the others."""
        fitting = {
            saltenv: {target: files for target, files in targets.items() if self._may_fit(str(target), files)}
            for saltenv, targets in top.items()
        }
        return super().top_matches(fitting, reload)

    def _may_fit(self, target: str, files: list) -> bool:
        is_glob = GLOB.fullmatch(target) and not any(isinstance(file, dict) for file in files)
        return not is_glob or fnmatch.fnmatchcase(self.minion_id, target)

    def compile_file(self, file: str) -> Mapping:
        self.rend.begin(file)
        options = (self.opts[key] for key in ("renderer", "renderer_blacklist", "renderer_whitelist"))
        try:
            return compile_template(file, self.rend, *options, sls=file, _pillar_rend=True)
        except Exception as error:
            return {"_errors": [f"Rendering SLS '{file}' failed: {error}"]}

    def render_pstate(self, sls, saltenv, mods, defaults=None):
        self.rend.begin(self.client.get_state(sls, saltenv).get("dest"))
        return super().render_pstate(sls, saltenv, mods, defaults)


class Witness:
    """Looks on while Salt renders: notes what each file gave, and what is wrong in which line of it."""

    def __init__(self, place: Place):
        self.place = place
        self.sources: dict[str, Source] = {}
        self.findings: list[Finding] = []
        self.file, self.whole = "", True
        self.unsure: set[str] = set()  # the files that may hold what is still encrypted
        self.programs: set[str] = set()  # the files with Jinja, or of a renderer that runs code

    def of(self, renderers: Mapping) -> Witness:
        self.renderers = renderers
        return self

    def begin(self, file: str | None) -> None:
        """The next renderer that is asked for is this file's."""
        self.file = self.place.relative(file) if file else ""
        if file and not _is_text(Path(file).read_bytes()):
            self._unread(complaints.no_text(self.file))

    def __contains__(self, name: str) -> bool:
        return name in self.renderers

    def __getitem__(self, name: str) -> Callable:
        if name not in self.renderers:
            self._unread(complaints.no_renderer(name, self.renderers, self.file))
        if name not in DATA:
            self.programs.add(self.file)
        ours = {"gpg": self._seal, "yaml": self._load, "jinja": self._fill}
        render = ours.get(name) or self.renderers[name]

        def rendered(data, *args, tmplpath, **more):
            file = self.place.relative(tmplpath)
            text = _text(data)
            try:
                made = render(data, *args, tmplpath=tmplpath, **more)
            except (Exception, SystemExit) as error:  # one in Python may exit
                self.findings.append(complaints.of_renderer(error, file))
                raise complaints.Told from None
            self._suspect(name, file, text)
            if name == "yaml" and (fault := _misshapen(made, file, is_top=not args[1])):
                self._unread(fault)
                self._note(file, text, made)
                made = {}
            if isinstance(made, Mapping):
                self._note(file, text, made)
            return made

        return rendered

    def _fill(self, data, *args, **more):
        """A text without Jinja is the same for every node, and so is not looked at for each."""
        text = _text(data)
        if text is not None and not JINJA.search(text):
            return text
        self.programs.add(self.file)
        return self.renderers["jinja"](data, *args, **more)

    def _load(self, data, *args, **more):
        """A text is read once, however many nodes see it. Salt takes ``include`` out of it, and no more."""
        text = _text(data)
        if text not in LOADED:
            _refuse_masses(text)
            LOADED[text] = _plain(self.renderers["yaml"](data, *args, **more))
        return dict(LOADED[text]) if isinstance(LOADED[text], Mapping) else LOADED[text]

    def _seal(self, data, *args, tmplpath, **more):
        """Nothing is decrypted: what is told is to be the same for all, and few have the key."""
        file = self.place.relative(tmplpath)
        if _text(data) is not None:
            self._unread(complaints.sealed_as_a_whole(file))
            return ""
        return sealed.seal(data, shape.Path(), partial(self._look_at, file))

    def _suspect(self, renderer: str, file: str, text: str | None) -> None:
        if renderer == "gpg":
            self.unsure.discard(file)
        elif renderer not in PLAIN or sealed.BEGIN in (text or ""):
            self.unsure.add(file)

    def _unread(self, finding: Finding) -> None:
        """Salt goes on as if the file were empty."""
        self.findings.append(finding)
        self.whole = False

    def _look_at(self, file: str, path: shape.Path, value: str) -> None:
        if fault := sealed.fault_of(value):
            self.findings.append(Finding(fault, "encrypt the value again", str(path), file))

    def still_encrypted(self, tree: object) -> object:
        """The tree without values that no renderer would decrypt, which are told."""

        def tell(path: shape.Path, value: str) -> None:
            message, fix = "nothing decrypts this value", "begin its file with #!yaml|gpg"
            self.findings.append(Finding(message, fix, str(path)))

        return sealed.seal(tree, shape.Path(("postgresql",)), tell) if self.unsure else tree

    def _note(self, file: str, text: str | None, data: object) -> None:
        """Text in, data out: that is the step whose lines tell where a value stands."""
        if text is None:
            text = self.sources[file].text
        kept = dict(data) if isinstance(data, Mapping) else data  # for Salt takes ``include`` out of it
        self.sources[file] = Source(file, text, kept)


def _plain(data: object) -> object:
    """The same in mappings that all nodes share."""
    if isinstance(data, Mapping):
        return Shared((key, _plain(value)) for key, value in data.items())
    return [*map(_plain, data)] if isinstance(data, list) else data


class Shared(dict):
    """A mapping that many nodes see. Salt copies the whole for each of them, to merge a bit into it."""

    def __deepcopy__(self, memo: dict) -> Draft:
        return Draft(self)


class Draft(Shared):
    """Such a copy. What it holds is copied no sooner than Salt asks for it, to merge into that."""

    def get(self, key, default=None):
        value = super().get(key, default)
        if type(value) is Shared:
            self[key] = value = Draft(value)
        return value

    def __deepcopy__(self, memo: dict) -> Draft:
        drafts = {key: copy.deepcopy(value) for key, value in self.items() if type(value) is Draft}
        return Draft({**self, **drafts})


def _misshapen(made: object, file: str, is_top: bool) -> Finding | None:
    """Why the data of a file cannot be used. Salt would go on with nothing, or with each letter of a text."""
    if not isinstance(made, Mapping):
        return complaints.no_mapping(file)
    if is_top:
        targets = [pair for one in made.values() if isinstance(one, Mapping) for pair in one.items()]
        wrong = [target for target, files in targets if not isinstance(files, list)]
        return complaints.no_list(wrong[0], file) if wrong else None
    if not isinstance(made.get("postgresql", {}), Mapping | None):
        return complaints.no_mapping(file, "postgresql")
    return None


def _refuse_masses(text: str) -> None:
    """Aliases may stand for so many values that Salt would never be done with them."""
    if "*" in text and _size(yaml.compose(text, Loader=Loader), {}) > MOST:
        raise yaml.composer.ComposerError(problem="too many aliases")


def _size(node: yaml.Node, known: dict[int, float]) -> float:
    """How many values there are, with those of an alias wherever it stands."""
    if not isinstance(node, yaml.CollectionNode):
        return 1
    if id(node) not in known:
        known[id(node)] = inf  # of what stands in itself
        items = chain.from_iterable(node.value) if isinstance(node, yaml.MappingNode) else node.value
        known[id(node)] = 1 + sum(_size(item, known) for item in items)
    return known[id(node)]


def _is_text(data: bytes) -> bool:
    try:
        return data.decode() is not None
    except UnicodeDecodeError:
        return False


def _text(data) -> str | None:
    """What a renderer is given, where that is text. Reading it must not use it up."""
    if hasattr(data, "getvalue"):
        return data.getvalue()
    return data if isinstance(data, str) else None
