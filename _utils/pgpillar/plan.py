"""What has to change so that one cluster becomes the other. Pure: two models in, an ordered list out."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Container, Iterable, Iterator, Mapping
from dataclasses import dataclass, replace
from functools import cached_property
from itertools import starmap
from typing import NamedTuple

from pgpillar import kinds
from pgpillar.access import OF_OWNER
from pgpillar.model import (
    ABSENT,
    BOOTSTRAP_LOGIN,
    BY_OWNER,
    EVERYWHERE,
    LATEST,
    NO_SCHEMA,
    PRESENT,
    PUBLIC,
    QUARANTINED,
    Cluster,
    Database,
    DefaultGrant,
    EventTrigger,
    Grant,
    Membership,
    Object,
    Role,
    Schema,
    Server,
)

Thing = tuple[str, tuple[str, ...]]  # a kind, and the path of one of it

STEP = 100  # how many objects one transaction may touch, so that nobody waits long for their locks


@dataclass(frozen=True)
class Change:
    """One step. ``database`` is where it is made, and None for what the whole cluster shares."""

    kind: str
    object: object
    detail: object = None
    destructive: bool = False
    database: str | None = None


class Rights(NamedTuple):
    """Privileges that one statement grants or revokes on objects of one kind."""

    kind: str
    paths: tuple[tuple[str, ...], ...]
    privileges: tuple[str, ...]
    grantee: str
    grantor: str = BY_OWNER
    option_only: bool = False  # take back the right to pass it on, and leave the privilege
    cascade: bool = False
    acting: str | None = None  # the owner that has to make the statement, because others may grant as well


class DefaultRights(NamedTuple):
    creator: str
    schema: str
    kind: str
    privileges: tuple[str, ...]
    grantee: str


def plan(current: Cluster, wanted: Cluster) -> list[Change]:
    """The changes that make ``current`` as ``wanted``, in the order in which they can be made."""
    current = there(current)
    in_databases = [
        change
        for name in sorted(wanted.databases)
        for change in database_changes(
            current.databases.get(name), wanted.databases[name], wanted, current.server
        )
    ]
    farewells = [*_farewells(current, wanted)]
    return [
        *_login_of_scripts(current),
        *_roles(current, wanted),
        *_memberships(current, wanted, in_databases + farewells),
        *in_databases,
        *farewells,
    ]


def heirs(now: Database, wanted: Database, cluster: Cluster) -> dict[tuple[str, str], list[str]]:
    """Whose objects go to whom, in which schemas, if there are any: that is not known of a pillar."""
    anything = [
        Object("object", (schema,), owner)
        for schema, owners in sorted(now.creators_in.items())
        for owner in sorted(owners)
        if schema != NO_SCHEMA
    ]
    moved = _Inside(replace(now, objects=tuple(anything)), wanted, cluster, None).new_owners
    found = defaultdict(list)
    for one, heir in moved.items():
        found[one.owner, heir] += one.path
    return found


def outside_of(now: Database, wanted: Database, roles: Container[str]) -> list[Change]:
    """What may keep an admin out of a database, and can be changed without entering it."""
    changes = [*_settings("database setting", wanted.name, now.settings, wanted.settings)]
    if now.connection_limit != wanted.connection_limit and not now.unfinished:
        changes.append(Change("limit database", wanted.name, wanted.connection_limit))
    way_in = Grant("database", (), "CONNECT", now.owner)  # a hosted admin comes in by the owner's right
    if now.owner in roles and way_in not in now.grants:
        changes.append(Change("grant", *_rights({way_in}, {})))
    return [replace(change, database=wanted.name) for change in changes]


def destructive(changes: Iterable[Change]) -> list[Change]:
    """Those that destroy something, or take it from somebody. In a new database there is nothing to take."""
    changes = [*changes]
    new = {change.database for change in changes if change.kind == "create database"}
    return [change for change in changes if change.destructive and change.database not in new]


def there(cluster: Cluster) -> Cluster:
    """Without what is absent, which a pillar names and no server holds."""
    roles = {name: role for name, role in cluster.roles.items() if role.state != ABSENT}
    databases = {name: one for name, one in cluster.databases.items() if one.state != ABSENT}
    return replace(cluster, roles=roles, databases=databases)


# Roles


def _login_of_scripts(current: Cluster) -> Iterator[Change]:
    """It exists while a script runs. One that is there before is of a run that was killed."""
    if current.server and current.server.has_login_of_scripts:
        owned = current.server.dependents.get(BOOTSTRAP_LOGIN, ())
        here = [name for name, _ in owned if name in current.databases]
        open_ones = tuple(name for name in here if current.databases[name].state == PRESENT)
        yield Change("remove login", BOOTSTRAP_LOGIN, open_ones)


def _roles(current: Cluster, wanted: Cluster) -> Iterator[Change]:
    for name, role in sorted(wanted.roles.items()):
        if role.state == PRESENT:
            now = current.roles.get(name)
            if now is None:
                yield Change("create role", role)
            yield from _role(now or _newborn(role), role)


def _newborn(role: Role) -> Role:
    """What CREATE ROLE leaves to be done: the password and the settings."""
    return replace(role, password=None, settings=frozenset())


def _role(now: Role, role: Role) -> Iterator[Change]:
    options = tuple((key, getattr(role, key)) for key in _OPTIONS if getattr(now, key) != getattr(role, key))
    lost, gained = now.attributes - role.attributes, role.attributes - now.attributes
    options += tuple((flag, False) for flag in sorted(lost)) + tuple((flag, True) for flag in sorted(gained))
    if options:
        yield Change("alter role", role.name, options)
    if role.password is not None and now.password != role.password:
        yield Change("set password", role.name, role.password)
    yield from _settings("role setting", role.name, now.settings, role.settings)


_OPTIONS = ("login", "inherit", "connection_limit", "valid_until")


def _settings(
    what: str, name: str, now: frozenset, wanted: frozenset, database: str | None = None
) -> Iterator[Change]:
    """Settings are tuples whose last part is the value and whose other parts say which setting it is."""
    kept = {setting[:-1] for setting in wanted}
    for setting in sorted(now - wanted):
        if setting[:-1] not in kept:
            yield Change(f"reset {what}", name, setting, database=database)
    for setting in sorted(wanted - now):
        yield Change(f"set {what}", name, setting, database=database)


# Memberships: they belong to the member, so those of roles that pillar does not name are left alone.


def _memberships(current: Cluster, wanted: Cluster, in_databases: Iterable[Change]) -> Iterator[Change]:
    stuck = _stuck_memberships(current, wanted)
    excess = _excess(current, wanted) - set(stuck)
    for join, givers in sorted(_falling_memberships(current, wanted, excess)):
        yield Change("join", join) if join.member in wanted.managed else Change("keep member", join, givers)
    for join in sorted(excess):
        yield Change("leave", join, _givers_that_stay(join, current, excess), destructive=True)
    # One that cannot be left is made only as good as it has to be
    as_good = {join._replace(admin=False) for join in stuck}
    of_the_admin = _of_the_admin(current, wanted, in_databases)
    for join in sorted(wanted.memberships - current.memberships - as_good) + sorted(of_the_admin):
        yield Change("join", join)


def _excess(current: Cluster, wanted: Cluster) -> set[Membership]:
    """Of the login of scripts nobody is left a member: it is removed before."""
    held = {join for join in current.memberships if join.member in wanted.managed} - wanted.memberships
    return {join for join in held if join.role != BOOTSTRAP_LOGIN}


def _givers(join: Membership, current: Cluster) -> tuple[str, ...]:
    return current.server.grantors.get((join.role, join.member), ()) if current.server else ()


def _givers_that_stay(join: Membership, current: Cluster, leaving: set[Membership]) -> tuple[str, ...]:
    """Without those that leave the same role: what they granted goes with them."""
    gone = {one.member for one in leaving if one.role == join.role}
    return tuple(giver for giver in _givers(join, current) if giver not in gone)


def _stuck_memberships(current: Cluster, wanted: Cluster) -> dict[Membership, tuple[str, ...]]:
    """From PostgreSQL 16 on, only who has the rights of the grantor can revoke a membership. By grantors."""
    server, stuck = current.server, {}
    while server and server.version >= 160000:
        leaving = _excess(current, wanted) - set(stuck)
        beyond = {join: _beyond_the_admin(join, current, wanted, leaving) for join in leaving}
        more = {join: givers for join, givers in beyond.items() if givers}
        if not more:
            break
        stuck |= more
    return stuck


def _beyond_the_admin(
    join: Membership, current: Cluster, wanted: Cluster, leaving: set[Membership]
) -> tuple[str, ...]:
    dropped = _absent(wanted.roles)  # the admin joins them before they go
    return tuple(
        giver
        for giver in _givers_that_stay(join, current, leaving)
        if giver not in dropped and not current.server.admin_acts_for(giver)
    )


def impossible_leaves(current: Cluster, wanted: Cluster) -> dict[str, str]:
    """The memberships that an admin without superuser cannot end, by role, and what to do."""
    found = defaultdict(list)
    for join, givers in sorted(_stuck_memberships(current, wanted).items()):
        found[f"role {join.member!r}"] += [
            _granted_by(giver, join.role, current.server.founder) for giver in givers
        ]
    return {where: "; ".join(some) for where, some in found.items()}


def _granted_by(giver: str, role: str, founder: str) -> str:
    or_join = "" if giver == founder else f", or put the admin into {giver!r}"
    return (
        f"{giver!r} granted it membership in {role!r}, which the admin cannot revoke; "
        f"have a superuser run REVOKE … GRANTED BY {giver!r}{or_join}"
    )


def _falling_memberships(
    current: Cluster, wanted: Cluster, excess: set[Membership]
) -> Iterator[tuple[Membership, tuple[str, ...]]]:
    """Memberships that end, from PostgreSQL 16 on, because a role that gave them leaves or is dropped."""
    server = current.server
    if server is None or server.version < 160000:
        return
    dropped = {name for name, role in wanted.roles.items() if role.state == ABSENT}
    leaving = {(join.role, join.member) for join in excess} | {(None, name) for name in dropped}
    for join in current.memberships - excess:
        givers = _givers(join, current)
        gone = tuple(giver for giver in givers if leaving & {(join.role, giver), (None, giver)})
        if gone and dropped.isdisjoint((join.role, join.member)):
            yield join, gone


def to_act_for(current: Cluster, wanted: Cluster) -> list[Change]:
    """The memberships that the admin needs for the owners in these databases, whatever is inside of them."""
    return [Change("join", join) for join in sorted(_of_the_admin(current, there(wanted), ()))]


def _of_the_admin(current: Cluster, wanted: Cluster, in_databases: Iterable[Change]) -> set[Membership]:
    """An admin that is no superuser can only act for roles that it is a member of."""
    server = current.server
    if server is None or server.superuser:
        return set()
    held = {
        join.role for join in current.memberships if join.member == server.admin and join.inherit and join.set
    }
    needed = _acted_for(current, wanted).union(*map(_concerned, in_databases)) & set(wanted.roles)
    return {Membership(role, server.admin) for role in needed - held}


def _acted_for(current: Cluster, wanted: Cluster) -> set[str]:
    roles, stuck = set(), impossible_farewells(current, wanted)
    for name, database in wanted.databases.items():
        now = current.databases.get(name)
        if database.state == PRESENT or now:
            roles |= database.creators | {database.owner, *(s.owner for s in database.schemas.values())}
    for name, role in wanted.roles.items():
        if role.state == ABSENT and name in current.roles and f"role {name!r}" not in stuck:
            roles |= {name, role.reassign_to}
    return roles


def _concerned(change: Change) -> set[str | None]:
    """The roles that the admin needs to be a member of to make a change in a database."""
    return {*_CONCERNED[change.kind](change)} if change.kind in _CONCERNED else set()


_CONCERNED = {
    "own database": lambda change: change.detail,
    "own schema": lambda change: change.detail,
    "own object": lambda change: (change.object.owner, change.detail),
    "revoke": lambda change: (change.object.grantor, change.object.acting),
    "keep": lambda change: (change.object.acting,),
    "keep elsewhere": lambda change: (change.object.acting,),
    "revoke elsewhere": lambda change: (change.object.acting,),
    "grant": lambda change: (change.object.acting,),
    "revoke default": lambda change: (change.object.creator,),
    "grant default": lambda change: (change.object.creator,),
}


# Databases


def database_changes(
    now: Database | None, database: Database, cluster: Cluster, server: Server | None
) -> list[Change]:
    """The changes inside and on one database that is to stay."""
    if database.state != PRESENT:
        return []
    changes = []
    if now is None:
        changes.append(Change("create database", database))
        now = fresh(database, server)
    if now.state == QUARANTINED:
        return [*_opening(now, database, cluster, server)]
    changes += _Inside(now, database, cluster, server).changes()
    return [replace(change, database=database.name) for change in changes]


def _opening(now: Database, database: Database, cluster: Cluster, server: Server | None) -> Iterator[Change]:
    """The inside of a closed database is not known before, but for one that nobody has entered."""
    changes = [Change("open database", database.name, now.unfinished)]
    if now.unfinished:
        changes += _Inside(fresh(database, server), database, cluster, server).changes()
    yield from (replace(change, database=database.name) for change in changes)


def refused_inside(now: Database, database: Database, cluster: Cluster, server: Server | None) -> list[str]:
    """Why one database cannot become as it is wanted, by what was found inside."""
    return [*_Inside(now, database, cluster, server).refusals()]


def fresh(database: Database, server: Server | None) -> Database:
    """A new database, which nobody but the admin has been able to enter."""
    server = server or Server(version=150000, admin="", superuser=True)
    in_public = {(server.public_owner, p) for p in OF_OWNER["schema"]} | {(PUBLIC, "USAGE")}
    if server.version < 150000:
        in_public.add((PUBLIC, "CREATE"))
    return Database(
        database.name,
        owner=server.admin,
        unfinished=True,
        connection_limit=database.connection_limit,
        schemas={"public": Schema("public", server.public_owner)},
        grants=frozenset(
            [Grant("database", (), privilege, server.admin) for privilege in OF_OWNER["database"]]
            + [Grant("schema", ("public",), privilege, grantee) for grantee, privilege in in_public]
        ),
        objects=(),
    )


def would_fire(trigger: EventTrigger) -> str:
    """Why nothing is changed where an event trigger runs a function of another role."""
    return (
        f"event trigger {trigger.name!r} runs {trigger.function} of {trigger.owner!r} with the "
        "rights of whoever changes the database, here the admin's; give the function to a superuser, "
        "or disable the trigger"
    )


def _stays(database: str, extension: str, now: str, wanted: str, is_there: bool) -> str:
    path = f"postgresql:databases:{database}:extensions:{extension}:schema"
    first = "" if is_there else f"CREATE SCHEMA {wanted} and "
    return (
        f"only a superuser can move extension {extension!r} from schema {now} to {wanted}, for its objects "
        f"belong to one; have a superuser run {first}ALTER EXTENSION {extension} SET SCHEMA {wanted} there, "
        f"or set {path} to {now}"
    )


def _granted_by_others(rights: Rights) -> str:
    path = rights.paths[0]
    what = f"{rights.kind} {_written(rights.kind, path)}" if path else "the database"
    return (
        f"{rights.grantor!r} granted {', '.join(rights.privileges)} on {what} to {rights.grantee!r}, and the "
        f"admin cannot revoke it; have {rights.grantor!r} do so, or put the admin into {rights.grantor!r}"
    )


def _extension(change: Change) -> str:
    return getattr(change.object, "name", change.object)


def _spelled_out(one: Object) -> str:
    return _written(one.kind, one.path) if one.kind == "routine" else one.path[-1]


def _written(kind: str, path: tuple[str, ...]) -> str:
    return f"{'.'.join(path[:2])}({path[2]})" if kind == "routine" else ".".join(path)


def _finds(extension: str, planted: list[str]) -> str:
    return (
        f"the script of extension {extension!r} has a superuser's rights and would find "
        f"{', '.join(planted[:3])}; name a schema of its own for the extension in pillar, or create and "
        "update it by hand"
    )


def _is_anothers(what: str, owner: str, heir: str) -> str:
    return (
        f"{what} belongs to {owner!r}, which pillar does not name and the admin does not act for, and cannot "
        f"be given to {heir!r}; have a superuser change its owner, or put the admin into {owner!r}"
    )


def _keeps_out(schema: str, owner: str, heir: str) -> str:
    return (
        f"schema {schema} belongs to {owner!r}, which pillar does not name and the admin is not in, and "
        f"{heir!r} may not create there, so that nothing in it can be given to {heir!r}; have a superuser "
        f"change the owner of the schema, or put the admin into {owner!r}"
    )


def with_its_groups(role: str, cluster: Cluster) -> set[str]:
    """A role and all that it is in, at any depth."""
    found, todo = set(), [role]
    while todo:
        member = todo.pop()
        found.add(member)
        todo += [
            join.role for join in cluster.memberships if join.member == member and join.role not in found
        ]
    return found


class _Inside:
    """The comparison of one database with what is wanted of it."""

    def __init__(self, now: Database, wanted: Database, cluster: Cluster, server: Server | None):
        self.now, self.wanted, self.server = now, wanted, server
        self.managed, self.heirs, self.roles = cluster.managed, cluster.heirs, cluster.roles
        self.cluster = cluster
        self.schema_moves = dict(self._schema_moves())
        version = server.version if server else 0
        moves = dict(self._new_owners())
        self.new_owners = {one: new for one, new in moves.items() if kinds.can_move(one.kind, version)}
        self.stuck = {one: new for one, new in moves.items() if one not in self.new_owners}

    def changes(self) -> list[Change]:
        grants, extensions = [*self._grants()], [*self._extensions()]
        first = self._first_of(grants)
        # Last, since routines are named with the types of their arguments, which move with their extension
        moves = [one for one in extensions if one.kind == "move extension"]
        return [
            *self._database(),
            *self._schemas(),
            *first,
            *(one for one in extensions if one not in moves),
            *(
                Change("own object", one, self.new_owners[one])
                for one in sorted(self.new_owners)
                if not one.bound
            ),
            *(one for one in grants if one not in first),
            *self._default_grants(),
            *self._role_settings(),
            *moves,
            *self._birth(),
        ]

    def _first_of(self, grants: list[Change]) -> list[Change]:
        """The rights on schemas that an owner there needs to be one or to act, where no superuser helps."""
        hosted = self.server is not None and not self.server.superuser
        if not hosted or not (self.new_owners or any(one.object.acting for one in grants)):
            return []
        return [one for one in grants if one.kind == "grant" and one.object.kind == "schema"]

    def _database(self) -> Iterator[Change]:
        now, wanted = self.now, self.wanted
        if now.owner != wanted.owner:
            yield Change("own database", wanted.name, (now.owner, wanted.owner))
        if now.connection_limit != wanted.connection_limit and not now.unfinished:
            yield Change("limit database", wanted.name, wanted.connection_limit)
        yield from _settings("database setting", wanted.name, now.settings, wanted.settings)

    def _schemas(self) -> Iterator[Change]:
        for name, schema in sorted(self.wanted.schemas.items()):
            if schema.required and name not in self.now.schemas:
                yield Change("create schema", schema)
            elif name in self.schema_moves:
                yield Change("own schema", name, self.schema_moves[name])

    def _schema_moves(self) -> Iterator[tuple[str, tuple[str, str]]]:
        for name, schema in self.wanted.schemas.items():
            now = self.now.schemas.get(name)
            owner = schema.owner or (now and self._owner_of_public(now.owner))
            if now and owner != now.owner:
                yield name, (now.owner, owner)

    def _owner_of_public(self, now: str | None) -> str | None:
        """Where pillar names none, public goes back from pillar's roles to its owner in a new database."""
        ours = {self.now.owner, *self.managed, *self.heirs}
        public_owner = self.server.public_owner if self.server else Server.public_owner
        return public_owner or now if now in ours else now

    def _extensions(self) -> Iterator[Change]:
        for name, wanted in sorted(self.wanted.extensions.items()):
            now, version = self.now.extensions.get(name), self._version(wanted)
            if now is None:
                yield Change("create extension", replace(wanted, version=version))
                continue
            if version and now.version != version:
                yield Change("update extension", name, (now.version, version))
            if wanted.schema and now.schema != wanted.schema:
                yield Change("move extension", name, (now.schema, wanted.schema))

    def _cannot_move(self, extension: str) -> bool:
        """To move an extension takes the owner of each object in it."""
        return bool(self.server) and not self.server.superuser and extension in self.server.of_superusers

    def _version(self, extension) -> str | None:
        if extension.version != LATEST or self.server is None:
            return extension.version
        return self.server.extensions.get(extension.name, (None,))[0]  # what is not offered is refused

    def _birth(self) -> Iterator[Change]:
        if self.now.unfinished:
            if self.wanted.bootstrap:
                yield Change("bootstrap", self.wanted.name, (self.wanted.owner, self.wanted.bootstrap))
            limit = self.wanted.connection_limit
            yield Change("finish database", self.wanted.name, (self.wanted.owner, limit))
        if self.now.marked and not (self.now.unfinished and self.wanted.bootstrap):
            yield Change("unmark database", self.wanted.name)  # a script removes it at its end

    def _role_settings(self) -> Iterator[Change]:
        now = frozenset(setting for setting in self.now.role_settings if setting[0] in self.managed)
        yield from _settings("role setting here", self.wanted.name, now, self.wanted.role_settings)

    # Owners: what belonged to the old owner of a database or schema goes to the new one with it, and so does
    # what belongs to a role of pillar's that may not create anything in that schema. What belongs to a role
    # that goes waits for no farewell: its heir may be one that may not create there either.

    def _new_owners(self) -> Iterator[tuple[Object, str]]:
        moves = {name: self._move(schema) for name, schema in self.wanted.schemas.items()}
        moves[NO_SCHEMA] = (self.now.owner, self.wanted.owner)
        for one in self.now.objects or ():
            old, new = moves.get(one.path[0], (None, None))
            owner = new if one.owner == old else self._rightful(one, new)
            if new and owner != one.owner and self._can_take(one):
                yield one, owner

    def _can_take(self, one: Object) -> bool:
        """Who may connect may make large objects. An admin that is no superuser joins nobody because of them.

        Nor does it matter that it is in the owner already: it may be so because of this very run.
        """
        if one.kind != "large object" or self.server is None or self.server.superuser:
            return True
        return one.owner in {self.now.owner, *self.heirs}

    def _rightful(self, one: Object, owner_of_schema: str | None) -> str | None:
        """Who is to own something: of pillar's roles, only one that may create in its schema."""
        owner = self.heirs.get(one.owner, one.owner)
        is_ours = one.owner in self.heirs or owner in self.managed
        return owner_of_schema if is_ours and owner not in self._possible_owners(one) else owner

    def _creators(self, path: tuple[str, ...]) -> frozenset[str]:
        return self.wanted.creators_in.get(path[0] if path else NO_SCHEMA, frozenset())

    def _possible_owners(self, one: Object) -> frozenset[str]:
        """Who may create such a thing there. Whoever writes may have large objects."""
        creators = self._creators(one.path)
        return creators | self.wanted.writers if one.kind == "large object" else creators

    def refusals(self) -> Iterator[str]:
        """Functions of others that would run as the admin, and what cannot move or get another owner."""
        yield from map(would_fire, self.now.event_triggers)
        yield from self._extensions_that_cannot_be()
        for what, owner, heir in self._owners_that_change():
            if self._is_beyond_the_admin(owner):
                yield _is_anothers(what, owner, heir)
        moves = {(one.path[0], new) for one, new in self.new_owners.items() if one.path[1:]}
        for schema, new in sorted(moves):
            if self._is_closed(schema, new):
                yield _keeps_out(schema, self.now.schemas[schema].owner, new)
        yield from self._grants_of_others()
        yield from self._stuck_objects()

    def _grants_of_others(self) -> Iterator[str]:
        """Only the grantor can revoke a grant, and a superuser."""
        if self.server and not self.server.superuser:
            revoked = [change.object for change in self._grants() if change.kind == "revoke"]
            others = (one for one in revoked if one.grantor != BY_OWNER)
            yield from (_granted_by_others(one) for one in others if self._is_beyond_the_admin(one.grantor))

    def _extensions_that_cannot_be(self) -> Iterator[str]:
        for change in self._extensions():
            if change.kind == "move extension" and self._cannot_move(change.object):
                yield _stays(
                    self.wanted.key, change.object, *change.detail, change.detail[1] in self.now.schemas
                )
            elif planted := self._planted(change):
                yield _finds(_extension(change), planted)

    def _stuck_objects(self) -> Iterator[str]:
        for one in sorted(self.stuck):
            if one.owner in self.roles and not self._may_keep(one):
                yield (
                    f"{one.kind} {one.path[-1]} belongs to {one.owner!r}, who may not create there, and "
                    f"cannot be given to {self.stuck[one]!r}; {kinds.KINDS[one.kind].remedy}"
                )

    def _owners_that_change(self) -> Iterator[tuple[str, str, str]]:
        """Of the database and its schemas."""
        if self.now.owner != self.wanted.owner:
            yield "the database", self.now.owner, self.wanted.owner
        yield from ((f"schema {name}", *owners) for name, owners in self.schema_moves.items())

    def _planted(self, change: Change) -> list[str]:
        """What the script of an extension would find that others made, and the admin cannot move it aside."""
        name = _extension(change)
        if not self._cannot_move(name):
            return []
        schema = self.now.extensions[name].schema if name in self.now.extensions else change.object.schema
        trusted = {self.server.admin, *self.server.superusers}
        return sorted(
            f"{_spelled_out(one)} of {one.owner}"
            for one in self.now.objects or ()
            if one.kind in ("routine", "operator") and one.path[0] == (schema or "public")
            if one.owner not in trusted
        )

    def _may_keep(self, one: Object) -> bool:
        may_create = one.owner in self._possible_owners(one)
        return may_create or self._is_mighty(one.owner) or self._goes_to_an_heir(one)

    def _goes_to_an_heir(self, one: Object) -> bool:
        """Whether REASSIGN OWNED gives it to who may own it, when its owner is dropped."""
        return self.heirs.get(one.owner) in self._possible_owners(one)

    def _is_closed(self, schema: str, heir: str) -> bool:
        """Whether an heir may not create in a schema, which it has to, and the admin cannot let it."""
        creators = {
            one.grantee for one in self.now.grants if (*one.path, one.privilege) == (schema, "CREATE")
        }
        heir_as = {PUBLIC, *with_its_groups(heir, self.cluster)}
        return ("schema", (schema,)) in self._beyond_the_admin and creators.isdisjoint(heir_as)

    def _move(self, schema: Schema) -> tuple[str | None, str | None]:
        if schema.owner is None:
            return self.now.owner, self.wanted.owner
        now = self.now.schemas.get(schema.name)
        return (now.owner, schema.owner) if now else (None, None)

    def _is_mighty(self, owner: str) -> bool:
        """Whether a role can do all that an owner can, whatever it owns."""
        is_admin = self.server is not None and owner == self.server.admin
        return is_admin or "superuser" in self.roles[owner].attributes

    # Grants

    def _grants(self) -> Iterator[Change]:
        now, wanted = self._grants_after_moves(), self._expanded()
        excess, missing = self._in_scope(now) - wanted, wanted - now - self._given_at_the_end()
        missing |= self._lost_after_moves()
        lent = _orphaned(excess, now)
        leaving = frozenset(_absent(self.roles))
        kept = {
            one for one in _falling(excess | lent, now, leaving) if one.grantee not in self.managed | leaving
        }
        excess = self._not_falling(excess) | lent
        too_much = {grant for grant in excess if grant.grantable and _plain(grant) in wanted | now}
        missing -= set(map(_plain, too_much))
        acting = self._acting(now | lent)
        # What a role passed on goes before the right by which it did
        revoked = _rights(too_much, acting, option_only=True) + _rights(excess - too_much, acting)
        yield from (Change("keep", rights) for rights in _rights(kept, acting))
        yield from (Change("grant", rights) for rights in _rights(lent, acting))
        for rights in sorted(revoked, key=lambda rights: (rights.grantor == BY_OWNER, rights.cascade)):
            yield Change("revoke", rights, destructive=True)
        yield from (Change("grant", rights) for rights in _rights(missing, acting))

    def _acting(self, grants: Iterable[Grant]) -> dict[Thing, str]:
        """The owners of what others may grant as well.

        There PostgreSQL takes an admin that is no superuser for any role that it is a member of, and what
        the owner granted is not revoked. So the owner makes the statement.
        """
        if self.server is None or self.server.superuser:
            return {}
        shared = {_thing(grant) for grant in grants if grant.grantable}
        within_reach = {Server.public_owner, *self.managed, *self.server.acts_for}
        return {thing: owner for thing, owner in self._owners() if thing in shared and owner in within_reach}

    def _owners(self) -> Iterator[tuple[Thing, str | None]]:
        """Of all that is there, once every owner has changed."""
        yield ("database", ()), self.wanted.owner
        for name, schema in self.now.schemas.items():
            yield ("schema", (name,)), self.schema_moves.get(name, (None, schema.owner))[1]
        for one in self.now.objects or ():
            yield (one.kind, one.path), self.new_owners.get(one, one.owner)

    def _given_at_the_end(self) -> set[Grant]:
        """The owner of a new database is let in by the change that finishes it."""
        return {Grant("database", (), "CONNECT", self.wanted.owner)} if self.now.unfinished else set()

    def _grants_after_moves(self) -> set[Grant]:
        """The grants once every owner has changed: an old owner's rights become the new one's."""
        renames = {("database", ()): (self.now.owner, self.wanted.owner)}
        renames |= {("schema", (name,)): owners for name, owners in self.schema_moves.items()}
        owners = {(one.kind, one.path): owner for one, owner in self.new_owners.items()}
        created = {
            Grant("schema", (name,), privilege, schema.owner)
            for name, schema in self.wanted.schemas.items()
            if schema.required and name not in self.now.schemas
            for privilege in OF_OWNER["schema"]
        }
        kept = {g for g in self.now.grants if owners.get((g.kind, g.path)) != g.grantee}
        return {_renamed(grant, renames.get((grant.kind, grant.path))) for grant in kept} | created

    def _lost_after_moves(self) -> set[Grant]:
        """What pillar's roles may no longer do with what will be theirs, whichever owner gave it up."""
        owners = {(one.kind, one.path): owner for one, owner in self.new_owners.items()}
        held = {(g.kind, g.path, g.privilege, g.grantee) for g in self.now.grants}
        lost = {g._replace(grantee=owners.get((g.kind, g.path), g.grantee)) for g in self.now.given_up}
        return {g for g in lost if g.grantee in self.managed and g[:4] not in held}

    def _expanded(self) -> set[Grant]:
        """Each wanted grant on all objects of a schema, as one grant for each that exists."""
        objects = self.now.objects
        if objects is None:
            return set(self.wanted.grants)
        there = defaultdict(list)
        for one in objects:
            if (one.kind, one.path) not in self._beyond_the_admin:
                there[one.kind, one.path[0]].append((one.path, self.new_owners.get(one, one.owner)))
        expanded = set()
        for grant in self.wanted.grants:
            if grant.kind in ("database", "schema"):
                if grant.kind == "database" or self._has_a_say_in(grant.path[0]):
                    expanded.add(grant)
                continue
            for path, owner in there[grant.kind, grant.path[0]]:
                if owner != grant.grantee:
                    expanded.add(grant._replace(path=path))
        return expanded

    def _will_exist(self, schema: str) -> bool:
        return schema in self.now.schemas or self.wanted.schemas[schema].required

    def _has_a_say_in(self, schema: str) -> bool:
        return self._will_exist(schema) and (("schema", (schema,)) not in self._beyond_the_admin)

    def _is_beyond_the_admin(self, owner: str) -> bool:
        """Whether an owner is a role that an admin without superuser can neither act for nor join."""
        return self.server is not None and not (self.server.admin_acts_for(owner) or owner in self.roles)

    @cached_property
    def _beyond_the_admin(self) -> frozenset[Thing]:
        """What nothing is granted on or revoked from."""
        return frozenset(thing for thing, owner in self._owners() if self._is_beyond_the_admin(owner))

    def _in_scope(self, grants: Iterable[Grant]) -> set[Grant]:
        return {
            grant
            for grant in grants
            if grant.grantee in self.managed
            and _thing(grant) not in self._beyond_the_admin
            and (grant.kind == "database" or grant.path[0] in self.wanted.schemas)
            and not (
                grant.kind == "routine" and grant.grantee == PUBLIC
            )  # PostgreSQL's default, harmless behind USAGE
        }

    def _not_falling(self, grants: set[Grant]) -> set[Grant]:
        """Without those that go in the cascade when their grantor loses the right to pass them on.

        A grantor who can act as the owner never loses it in PostgreSQL's eyes, so that nothing cascades. Nor
        does a grantor that granted the right to itself.
        """
        losers = {(one.kind, one.path, one.privilege, one.grantee) for one in grants if one.grantable}
        return {
            one
            for one in grants
            if one.grantor in {one.grantee, *self._creators(one.path)}
            or (one.kind, one.path, one.privilege, one.grantor) not in losers
        }

    def _default_grants(self) -> Iterator[Change]:
        now = {g for g in self.now.default_grants if self._default_in_scope(g)}
        wanted = {g for g in self.wanted.default_grants if self._will_exist(g.schema)}
        for rights in _default_rights(now - wanted):
            yield Change("revoke default", rights, destructive=True)
        for rights in _default_rights(wanted - now):
            yield Change("grant default", rights)

    def _default_in_scope(self, grant: DefaultGrant) -> bool:
        harmless = grant.grantee == PUBLIC and grant.kind in ("routine", "type")
        here = grant.schema == EVERYWHERE or grant.schema in self.wanted.schemas
        ours = grant.grantee in self.managed and not self._is_beyond_the_admin(grant.creator)
        return here and ours and not harmless


