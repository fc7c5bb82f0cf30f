"""Who may say what in pillar: a privileged file everything, any other file of its own names alone.

Pillar reaches a minion as one tree, which does not say who wrote what. So files are judged before a merge.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from functools import cached_property
from itertools import chain
from pathlib import PurePosixPath
from typing import NamedTuple

from pgpillar import guc, pillar, review
from pgpillar.shape import Notes, Path, Problem
from pgpillar.tree import ROOT, TREE

LIST = "pillar/privileged.yaml"  # which files are privileged
MOVE = f"move it to a file that {LIST} lists, or list this one"
SECTIONS = "databases", "groups", "pools", "users"  # what a file that is not privileged may speak of
SPACES = {"databases": "database", "pools": "pool", "groups": "role", "users": "role"}  # who shares names
TEMPLATES = "template0", "template1"  # PostgreSQL's own, which hold nothing of anybody's
OF_POSTGRESQL = "postgres"  # the role and the database that every server has

Name = tuple[str, str]  # what is named, as in SPACES, and its name


class File(NamedTuple):
    """A file of pillar: what it says, whether it is privileged, and whether it runs code while it is read."""

    name: str
    data: Mapping
    privileged: bool = False
    is_program: bool = False

    @property
    def is_for_secrets(self) -> bool:
        return review.is_for_secrets(self.name)

    @property
    def role(self) -> str:
        """The role that the file is named after: shop, as of shop.sls and of shop/init.sls."""
        path = PurePosixPath(self.name).with_suffix("")
        return path.parent.name if path.name == "init" else path.name

    @property
    def tree(self) -> object:
        return pillar.peek(self.data, ROOT[0])

    def names(self) -> Iterator[tuple[Name, Path]]:
        """What it speaks of, and where."""
        for section, space in SPACES.items():
            yield from (((space, name), ROOT / section / name) for name in pillar.entries(self.tree, section))


class Use(NamedTuple):
    """A name that a file uses where it may use its own alone, and what would be right."""

    name: Name
    path: Path
    fix: str = "use a name of this file, or " + MOVE


class Authors:
    """The files of an environment, and which of them speaks of what."""

    def __init__(self, files: Iterable[File]):
        self.files = [*files]
        self.speakers: dict[Name, list[File]] = {}
        for file in self.files:
            for name, _ in file.names():
                self.speakers.setdefault(name, []).append(file)

    def problems(self) -> Iterator[tuple[str, Problem]]:
        """What a file says that it may not say, with the file."""
        for file in self.files:
            for judge in _JUDGES if not file.privileged else ():
                yield from ((file.name, problem) for problem in judge(self, file))

    def other(self, file: File, name: Name) -> File | None:
        """A file that has another author, and speaks of this name as well."""
        return next((one for one in self.speakers.get(name, ()) if not _have_one_author(file, one)), None)

    def owns(self, file: File, name: Name) -> bool:
        return any(_have_one_author(file, one) for one in self.speakers.get(name, ()))

    @cached_property
    def reserved(self) -> set[Name]:
        """The role and the database of the server itself, and those by which a cluster is administered."""
        clusters = chain(*(pillar.entries(file.tree, "clusters").values() for file in self.files))
        admins = [pillar.peek(cluster, "admin") for cluster in clusters]
        users = [admin if isinstance(admin, str) else pillar.peek(admin, "user") for admin in admins]
        databases = [pillar.peek(admin, "database") for admin in admins]
        named = {"role": [OF_POSTGRESQL, *users], "database": [OF_POSTGRESQL, *databases]}
        return {(space, name) for space, names in named.items() for name in names if isinstance(name, str)}


def _have_one_author(file: File, other: File) -> bool:
    """Whether two files may speak of one name: a file with itself, and with the passwords of its users."""
    if file.name == other.name:
        return True
    if file.privileged or other.privileged:
        return (other if file.privileged else file).is_for_secrets
    return file.role == other.role and (file.is_for_secrets or other.is_for_secrets)


# What a file that is not privileged may not say


def programs(authors: Authors, file: File) -> Iterator[Problem]:
    if file.is_program:
        message = "only a privileged file may hold Jinja or name a renderer: that code runs on the master"
        yield Problem("", message, f"write plain YAML, or {MOVE}")


def other_roots(authors: Authors, file: File) -> Iterator[Problem]:
    """Salt itself acts on some, such as ``mine_functions``. What is included, whoever sees the file sees."""
    for key in file.data:
        if key != ROOT[0]:
            yield Problem(str(Path((key,))), f"only a privileged file may say more than {ROOT}", MOVE)


def other_sections(authors: Authors, file: File) -> Iterator[Problem]:
    for section in file.tree if isinstance(file.tree, Mapping) else ():
        if section not in SECTIONS and section in TREE.keys:
            yield Problem(str(ROOT / section), "only a privileged file may say this", MOVE)


def more_than_passwords(authors: Authors, file: File) -> Iterator[Problem]:
    """What a role may do is for everybody to see and review; secrets are for few."""
    for path in _beside_passwords(file) if file.is_for_secrets else ():
        yield Problem(str(path), "a secrets file of a role holds passwords alone", "say it in a public file")


def _beside_passwords(file: File) -> Iterator[Path]:
    for section in SECTIONS:
        for name, entry in pillar.entries(file.tree, section).items():
            path = ROOT / section / name
            keys = entry if isinstance(entry, Mapping) else ()
            yield from (path / key for key in keys if key != "password") if section == "users" else [path]


def names_of_others(authors: Authors, file: File) -> Iterator[Problem]:
    for (space, name), path in file.names():
        if other := authors.other(file, (space, name)):
            message = f"{other.name} speaks of the {space} {name!r} as well, and this file may not"
            yield Problem(str(path), message, f"choose another name, leave it to that file, or {MOVE}")
        elif (space, name) in authors.reserved:
            yield _reserved(space, name, path)


def servers_databases(authors: Authors, file: File) -> Iterator[Problem]:
    """A database may have another name on its server than in pillar."""
    for key, entry in _read(file)["databases"].items():
        if ("database", entry["name"]) in authors.reserved:
            yield _reserved("database", entry["name"], ROOT / "databases" / key / "name")


def _reserved(space: str, name: str, path: Path) -> Problem:
    return Problem(str(path), f"the {space} {name!r} is the server's or its admin's", "choose another name")


def uses_of_others(authors: Authors, file: File) -> Iterator[Problem]:
    """A name that no file declares is looked for elsewhere; a template may be on the server all the same."""
    for (space, name), path, fix in _uses(_read(file)):
        known = authors.speakers.get((space, name)) or ([file] if path[-1] == "template" else ())
        if known and not authors.owns(file, (space, name)):
            message = f"the {space} {name!r} is not declared in this file"
            where = f", but in {known[0].name}" if known[0] is not file else ""
            yield Problem(str(path), message + where, fix.format(file=known[0].name))


def _uses(tree: Mapping) -> Iterator[Use]:
    """The names that a file uses for what would take something from whoever has the name."""
    for key, database in tree["databases"].items():
        yield from _of_database(database, ROOT / "databases" / key)
    for section in ("users", "groups"):
        for name, role in tree[section].items():
            yield from _of_role(role, ROOT / section / name)
    for name, pool in tree["pools"].items():
        yield Use(("role", pool["user"]), ROOT / "pools" / name / "user")


def _of_database(database: Mapping, path: Path) -> Iterator[Use]:
    """Scripts run as the owner, and a template is copied. Access is for the database's file to give."""
    yield Use(("role", database["owner"]), path / "owner")
    for name, schema in database["schemas"].items():
        yield Use(("role", schema["owner"]), path / "schemas" / name / "owner")
    if database["template"] not in (None, *TEMPLATES):
        yield Use(("database", database["template"]), path / "template")


