"""What is wrong with the pillar of an environment as a whole: with what its nodes see, one beside the other.

What a node's pillar says by itself is judged where it is read, in ``pillar`` and ``node``.
"""

from __future__ import annotations

import re
from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Iterator, Mapping
from functools import cache, cached_property
from itertools import chain
from pathlib import PurePosixPath
from typing import NamedTuple

from zxcvbn import zxcvbn

from pgpillar import node, pgbouncer, pillar, scram, server
from pgpillar.model import PRESENT, Secret
from pgpillar.node import Node
from pgpillar.pillar import Declared, PillarError
from pgpillar.sealed import Sealed, seal
from pgpillar.shape import EACH, MAX_NAME, Notes, Path, Problem, nearest
from pgpillar.tree import ROOT, TREE

SECRETS = "secrets"  # all passwords stand in files below a directory of this name
OF_STATES = (Path(("consul", "key")),)  # the secrets below other roots that our own states read
EACH_OF = "each of "  # before a glob
USERS = "postgresql-users"  # there, each role has a file in this one
EVERYBODY = "all"  # and this file is for the minion that administers

ANY_MEMORY = 1024  # megabytes; what is wrong with a server's pillar does not hang on it
SHORTEST = 12  # characters of a password
WEIGHED = 12, 24, 72  # so many of them: the few are faster, and mostly enough
EVERYWHERE = "postgres", "pgpillar"  # names that anybody may guess
STRONG = 4  # of 4: guessed in no fewer than ten thousand million attempts
NAMES_SECRET = re.compile(
    r"(?i)(pass(word|wd|phrase)?|pwd|secret|token|credential|(api|private|access).?key|^key)s?$"
)
WHO_USES = re.compile(f"{ROOT}:(databases|groups)")


class Seen(NamedTuple):
    """What a node sees of pillar, the part that each file gave, and the roles that it is meant to have."""

    minion: str
    roles: tuple[str, ...]
    tree: object
    files: Mapping[str, object]
    is_whole: bool = True  # every file could be read
    glob: str | None = None  # which minions it stands for, where it is the example of several

    @property
    def label(self) -> str:
        return EACH_OF + self.glob if self.glob else self.minion


class Remark(NamedTuple):
    """A problem, and the node in whose pillar it stands. What is no fault is only to be known."""

    minion: str
    problem: Problem
    is_fault: bool = True