def _falling(grants: set[Grant], now: set[Grant], leaving: frozenset[str]) -> set[Grant]:
    """What goes in the cascade of these grants or with a role that is dropped, unless the owner gave it too.

    It is enough to keep the first link of a chain: who keeps the right to pass on keeps what it passed on.
    """
    losers = {(one.kind, one.path, one.privilege, one.grantee) for one in grants if one.grantable}
    return {
        one
        for one in now
        if one.grantor in leaving or (one.kind, one.path, one.privilege, one.grantor) in losers
        if now.isdisjoint(one._replace(grantor=BY_OWNER, grantable=wide) for wide in {one.grantable, True})
    }


def _orphaned(grants: set[Grant], now: set[Grant]) -> set[Grant]:
    """The rights to pass on that their holders lost, and need to take back what they passed on."""
    held = {(one.kind, one.path, one.privilege, one.grantee) for one in now if one.grantable}
    needed = {Grant(g.kind, g.path, g.privilege, g.grantor, True) for g in grants if g.grantor != BY_OWNER}
    return {one for one in needed if not held & {(*way, one.privilege, one.grantee) for way in _ways(one)}}


def _ways(grant: Grant) -> list[tuple[str, tuple[str, ...]]]:
    """On what else a right may be held: what holds for a table holds for its columns."""
    here = [(grant.kind, grant.path)]
    return [*here, ("table", grant.path[:2])] if grant.kind == "column" else here