def _of_role(role: Mapping, path: Path) -> Iterator[Use]:
    yield from (Use(("role", group), path / "groups") for group in role["groups"])
    yield Use(("role", role["reassign_to"]), path / "reassign_to")
    for database in role["access"]:
        fix = f"let {{file}} give it, in {ROOT / 'databases' / database / 'access'}"
        yield Use(("database", database), path / "access" / database, fix)


def pools_in_the_way(authors: Authors, file: File) -> Iterator[Problem]:
    """Applications find a database by the name of its pool."""
    for name in _read(file)["pools"]:
        if other := authors.other(file, ("database", name)):
            message = f"this is the name of a database, which {other.name} declares"
            yield Problem(str(ROOT / "pools" / name), message, f"choose another name, or {MOVE}")


def powers(authors: Authors, file: File) -> Iterator[Problem]:
    """What goes beyond the databases of the file."""
    for path, role in _entries(file, "users", "groups"):
        for attribute in role.get("attributes", ()):
            yield Problem(str(path / "attributes"), f"only a privileged file may give {attribute!r}", MOVE)
        for group in role["groups"]:
            if group.startswith("pg_"):
                message = f"only a privileged file may make a role a member of {group!r}"
                yield Problem(str(path / "groups"), message, MOVE)


def settings_of_superusers(authors: Authors, file: File) -> Iterator[Problem]:
    """The admin sets what pillar says, also what the role could not set itself."""
    for path, entry in _entries(file, "databases", "users", "groups"):
        for setting in sorted(name for name, _ in entry["settings"] if not guc.is_everybodys(name)):
            message = f"a role could not set {setting!r} itself, so only a privileged file may say it"
            yield Problem(str(path / "settings" / setting), message, MOVE)


def _entries(file: File, *sections: str) -> Iterator[tuple[Path, Mapping]]:
    tree = _read(file)
    for section in sections:
        yield from ((ROOT / section / name, entry) for name, entry in tree[section].items())


def _read(file: File) -> Mapping:
    """What the file says, each entry with all of its keys. Values of a wrong shape are reported elsewhere."""
    notes = Notes(of_a_part=True)
    return TREE.read(file.tree, ROOT, notes) or TREE.read({}, ROOT, notes)


Judge = Callable[[Authors, File], Iterator[Problem]]
_JUDGES: tuple[Judge, ...] = (
    programs,
    other_roots,
    other_sections,
    more_than_passwords,
    names_of_others,
    servers_databases,
    uses_of_others,
    pools_in_the_way,
    powers,
    settings_of_superusers,
)