class Environment:
    """The nodes of an environment, and what can be read of what each sees."""

    def __init__(self, seen: Iterable[Seen], is_secret: bool):
        """``is_secret``: its passwords are to be encrypted."""
        self.seen, self.is_secret = [*seen], is_secret
        self.roles = sorted({role for one in self.seen for role in one.roles})
        self.minions = sorted(one.minion for one in self.seen)
        self.admins = self._admins()
        self.common: dict = {}  # most of pillar is the same for all
        self.clusters: dict[str, Declared] = {}
        self.nodes: dict[str, Node] = {}
        self.problems = {one.minion: self._problems(one) for one in self.seen}

    def _admins(self) -> set[str]:
        """Who administers; where pillar names none, the node that sees the most passwords."""
        named = {
            one.minion for one in self.seen if one.minion in named_admins(one.tree) or pillar.served(one.tree)
        }
        most = sorted(self.seen, key=lambda one: -len([*_passwords(one.tree)]))[:1]
        return named or {one.minion for one in most}

    @property
    def is_whole(self) -> bool:
        return all(one.is_whole for one in self.seen)

    def names(self, section: str) -> list[str]:
        """What a section holds, on any node."""
        return sorted({name for one in self.seen for name in pillar.entries(one.tree, section)})

    @cached_property
    def pool_sizes(self) -> Mapping[tuple[str, str], Mapping[str, int]]:
        """By cluster and target, how many connections the pools of each node may hold."""
        found: dict = defaultdict(lambda: defaultdict(int))
        for minion, read in self.nodes.items():
            default = read.settings.get("default_pool_size", pgbouncer.DEFAULTS["default_pool_size"])
            for pool in read.pools.values():
                found[pool.cluster, pool.target][minion] += pool.size or int(default)
        return found

    def _problems(self, one: Seen) -> list[Problem]:
        """What is wrong with what a node administers, has pools of, serves, or signs for.

        Where a file could not be read, what others say of it proves nothing; so they are looked at alone.
        """
        if not one.is_whole:
            return pillar.problems_of_a_part(one.tree, self.common)
        found: set[Problem] = set()
        for read in self._readers(one):
            try:
                read(one)
            except PillarError as error:
                found.update(error.problems)
        return sorted(found)

    def _readers(self, one: Seen) -> Iterator[Callable[[Seen], object]]:
        """What reads on this node what it is given; each finds its own faults."""
        yield self._read_clusters if one.minion in self.admins else self._read_pools
        if pillar.served(one.tree):
            yield lambda one: server.read(one.tree, ANY_MEMORY)
        if pillar.peek(one.tree, "authorities") is not None:
            yield lambda one: pillar.authorities(one.tree)

    def _read_clusters(self, one: Seen) -> None:
        declared = pillar.read(one.tree, self.common)
        self.clusters |= {name: declared[name] for name in pillar.administered(one.tree, one.minion)}

    def _read_pools(self, one: Seen) -> None:
        self.nodes[one.minion] = node.read(one.tree, self.common)

    def tells_who_uses(self, one: Seen) -> bool:
        """Whether all that could be said of who may use what has been read."""
        return one.is_whole and not any(WHO_USES.match(problem.path) for problem in self.problems[one.minion])

    def _readable(self, tree: object) -> Mapping:
        return TREE.read(tree, ROOT, Notes(common=self.common)) or TREE.read({}, ROOT, Notes())

    def remarks(self) -> Iterator[Remark]:
        """What else is to be said, node by node."""
        for one in self.seen:
            judges = _OF_ALL | (_OF_ADMINS if one.minion in self.admins else _OF_OTHERS)
            tree = self._readable(one.tree)
            for judge, is_fault in judges.items():
                yield from (Remark(one.minion, problem, is_fault) for problem in judge(self, one, tree))


class Held(NamedTuple):
    """A secret, where it stands, and what it is."""

    path: Path
    what: str
    secret: Secret


def sees_cluster(tree: object) -> bool:
    return bool(pillar.entries(tree, "clusters"))


def named_admins(tree: object) -> set[str]:
    """The minions that pillar names to administer a cluster."""
    return {minion for named in pillar.named_minions(tree).values() for minion in named}


def _secrets(tree: object) -> Iterator[Held]:
    """Those of a tree, or of a part of one, whatever else is wrong with it: wherever its shape has one."""
    for pattern in TREE.secrets():
        for path, value in _matching(tree, pattern, ROOT):
            if value and isinstance(value, str):
                yield Held(path, _told(*path[1:]), Secret(value))


def _passwords(tree: object) -> Iterator[Held]:
    """Those of people and programs. Other secrets are made elsewhere, and nodes may share them."""
    return (held for held in _secrets(tree) if held.path[-1] == "password")


def _matching(value: object, pattern: Path, path: Path) -> Iterator[tuple[Path, object]]:
    if not pattern or not isinstance(value, Mapping):
        yield from [] if pattern else [(path, value)]
        return
    key, *rest = pattern
    for name, item in value.items():
        if isinstance(name, str) and key in (EACH, name):
            yield from _matching(item, rest, path / name)


def _told(section: str, name: object, *within: str) -> str:
    """Whose a secret is, as in: the password of the admin of cluster 'main'."""
    return " of ".join([*(f"the {key}" for key in reversed(within)), f"{section.removesuffix('s')} {name!r}"])


# Names, and what is said in more than one file