def _thing(grant: Grant) -> Thing:
    """What has an owner: of a column, its table."""
    return ("table", grant.path[:2]) if grant.kind == "column" else (grant.kind, grant.path)


def _plain(grant: Grant) -> Grant:
    return grant._replace(grantable=False)


def _renamed(grant: Grant, rename: tuple[str, str] | None) -> Grant:
    if rename is None or grant.grantee != rename[0]:
        return grant
    return grant._replace(grantee=rename[1])


_PRIVILEGES = (
    *("CONNECT", "CREATE", "TEMPORARY", "USAGE"),
    *("SELECT", "INSERT", "UPDATE", "DELETE", "TRUNCATE", "REFERENCES", "TRIGGER", "MAINTAIN"),
    "EXECUTE",
)
_ORDER = {privilege: place for place, privilege in enumerate(_PRIVILEGES)}
_KINDS = {
    kind: place
    for place, kind in enumerate(["database", "schema", "table", "column", "sequence", "routine", "type"])
}


def _rights(grants: Iterable[Grant], acting: Mapping[Thing, str], option_only: bool = False) -> list[Rights]:
    """As few statements as say it: what has the same privileges for the same grantee goes together.

    That is, objects of one schema and columns of one table, of the same owner where that one has to act.
    """
    privileges = defaultdict(set)
    for grant in grants:
        owner = acting.get(_thing(grant))
        key = (grant.kind, grant.path, grant.grantee, grant.grantor, grant.grantable, owner)
        privileges[key].add(grant.privilege)
    together = defaultdict(list)
    for (kind, path, *rest), some in privileges.items():
        whole = path[:2] if kind == "column" else path[:1]
        together[kind, whole, tuple(sorted(some, key=_order)), *rest].append(path)
    rights = [
        Rights(kind, tuple(sorted(paths)), some, grantee, grantor, option_only, grantable, owner)
        for (kind, _, some, grantee, grantor, grantable, owner), paths in together.items()
    ]
    return sorted(rights, key=lambda one: (_KINDS[one.kind], one.paths, one.grantee, one.privileges))


