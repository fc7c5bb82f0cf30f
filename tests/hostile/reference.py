"""What docs/reference/access.rst and docs/design.rst say of rights and owners, worked out without pgpillar.

``Pillar`` reads a tree, by itself. ``effective`` and ``reach`` give what a converged server has to affirm; of
what pillar has no say in (undeclared roles, undeclared schemas, kinds that it cannot declare) they take the
rights that are there, and ``kept`` says what of those may not have changed.
"""

from __future__ import annotations

from collections import defaultdict

from tests.hostile.snapshot import PUBLIC, Snapshot, Thing, privileges

READ = {"table": {"SELECT"}, "column": {"SELECT"}, "sequence": {"SELECT"}, "routine": {"EXECUTE"}}
WRITE = {
    "table": {"SELECT", "INSERT", "UPDATE", "DELETE"},
    "column": {"SELECT", "INSERT", "UPDATE"},
    "sequence": {"SELECT", "USAGE"},
    "routine": {"EXECUTE"},
}
LEVELS = {"read": {"schema": {"USAGE"}, **READ}, "write": {"schema": {"USAGE"}, **WRITE}, "owner": {}}
NOBODY_ELSES = ("extension", "event trigger")
DECLARED_KINDS = ("database", "schema", *READ)
EVERYTHING = {"database": {"CONNECT", "CREATE", "TEMPORARY"}, "schema": {"USAGE", "CREATE"}}


class Pillar:
    """A tree, as its author means it."""

    def __init__(self, tree: dict):
        entries = {**tree["users"], **tree["groups"]}
        self.roles = {name: one for name, one in entries.items() if one.get("state") != "absent"}
        self.users = {name for name in tree["users"] if name in self.roles}
        self.heirs = {name: one.get("reassign_to") for name, one in entries.items() if name not in self.roles}
        self.databases = {
            name: one for name, one in tree["databases"].items() if one.get("state", "present") == "present"
        }
        self.extras = defaultdict(set)  # the roles that a role is in against its author's will
        self.above = defaultdict(set)  # the roles that a role is directly in
        for name, one in self.roles.items():
            self.above[name] |= set(one.get("groups", ()))
        for name in self.databases:
            for role, level, schema in self.access(name):
                if level == "owner":
                    self.above[role] |= {self.owner(name, schema)} - {role}

    def names(self, role: str) -> bool:
        return role in self.roles or role in self.heirs

    def access(self, database: str) -> list[tuple]:
        """(role, level, schema or None), wherever it stands."""
        found = [(role, level, None) for role, level in self._entry(database, "access").items()]
        for schema, inner in self._entry(database, "schemas").items():
            found += [(role, level, schema) for role, level in (inner.get("access") or {}).items()]
        for role, entry in self.roles.items():
            what = entry.get("access", {}).get(database, {})
            what = what if isinstance(what, dict) else {None: what}
            found += [(role, level, schema) for schema, level in what.items()]
        return found

    def _entry(self, database: str, key: str):
        return self.databases[database].get(key) or {}

    def named_schemas(self, database: str) -> set[str]:
        return set(self._entry(database, "schemas"))

    def schemas(self, database: str) -> set[str]:
        return {"public"} | self.named_schemas(database)

    def owner(self, database: str, schema: str | None = None) -> str:
        inner = self._entry(database, "schemas").get(schema) or {}
        return inner.get("owner") or self.databases[database]["owner"]

    def owners(self, database: str) -> set[str]:
        return {self.owner(database), *(self.owner(database, one) for one in self.schemas(database))}

    def members(self, role: str) -> set[str]:
        return {name for name in self.roles if name != role and role in closure(name, self.above)}

    def creators(self, database: str, schema: str) -> set[str]:
        owner = self.owner(database, schema)
        return {owner, *self.members(owner)}

    def governs(self, database: str, thing: Thing) -> bool:
        """Whether pillar says who may do what with a thing of this database."""
        if thing.kind == "database":
            return thing.name in self.databases
        here = database in self.databases and thing.schema in self.schemas(database)
        return here and thing.kind in DECLARED_KINDS and not thing.foreign

    def given(self, database: str, thing: Thing) -> dict[str, set[str]]:
        """The privileges of each role on a thing that pillar governs."""
        found = defaultdict(set)
        owners, access = self.owners(database), self.access(database)
        if thing.kind == "database":
            for role in owners | {role for role, level, _ in access if level != "owner"}:
                found[role].add("CONNECT")
            found[self.owner(database)] |= EVERYTHING["database"]
            return found
        for role, level, schema in access:
            if schema in (None, thing.schema):
                found[role] |= LEVELS[level].get(thing.kind, set())
        if thing.kind == "schema":
            found[self.owner(database, thing.schema)] |= EVERYTHING["schema"]
            if thing.schema in self.extension_schemas(database):
                for role in owners | {role for role, _, _ in access}:
                    found[role].add("USAGE")
        return found

    def extensions(self, database: str) -> dict[str, str | None]:
        """The schema of each, where pillar names it."""
        entries = self._entry(database, "extensions")
        entries = entries if isinstance(entries, dict) else dict.fromkeys(entries)
        return {name: one.get("schema") if isinstance(one, dict) else None for name, one in entries.items()}

    def extension_schemas(self, database: str) -> set[str]:
        return {schema or "public" for schema in self.extensions(database).values()}