def colliding_names(environment: Environment, one: Seen, tree: Mapping) -> Iterator[Problem]:
    """Names that differ only in what PostgreSQL cuts off."""
    for sections in (("databases",), ("users", "groups")):
        alike = defaultdict(set)
        for path in (
            ROOT / section / name for section in sections for name in pillar.entries(one.tree, section)
        ):
            alike[path[-1].encode("utf-8", "surrogatepass")[:MAX_NAME]].add(path)
        for first, *others in (sorted(paths, key=str) for paths in alike.values() if len(paths) > 1):
            for path in others if others[0][-1] != first[-1] else ():
                message = f"to PostgreSQL, which cuts names at {MAX_NAME} bytes, this is the name of {first}"
                yield Problem(str(path), message, "let the two differ before that")


def said_twice(environment: Environment, one: Seen, tree: Mapping) -> Iterator[Problem]:
    """What stands in two files. Salt takes what it reads last, without a word."""
    secret = {held.path for held in _secrets(one.tree)}
    for path, values in _in_several(one.files, ROOT):
        if path in secret or _differ(values.values()):
            message = f"this stands in {' and in '.join(values)}, and Salt takes one of them"
            yield Problem(str(path), message, "keep it in one file")


def _in_several(given: Mapping[str, object], path: Path) -> Iterator[tuple[Path, Mapping[str, object]]]:
    """What stands in more than one file: where, and in each of these."""
    branches = {file: value for file, value in given.items() if isinstance(value, Mapping)}
    leaves = {file: value for file, value in given.items() if value and file not in branches}
    if len(leaves) > 1:
        yield path, leaves
    for key, count in Counter(chain(*branches.values())).items():
        if count > 1:
            within = {file: branch[key] for file, branch in branches.items() if key in branch}
            yield from _in_several(within, path / key)


def _differ(values: Iterable[object]) -> bool:
    first, *others = values
    return any(value != first for value in others)


def pools_twice(environment: Environment, one: Seen, tree: Mapping) -> Iterator[Problem]:
    for name in tree["pools"]:
        files = [file for file, given in one.files.items() if name in pillar.entries(given, "pools")]
        if len(files) > 1:
            message = f"there are two pools of this name, in {' and in '.join(files)}"
            yield Problem(str(ROOT / "pools" / name), message, "give one another name")


def lost_pools(environment: Environment, one: Seen, tree: Mapping) -> Iterator[Problem]:
    """Pools that no node has, since the database or the user is nowhere. A node skips what is of others."""
    users, databases = environment.names("users"), pillar.entries(one.tree, "databases")
    for name, pool in tree["pools"].items() if environment.is_whole else ():
        path = ROOT / "pools" / name
        if pool["user"] and pool["user"] not in users:
            message = f"there is no user {pool['user']!r}"
            yield Problem(str(path / "user"), message, nearest(pool["user"], users))
        if pool["database"] and pool["database"] not in databases:
            message = f"there is no database {pool['database']!r}"
            yield Problem(str(path / "database"), message, nearest(pool["database"], databases))


# Passwords


def bad_passwords(environment: Environment, one: Seen, tree: Mapping) -> Iterator[Problem]:
    first: dict[Secret, str] = {}
    for path, what, secret in _passwords(one.tree):
        if secret in first:
            yield Problem(str(path), f"this is {first[secret]} as well", "give each its own")
        elif fault := weakness(secret.reveal(), path[-2], path[2]):
            yield Problem(str(path), f"the password {fault}", "make a random one")
        first.setdefault(secret, what)


def weakness(password: str, *names: str) -> str | None:
    """Why a password would be guessed, as far as that can be told, also by one who knows these names."""
    if isinstance(password, Sealed) or scram.is_verifier(password):
        return None
    if len(password) < SHORTEST:
        return f"is shorter than {SHORTEST} characters"
    known = "|".join(re.escape(name) for name in (*names, *EVERYWHERE) if len(name) > 2)
    rest = re.sub(f"(?i){known}", "", password)
    is_strong = any(_score(rest[:length]) >= STRONG for length in WEIGHED)
    return None if is_strong else "would soon be guessed"