def _default_rights(grants: Iterable[DefaultGrant]) -> list[DefaultRights]:
    privileges = defaultdict(set)
    for grant in grants:
        privileges[grant.creator, grant.schema, grant.kind, grant.grantee].add(grant.privilege)
    return sorted(
        DefaultRights(creator, schema, kind, tuple(sorted(some, key=_order)), grantee)
        for (creator, schema, kind, grantee), some in privileges.items()
    )


def _order(privilege: str) -> tuple[int, str]:
    return _ORDER.get(privilege, len(_ORDER)), privilege


# Farewells


def _farewells(current: Cluster, wanted: Cluster) -> Iterator[Change]:
    stuck = impossible_farewells(current, wanted)
    for name, database in sorted(wanted.databases.items()):
        now = current.databases.get(name)
        if now and database.state == QUARANTINED and now.state == PRESENT:
            yield Change("quarantine database", name, destructive=True)
        if now and database.state == QUARANTINED and _is_occupied(name, current):
            yield Change("end sessions", name, destructive=True)
        if now and database.state == ABSENT and f"database {name!r}" not in stuck:
            yield Change("drop database", name, destructive=True)
    for name in _givers_first(current, _absent(wanted.roles)):
        role = wanted.roles[name]
        if name in current.roles and f"role {name!r}" not in stuck:
            for database, _ in places(role, current, wanted):
                yield from _rights_elsewhere(role, database, current, wanted)
            yield Change("drop role", role, places(role, current, wanted), destructive=True)