def closure(role: str, above: dict[str, set[str]]) -> set[str]:
    """A role and all that it is in, at any depth."""
    found, todo = set(), [role]
    while todo:
        name = todo.pop()
        if name not in found:
            found.add(name)
            todo += above.get(name, ())
    return found


# The roles that an admin without superuser can act as


def acting(pillar: Pillar, there: Snapshot) -> set[str]:
    """The roles that the admin is in without the help of declared roles, whose memberships change."""
    if not there.admin:
        return set(there.roles)
    above = defaultdict(set)
    for join in there.memberships:
        if join.set and (join.inherit or there.version < 160000) and not pillar.names(join.member):
            above[join.member].add(join.role)
    return closure(there.admin, above) | {"pg_database_owner"}


def is_beyond(pillar: Pillar, there: Snapshot, owner: str) -> bool:
    """Whether the admin cannot act for an owner, and pillar does not let it join."""
    return not pillar.names(owner) and owner not in acting(pillar, there)


# What a converged server has to affirm


def acts_for(pillar: Pillar, after: Snapshot, inherited: bool = True) -> dict[str, set[str]]:
    """The roles that each role has the rights of; or, not ``inherited``, that it is in."""
    above = {name: pillar.above[name] | pillar.extras[name] for name in pillar.roles}
    for join in after.memberships:
        if join.member not in pillar.roles and (join.inherit or not inherited):
            above.setdefault(join.member, set()).add(join.role)
    if "pg_database_owner" in after.roles:
        above.setdefault(after.owner, set()).add("pg_database_owner")
    return {name: closure(name, above) for name in after.roles}


def effective(pillar: Pillar, after: Snapshot, roles, version: int) -> set[tuple]:
    """The same as ``snapshot.effective``, from what pillar says."""
    reached, found = acts_for(pillar, after), set()
    for thing in after.things.values():
        words = set(privileges(thing.kind, version))
        if words:
            plain, passing = _holders(pillar, after, thing, words)
            for role in roles:
                names = reached[role] | {PUBLIC}
                found |= {(*thing.key, role, p, False) for n in names for p in plain.get(n, ())}
                found |= {(*thing.key, role, p, True) for n in names for p in passing.get(n, ())}
    return found


def _holders(pillar, after, thing, words) -> tuple[dict, dict]:
    """Who has which privileges, and who may pass on which."""
    plain, passing = defaultdict(set), defaultdict(set)
    governed = _has_a_say(pillar, after, thing)
    for right in _through_columns(after, thing):
        if not governed or _is_left(pillar, thing, right.grantee):
            plain[right.grantee].add(right.privilege)
            if right.grantable:
                passing[right.grantee].add(right.privilege)
    if governed:
        database = thing.name if thing.kind == "database" else after.database
        for role, some in pillar.given(database, thing).items():
            plain[role] |= some
        if thing.owner in pillar.roles:
            plain[thing.owner] |= words
    passing[thing.owner] |= words  # PostgreSQL never takes this from an owner
    return _within(plain, words), _within(passing, words)


def _has_a_say(pillar: Pillar, there: Snapshot, thing: Thing) -> bool:
    """Nobody but its owner can grant and revoke rights on a thing."""
    return pillar.governs(there.database, thing) and not is_beyond(pillar, there, thing.owner)


def _within(some: dict, words: set) -> dict:
    return {role: held & words for role, held in some.items()}


def _through_columns(after: Snapshot, thing: Thing):
    """A right on a table is one on each of its columns."""
    table = after.things.get(("table", thing.oid, 0)) if thing.kind == "column" else None
    return thing.rights | table.rights if table else thing.rights


def _is_left(pillar: Pillar, thing: Thing, grantee: str) -> bool:
    """Whether a right on what pillar governs is none of its business."""
    if grantee == PUBLIC:
        return thing.kind == "routine"  # of no use without USAGE on the schema
    return grantee not in pillar.roles


def reach(pillar: Pillar, after: Snapshot, roles) -> set[tuple]:
    usage, member = acts_for(pillar, after), acts_for(pillar, after, inherited=False)
    return {(role, other, "USAGE") for role in roles for other in usage[role] - {role}} | {
        (role, other, "MEMBER") for role in roles for other in member[role] - {role}
    }


