"""An environment with all its nodes: what each sees of pillar, and what is wrong with it."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from itertools import chain

from pgpillar import authors, pillar, review
from pgpillar.model import PRESENT
from pgpillar.shape import Problem, nearest
from pgpillar.tree import ROOT
from pgpillar_cli import complaints, privileged, roles
from pgpillar_cli.compiled import Compiler, View
from pgpillar_cli.findings import NOTICE, WRONG, Finding
from pgpillar_cli.locate import Locator
from pgpillar_cli.place import Environment, Place
from pgpillar_cli.roles import Entry, Node


class Overview:
    """The pillar of every node of an environment, as Salt compiles it."""

    def __init__(
        self, place: Place, environment: Environment, entries: Iterable[Entry], wrong: Iterable[Finding]
    ):
        """``entries`` and ``wrong`` are what ``roles.read`` gives. A wrong file spoils every top file."""
        self.place, self.environment, self.wrong = place, environment, [*wrong]
        self.entries = [] if self.wrong else [*entries]
        self.compiler = Compiler(place, environment)
        self.nodes = roles.examples(self.entries)
        self.views = {one.minion: self.compiler.view(one.minion) for one in self.nodes}
        self.nodes = [*self._cast()]
        names = [one.minion for one in self.nodes]
        self.views = {name: self.views.get(name) or self.compiler.view(name) for name in names}
        self.locators = {name: Locator(place.root, view.sources) for name, view in self.views.items()}
        self.review = review.Environment(map(self._seen, self.nodes), environment.is_secret)

    def _cast(self) -> Iterator[Node]:
        """The nodes. A minion that pillar names to administer is the example of the glob that fits best."""
        names = set().union(*(review.named_admins(view.tree) for view in self.views.values()))
        cast: dict[str, list[Node]] = {}
        for name in sorted(names - self.views.keys()):
            if best := roles.node(self.entries, name):
                cast.setdefault(best.glob, []).append(best)
        for node in self.nodes:
            yield from cast.get(node.glob, [node])

    def _seen(self, one: Node) -> review.Seen:
        view = self.views[one.minion]
        files = {file: _postgresql(source.data) for file, source in view.sources.items()}
        glob = one.glob if one.glob != one.minion else None
        return review.Seen(one.minion, one.roles, view.tree, files, view.whole, glob)

    def findings(self) -> Iterator[Finding]:
        """Everything that is wrong."""
        yield from self.hindrances()
        for finding in chain(self._of_top() if self.nodes else (), self._of_secrets()):
            yield finding._replace(environments=(self.environment.name,))
        yield from self._of_authors()
        for minion in self.review.admins:
            yield from (self._finding(minion, problem) for problem in self._lost_scripts(minion))
        for minion, view in self.views.items():
            yield from (self._finding(minion, problem) for problem in _public_secrets(view))
        for minion, problem, is_fault in self.review.remarks():
            yield self._finding(minion, problem)._replace(level=WRONG if is_fault else NOTICE)

    def hindrances(self) -> Iterator[Finding]:
        """What Salt says of the files, and the core of what each node sees."""
        yield from self.wrong
        for minion, view in self.views.items():
            yield from (self._located(minion, finding) for finding in view.findings)
            yield from (self._finding(minion, problem) for problem in self.review.problems[minion])

    def _of_top(self) -> Iterator[Finding]:
        """What is wrong with the top file beside what it gives to minions."""
        path, top = self.environment.top, self.place.relative(self.environment.top)
        yield from roles.without_minions(self.place, path, self.entries)
        for file in chain(*roles.given(path).values()):
            if not self.compiler.finds(file):
                yield complaints.no_file(str(file), top, path)
        if not any(review.sees_cluster(view.tree) or view.findings for view in self.views.values()):
            yield Finding("no minion sees a cluster", "give the files that declare it to '*'", file=top)

    def _of_secrets(self) -> Iterator[Finding]:
        """What is wrong with files for secrets that are to be encrypted, also with those that nobody sees."""
        root = self.environment.top.parent / review.SECRETS
        for path in sorted(root.rglob("*.sls")) if self.environment.is_secret else ():
            file, view = self.place.relative(path), self.compiler.alone(path)
            locator = Locator(self.place.root, view.sources)
            data = view.sources[file].data if file in view.sources else {}
            clear = (Finding(message, fix, path, file) for path, message, fix in review.in_the_clear(data))
            yield from map(locator.located, chain(view.findings, clear))

    def _of_authors(self) -> Iterator[Finding]:
        """What the files say that it is not for them to say, or that nothing says which may."""
        listed, wrong = privileged.read(self.place)
        yield from wrong
        if not self.review.is_whole or wrong:
            return  # what an unread file declares is not known
        yield from self._unlisted() if listed is None else self._misplaced(listed)

    def _misplaced(self, listed: Iterable[str]) -> Iterator[Finding]:
        for file, problem in authors.Authors(self._files(listed)).problems():
            where = next(name for name, view in self.views.items() if file in view.sources)
            yield self._located(where, Finding(problem.message, problem.fix, problem.path, file))

    def _unlisted(self) -> Iterator[Finding]:
        """Where one file declares all that there is, it has one author, and nothing is to be said."""
        files = {file.name for file in self._files(()) if not file.is_for_secrets and any(file.names())}
        if len(files) > 1:
            message = (
                f"{len(files)} files declare databases, users or groups, and each may take those of another"
            )
            fix = "list there the files of the administrators: docs/howto/pull-request.rst"
            yield Finding(message, fix, file=authors.LIST, level=NOTICE)

    def _files(self, listed: Iterable[str]) -> list[authors.File]:
        """Every file that a node sees. One with Jinja may say something else to each of them."""
        listed, found, top = [*listed], {}, self.place.relative(self.environment.top)
        for view in self.views.values():
            for file, source in view.sources.items():
                data = source.data if isinstance(source.data, Mapping) else {}
                known = file == top or privileged.lists(listed, file), file in view.programs
                found.setdefault((file, source.text), authors.File(file, data, *known))
        return [*found.values()]

    def _lost_scripts(self, minion: str) -> Iterator[Problem]:
        """What databases are to run when they are new, and what is not in the tree of states."""
        for name, database in pillar.entries(self.views[minion].tree, "databases").items():
            address, state = (pillar.peek(database, key) for key in ("bootstrap", "state"))
            if state in (None, PRESENT) and isinstance(address, str) and (fault := self._fault_of(address)):
                yield Problem(str(ROOT / "databases" / name / "bootstrap"), *fault)

    def _fault_of(self, script: str) -> tuple[str, str] | None:
        """Why a script cannot be run, and what would be right."""
        if self.place.leads_out(script):
            return "this leads out of salt/", "put the file below salt/, and name it from there"
        if self.place.lacks(script):
            known = nearest(script, self.place.scripts())
            return "salt/ has no such file", f"add it, or correct its name; {known}"
        return None

    def _finding(self, minion: str, problem: Problem) -> Finding:
        return self._located(minion, Finding(problem.message, problem.fix, problem.path))

    def _located(self, minion: str, finding: Finding) -> Finding:
        return self.locators[minion].located(finding)._replace(environments=(self.environment.name,))


def _public_secrets(view: View) -> Iterator[Problem]:
    for file, source in view.sources.items():
        yield from review.public_secrets_of_states(file, source.data)


def _postgresql(data: object) -> object:
    return data.get("postgresql") if hasattr(data, "get") else None