def _rights_elsewhere(role: Role, database: str, current: Cluster, wanted: Cluster) -> Iterator[Change]:
    """What changes of rights where pillar declares nothing, when a role is dropped."""
    rights = current.server.rights_elsewhere.get(database, ())
    yield from kept_elsewhere(role.name, database, rights, current, wanted)
    if role.reassign_to:
        yield from closed_to_code(role.name, role.reassign_to, database, rights, current)


def kept_elsewhere(
    role: str, database: str, rights: Iterable[tuple[str, Grant]], current: Cluster, wanted: Cluster
) -> list[Change]:
    """What a role that leaves passed on stays with others, now from the owner."""
    going = leaving_now(current, wanted)
    kept = {
        one
        for owner, one in rights
        if one.grantor == role and one.grantee not in going and not (owner in going and _adds_code(one))
    }
    acting = {} if current.server.superuser else {_thing(one): owner for owner, one in rights}
    return [Change("keep elsewhere", one, database=database) for one in _rights(kept, acting)]


def closed_to_code(
    owner: str, heir: str, database: str, rights: Iterable[tuple[str, Grant]], current: Cluster
) -> list[Change]:
    """Nobody but the heir keeps a right to add code to a table. What the heir gave is the new owner's."""
    taken = {
        one._replace(grantor=BY_OWNER) if one.grantor == heir else one
        for its_owner, one in rights
        if its_owner == owner and one.grantee != heir
    }
    acting = {} if current.server.superuser else {_thing(one): heir for one in taken}
    revoked = sorted(_rights(taken, acting), key=lambda one: one.grantor == BY_OWNER)
    return [Change("revoke elsewhere", one, destructive=True, database=database) for one in revoked]