@cache
def _score(text: str) -> int:
    return zxcvbn(text)["score"] if text else 0


def clear_secrets(environment: Environment, one: Seen, tree: Mapping) -> Iterator[Problem]:
    for path, what, secret in _secrets(one.tree) if environment.is_secret else ():
        if not isinstance(secret.reveal(), Sealed):
            yield _clear(path, what)


def in_the_clear(data: object) -> Iterator[Problem]:
    """What is not encrypted in a file for secrets, whether a minion sees that file or not."""
    data = seal(data, Path(), lambda path, value: None)
    for path, what, secret in _secrets(pillar.peek(data, ROOT[0])):
        if not isinstance(secret.reveal(), Sealed):
            yield _clear(path, what)
    for path, text in _texts(data, Path()):
        if path[0] != ROOT[0] and any(NAMES_SECRET.search(str(key)) for key in path) and text:
            yield _clear(path, "a secret")


def _texts(value: object, path: Path) -> Iterator[tuple[Path, str]]:
    items = (
        value.items() if isinstance(value, Mapping) else enumerate(value) if isinstance(value, list) else ()
    )
    for key, item in items:
        yield from _texts(item, path / key)
    if isinstance(value, str) and not isinstance(value, Sealed):
        yield path, value


def _clear(path: Path, what: str) -> Problem:
    return Problem(str(path), f"{what} stands here in the clear", "make a new one, and encrypt it")


def public_secrets(environment: Environment, one: Seen, tree: Mapping) -> Iterator[Problem]:
    for file, given in one.files.items():
        for path, what, _ in _secrets(given) if not is_for_secrets(file) else ():
            message = f"{what} stands in {file}, which is not for secrets"
            yield Problem(str(path), message, f"make a new one, in a file below {SECRETS}/")


def public_secrets_of_states(file: str, data: object) -> Iterator[Problem]:
    """The secrets in a public file that stand beside ``postgresql``."""
    held = [path for known in OF_STATES for path, value in _matching(data, known, Path()) if value]
    for path in held if not is_for_secrets(file) else ():
        message = f"a secret stands in {file}, which is not for secrets"
        yield Problem(str(path), message, f"make a new one, in a file below {SECRETS}/")


def is_for_secrets(file: str) -> bool:
    return SECRETS in PurePosixPath(file).parts


def _role_of(file: str) -> str | None:
    """The role whose secrets a file is for."""
    path = PurePosixPath(file).with_suffix("")
    path = path.parent if path.name == "init" else path
    return path.name if path.parent.name == USERS else None


# Who sees what


def secrets_of_others(environment: Environment, one: Seen, tree: Mapping) -> Iterator[Problem]:
    roles = " but ".join(filter(None, ["no role", " and ".join(map(repr, one.roles))]))
    for file, given in one.files.items():
        passwords = [*_passwords(given)] if is_for_secrets(file) else ()
        if passwords and _role_of(file) not in one.roles:
            message = f"{one.minion} would see {passwords[0].what}, and has {roles}"
            fix = f"take {file} out of what top.sls gives it, and out of what the files there include"
            yield Problem(str(passwords[0].path), message, fix)


def idle_users(environment: Environment, one: Seen, tree: Mapping) -> Iterator[Problem]:
    used = {role for entry in tree["databases"].values() for role in _mentioned(entry)}
    for name, entry in tree["users"].items() if environment.tells_who_uses(one) else ():
        path, has_any = str(ROOT / "users" / name), entry["access"] or entry["groups"] or entry["attributes"]
        if entry["password"] and entry["state"] != PRESENT:
            yield Problem(path, f"{name!r} is to be absent, and still has a secret", "take the secret out")
        elif entry["password"] and name not in used and not has_any:
            message = f"nobody uses the secret of {name!r}, who may use no database"
            yield Problem(path, message, "give it access to one, or take its secret out")