# Owners


def owner(pillar: Pillar, before: Snapshot, thing: Thing) -> str:
    """Who owns a thing after convergence that was there before it."""
    if thing.kind == "database":
        return pillar.owner(thing.name) if thing.name in pillar.databases else _heir(pillar, thing.owner)
    table = before.things.get(("table", thing.follows, 0)) if thing.follows else None
    if table:
        return owner(pillar, before, table)
    was = _heir(pillar, thing.owner)
    if not _has_place(pillar, before, thing) or thing.kind in NOBODY_ELSES:
        return was
    wanted = pillar.owner(before.database, thing.schema)
    if thing.kind == "schema":
        declared = thing.schema in pillar.named_schemas(before.database)
        return wanted if declared else _owner_of_public(pillar, before, thing.owner)
    if thing.foreign:
        return was
    # docs/design.rst: it does not join a reader because of a large object, which every reader can make
    if thing.kind == "large object" and not _admin_has(pillar, before, thing.owner):
        return was
    # What the old owner of a database leaves goes to the new one, as of every other kind, and not to its heir
    leaves = thing.owner in pillar.heirs and thing.owner == before.owner
    if was in _writers(pillar, before.database, thing.kind) and not leaves:
        return was
    goes = trespasses(pillar, before, thing) or thing.owner == _old_owner(pillar, before, thing.schema)
    return wanted if goes else was


def _admin_has(pillar: Pillar, before: Snapshot, owner: str) -> bool:
    return not before.admin or owner in {before.owner, *pillar.heirs}


def _has_place(pillar: Pillar, before: Snapshot, thing: Thing) -> bool:
    """Whether it is where pillar has a say in who owns what."""
    if before.database not in pillar.databases or thing.kind == "wrapper":
        return False
    return thing.schema is None or thing.schema in pillar.schemas(before.database)


def trespasses(pillar: Pillar, before: Snapshot, thing: Thing) -> bool:
    """Whether a declared role owns it that may make no such thing there."""
    was, database = _heir(pillar, thing.owner), before.database
    return was in pillar.roles and was not in pillar.creators(database, thing.schema)


def _writers(pillar: Pillar, database: str, kind: str) -> set[str]:
    """Who writes keeps its large objects."""
    if kind != "large object":
        return set()
    given = {role for role, level, _ in pillar.access(database) if level != "read"} | pillar.owners(database)
    return given.union(*(pillar.members(role) for role in given))


def _owner_of_public(pillar: Pillar, before: Snapshot, was: str) -> str:
    """Where pillar names none: that of a new database, unless it belongs to a stranger."""
    usual = "pg_database_owner" if before.version >= 150000 else before.superuser
    return usual if was in {before.owner, *pillar.roles, *pillar.heirs} else was


def _heir(pillar: Pillar, role: str) -> str:
    return pillar.heirs.get(role) or role


def _old_owner(pillar: Pillar, before: Snapshot, schema: str) -> str:
    """Whose things go with the schema: those of its owner, of public's without an owner the database's."""
    declared = schema in pillar.named_schemas(before.database)
    return before.schema_owner(schema) if declared else before.owner


# What may not have changed


def kept(pillar: Pillar, before: Snapshot) -> set[tuple]:
    """The rights that are none of pillar's business and have to be there afterwards."""
    found = set()
    for thing in before.things.values():
        governed = _has_a_say(pillar, before, thing)
        for right in _lasting(thing, {*pillar.heirs, *(pillar.roles if governed else ())}):
            if right.grantee not in pillar.heirs and (not governed or _is_left(pillar, thing, right.grantee)):
                found.add((*thing.key, right.grantee, right.privilege, right.grantable))
    return found


def _lasting(thing: Thing, losers: set[str]) -> set:
    """Without the rights that go in the cascade when one of the losers may no longer pass them on."""
    lasting, more = set(), {right for right in thing.rights or () if right.grantor == thing.owner}
    while more:
        lasting |= more
        givers = {(r.grantee, r.privilege) for r in lasting if r.grantable and r.grantee not in losers}
        more = {right for right in thing.rights if (right.grantor, right.privilege) in givers} - lasting
    return lasting


def kept_memberships(pillar: Pillar, before: Snapshot) -> set[tuple]:
    """(role, member) of members that pillar does not name, unless a declared role brought them there."""
    return {
        (join.role, join.member)
        for join in before.memberships
        if join.member not in pillar.roles
        and join.member not in pillar.heirs
        and join.role not in pillar.heirs
        and join.grantor not in {*pillar.roles, *pillar.heirs}
    }