def leaving_now(current: Cluster, wanted: Cluster) -> list[str]:
    """The roles that are dropped, with those that are not there any more."""
    stuck = impossible_farewells(current, wanted)
    return [name for name in _absent(wanted.roles) if f"role {name!r}" not in stuck]


def _adds_code(grant: Grant) -> bool:
    return grant.kind in ("table", "column") and grant.privilege in ("TRIGGER", "REFERENCES")


def _is_occupied(name: str, current: Cluster) -> bool:
    """Whether sessions go on in a closed database: they were not the admin's to end, or a run was killed."""
    return bool(current.server) and name in current.server.occupied


def _givers_first(current: Cluster, leaving: list[str]) -> list[str]:
    """Who was given something by another that leaves can be dropped only after that one.

    Those that own nothing come last: owners may have given them something.
    """
    grants = [one for database in current.databases.values() for one in database.grants]
    elsewhere = current.server.rights_elsewhere.values() if current.server else ()
    grants += [one for rights in elsewhere for _, one in rights]
    given = {one.grantee for one in grants if one.grantor in leaving and one.grantor != one.grantee}
    owners = {name for name, some in _dependents(current).items() if any(owns for _, owns in some)}
    return sorted(leaving, key=lambda name: (name in given, name not in owners, name))


def _dependents(current: Cluster) -> Mapping[str, tuple[tuple[str, bool], ...]]:
    return current.server.dependents if current.server else {}