def _mentioned(database: Mapping) -> set[str | None]:
    schemas = database["schemas"].values()
    owners = {database["owner"], *(schema["owner"] for schema in schemas)}
    return owners.union(database["access"], *(schema["access"] for schema in schemas))


def idle_files(environment: Environment, one: Seen, tree: Mapping) -> Iterator[Problem]:
    for file, given in one.files.items():
        role = _role_of(file)
        users = [*pillar.entries(given, "users")]
        if users and role not in {None, EVERYBODY, *environment.roles}:
            message = f"no minion has the role {role!r}, whose secrets this file holds"
            fix = f"give it to one in roles.yaml, or rename the file; {nearest(role, environment.roles)}"
            yield Problem(str(ROOT / "users" / users[0]), message, fix)


# Clusters


def weak_tls(environment: Environment, one: Seen, tree: Mapping) -> Iterator[Problem]:
    """A weak mode without a reason is a fault, and told where pillar is read."""
    for name, entry in tree["clusters"].items():
        if entry["sslmode"] != "verify-full" and entry["sslmode_reason"]:
            message = f"{entry['sslmode']} does not verify who the server is ({entry['sslmode_reason']})"
            yield Problem(str(ROOT / "clusters" / name / "sslmode"), message, "use verify-full when you can")


def missing_admins(environment: Environment, one: Seen, tree: Mapping) -> Iterator[Problem]:
    for cluster, named in pillar.named_minions(one.tree).items():
        seeing = [
            other.minion for other in environment.seen if cluster in pillar.entries(other.tree, "clusters")
        ]
        path = ROOT / "clusters" / cluster / "admin"
        if not named and len(seeing) > 1:
            message = f"{len(seeing)} minions see it, and nothing says which administers it"
            yield Problem(str(path), message, "name one in admin:minion")
        for minion in named:
            if minion not in environment.minions:
                known = nearest(minion, environment.minions)
                yield Problem(str(path / "minion"), f"roles.yaml has no minion {minion!r}", known)
            elif minion not in seeing:
                message = f"{minion!r} is to administer this cluster, and does not see it"
                yield Problem(str(path / "minion"), message, "give the files that declare it to '*'")


def crowded_clusters(environment: Environment, one: Seen, tree: Mapping) -> Iterator[Problem]:
    """Where all pools are full. A glob of roles.yaml counts as one node, however many it may mean."""
    labels = {other.minion: other.label for other in environment.seen}
    for (cluster, target), sizes in environment.pool_sizes.items():
        most = tree["clusters"].get(cluster, {}).get("max_connections")
        if most and sum(sizes.values()) > most:
            total, told = sum(sizes.values()), _largest({labels[name]: size for name, size in sizes.items()})
            message = f"the pools of its {target} may hold {total} connections ({told})"
            path = ROOT / "clusters" / cluster / "max_connections"
            yield Problem(str(path), message, f"let them be {most} at most, by size or default_pool_size")


def _largest(sizes: Mapping[str, int], most: int = 5) -> str:
    """Those that matter, and whether a glob is among them all, of which nobody knows how many it means."""
    told = [f"{name}: {size}" for name, size in sorted(sizes.items(), key=lambda one: (-one[1], one[0]))]
    more = [f"and {len(told) - most} more"] if len(told) > most else []
    reckoned = (
        "; one minion is reckoned for each glob" if any(name.startswith(EACH_OF) for name in sizes) else ""
    )
    return ", ".join(told[:most] + more) + reckoned


_OF_ALL = {
    colliding_names: True,
    said_twice: True,
    pools_twice: True,
    lost_pools: True,
    bad_passwords: True,
    clear_secrets: True,
    public_secrets: True,
    missing_admins: True,
    weak_tls: False,
}
_OF_ADMINS = {idle_users: True, idle_files: True, crowded_clusters: True}
_OF_OTHERS = {secrets_of_others: True}