def places(role: Role, current: Cluster, wanted: Cluster) -> tuple[tuple[str, bool], ...]:
    """The databases in which a role has something, and whether it owns there; not in one to be dropped."""
    found = current.server.dependents.get(role.name, ()) if current.server else ()
    dropped = _dropped(current, wanted)
    return tuple(place for place in found if place[0] not in dropped)


def _dropped(current: Cluster, wanted: Cluster) -> set[str]:
    """The databases that are gone before a role is dropped."""
    return {name for name in _absent(wanted.databases) if not [*_keeps_database(name, current)]}


def impossible_farewells(current: Cluster, wanted: Cluster) -> dict[str, str]:
    """What the server would not drop, and why. It stays, and keeps nothing else from becoming as asked."""
    reasons = {
        **{f"database {name!r}": _keeps_database(name, current) for name in _absent(wanted.databases)},
        **{f"role {name!r}": _keeps_role(name, current, wanted) for name in _absent(wanted.roles)},
    }
    found = {where: "; ".join(dict.fromkeys(some)) for where, some in reasons.items()}
    return {where: why for where, why in found.items() if why}


def _absent(things: Mapping) -> list[str]:
    return sorted(name for name, one in things.items() if one.state == ABSENT)


def _keeps_database(name: str, current: Cluster) -> Iterator[str]:
    if current.server:
        yield from starmap(_in_use, current.server.in_use_by.get(name, ()))


def _keeps_role(name: str, current: Cluster, wanted: Cluster) -> Iterator[str]:
    if name not in current.roles or current.server is None:
        return
    role, dropped, leaving = wanted.roles[name], _dropped(current, wanted), _absent(wanted.roles)
    if name == current.server.admin:
        yield f"role {name!r} is the admin of this run, and cannot drop itself; name another user in admin"
    yield from impossible_drop(role, current, wanted)
    for kind, place, what in current.server.kept_by.get(name, ()):
        is_settled = kind == "closed" and place in wanted.databases  # it is opened, or reported already
        if place not in dropped and not is_settled:
            heir = repr(role.reassign_to)
            yield _KEEPERS[kind].format(name=repr(name), place=repr(place), what=what, heir=heir)
    for place, database in sorted(current.databases.items()):
        if place not in dropped:
            held = [one for one in sorted(database.grants) if _holds(one, name)]
            yield from (_given_by_another(one, place) for one in held if one.grantor not in leaving)
    for place, rights in sorted(current.server.rights_elsewhere.items()):
        if place not in dropped:
            held = [one for _, one in rights if _holds(one, name) and one.grantor not in leaving]
            yield from (_given_by_another(one, place) for one in held)


_KEEPERS = {
    "closed": "role {name} has something in database {place}, which the admin cannot connect to; "
    "allow connections there, or drop it",
    "of superusers": "role {name} owns what only a superuser can own in database {place}; "
    "drop it there, or have a superuser take it over by ALTER … OWNER TO",
    "not ours": "role {name} has rights on what belongs to {what!r} in database {place}, and the admin "
    "cannot revoke them; have {what!r} or a superuser revoke them there",
    "entrusted": "in database {place} role {name} owns {what}, which would run with the rights of {heir}; "
    "review each of them, then drop it there or give it to another role by ALTER … OWNER TO",
    "without a place": "in database {place} role {name} owns {what}, in schemas where {heir} may not "
    "create; let {heir} create there, or give each of them to another role by ALTER … OWNER TO",
    "unread": "what role {name} owns in database {place} cannot be read: {what}",
    "waits": "it waits for database {place}, in which it owns something and which is not yet as pillar "
    "declares it; run this again once it is",
    "unknown": "what role {name} has cannot be read: {what}",
    "superuser": "role {name} is a superuser, and only a superuser can drop it",
}


def _holds(grant: Grant, name: str) -> bool:
    return grant.grantee == name and grant.grantor not in (BY_OWNER, name)


def _given_by_another(grant: Grant, database: str) -> str:
    """DROP OWNED takes back what the owner gave, and nothing else."""
    what, giver = _written(grant.kind, grant.path), repr(grant.grantor)
    where = f"{grant.kind} {what} in database {database!r}" if what else f"database {database!r}"
    return (
        f"{giver} granted {grant.privilege} on {where} to {grant.grantee!r}; "
        f"only {giver} can revoke it: have {giver} do so there, or a superuser after SET ROLE"
    )


def _in_use(kind: str, name: str) -> str:
    return f"it cannot be dropped while it has the {kind} {name!r}: {_RELEASES[kind]}"


_RELEASES = {
    "subscription": "set its state to present, drop the subscription in it, and quarantine it again",
    "replication slot": "stop what reads the slot, or drop the slot, and run this again",
    "prepared transaction": "set its state to present, end the transaction in it, and quarantine it again",
}


def impossible_drop(role: Role, current: Cluster, wanted: Cluster) -> Iterator[str]:
    """Why a role cannot go yet, by what ``current.server`` knows of what depends on it."""
    its_places = places(role, current, wanted)
    heir = f"postgresql:{'users' if role.login else 'groups'}:{role.name}:reassign_to"
    owned = [database for database, owns in its_places if owns]
    if owned and not role.reassign_to:
        yield (
            f"role {role.name!r} still owns objects in {', '.join(map(repr, owned))}; name an heir in {heir}"
        )
    if owned and role.reassign_to and role.reassign_to not in {*current.roles, *wanted.roles}:
        yield (
            f"role {role.name!r} cannot leave what it owns to {role.reassign_to!r}, which is not on this "
            f"cluster; let {role.reassign_to!r} name this cluster in pillar, or name another role in {heir}"
        )
    closed = {name for name, database in current.databases.items() if database.state == QUARANTINED}
    closed |= {name for name, database in wanted.databases.items() if database.state == QUARANTINED}
    for database, _ in its_places:
        if database in closed:
            yield (
                f"role {role.name!r} has rights in the quarantined database {database!r}; "
                "drop or reopen that first"
            )
