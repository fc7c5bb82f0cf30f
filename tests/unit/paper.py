"""A server on paper: what each change makes of a cluster, as PostgreSQL would have it."""

from dataclasses import replace

from pgpillar.model import (
    BY_OWNER,
    PRESENT,
    QUARANTINED,
    Cluster,
    DefaultGrant,
    Grant,
    Membership,
    Schema,
)
from pgpillar.plan import fresh


def applied(cluster: Cluster, changes) -> Cluster:
    for change in changes:
        cluster = _DO[change.kind](cluster, change)
    return cluster


def _role(cluster, name, **what):
    return replace(cluster, roles={**cluster.roles, name: replace(cluster.roles[name], **what)})


def _create_role(cluster, change):
    role = replace(change.object, password=None, settings=frozenset())
    return replace(cluster, roles={**cluster.roles, role.name: role})


def _alter_role(cluster, change):
    options = dict(change.detail)
    known = {
        key: options.pop(key)
        for key in ("login", "inherit", "connection_limit", "valid_until")
        if key in options
    }
    flags = cluster.roles[change.object].attributes
    flags = flags - {flag for flag, on in options.items() if not on} | {
        flag for flag, on in options.items() if on
    }
    return _role(cluster, change.object, **known, attributes=flags)


def _set(settings, setting):
    return frozenset({one for one in settings if one[:-1] != setting[:-1]} | {setting})


def _reset(settings, setting):
    return frozenset(one for one in settings if one[:-1] != setting[:-1])


def _role_setting(do):
    return lambda cluster, change: _role(
        cluster, change.object, settings=do(cluster.roles[change.object].settings, change.detail)
    )


def _inside(do):
    """A change of one database: ``do`` gives the attributes that it changes."""

    def run(cluster, change):
        name = change.database or change.object
        database = cluster.databases[name]
        return replace(
            cluster, databases={**cluster.databases, name: replace(database, **do(database, change))}
        )

    return run


def _create_database(cluster, change):
    wanted = change.object
    made = replace(fresh(wanted, cluster.server), encoding=wanted.encoding, locale=wanted.locale)
    return replace(cluster, databases={**cluster.databases, wanted.name: made})


def _without(things, name):
    return {key: thing for key, thing in things.items() if key != name}


def _leave(cluster, change):
    gone = change.object
    stay = {join for join in cluster.memberships if (join.role, join.member) != (gone.role, gone.member)}
    return replace(cluster, memberships=frozenset(stay))


def _keep_member(cluster, change):
    """The grantor is another from here on."""
    join, server = change.object, cluster.server
    givers = {**server.grantors, (join.role, join.member): (server.admin,)}
    return replace(cluster, server=replace(server, grantors=givers))


def _join(cluster, change):
    """GRANT turns options on, and takes none away."""
    new = change.object
    had = {join for join in cluster.memberships if (join.role, join.member) == (new.role, new.member)}
    admin = any(join.admin for join in had)
    joined = Membership(new.role, new.member, admin)
    return replace(cluster, memberships=cluster.memberships - had | {joined})


def _own_database(database, change):
    return {"owner": change.detail[1], "grants": _handed_on(database, "database", (), change.detail)}


def _own_schema(database, change):
    name, owners = change.object, change.detail
    return {
        "schemas": {**database.schemas, name: Schema(name, owners[1])},
        "grants": _handed_on(database, "schema", (name,), owners),
    }


def _handed_on(database, kind, path, owners):
    """What the old owner might do, the new one may."""
    old, new = owners
    return frozenset(
        grant._replace(grantee=new) if (grant.kind, grant.path, grant.grantee) == (kind, path, old) else grant
        for grant in database.grants
    )


def _own_object(database, change):
    one, owner = change.object, change.detail
    following = {other for other in database.objects if other.bound and other.owner == one.owner}
    moved = {one, *(following if one.kind == "table" else ())}
    objects = tuple(other._replace(owner=owner) if other in moved else other for other in database.objects)
    places = {(other.kind, other.path) for other in moved}
    its = {g for g in database.grants if (g.kind, g.path) in places and g.grantee == owner}
    held = {g[:4] for g in its}
    lost = {g._replace(grantee=owner) if (g.kind, g.path) in places else g for g in database.given_up}
    lost = frozenset(g for g in lost if g[:4] not in held)
    return {"objects": objects, "grants": database.grants - its, "given_up": lost}


def _create_schema(database, change):
    schema = change.object
    own = {Grant("schema", (schema.name,), privilege, schema.owner) for privilege in ("CREATE", "USAGE")}
    return {"schemas": {**database.schemas, schema.name: schema}, "grants": database.grants | own}


def _extension(make):
    def do(database, change):
        name = getattr(change.object, "name", change.object)
        return {"extensions": {**database.extensions, name: make(database.extensions.get(name), change)}}

    return do


def _named(rights):
    return {
        Grant(rights.kind, path, privilege, rights.grantee, grantor=rights.grantor)
        for path in rights.paths
        for privilege in rights.privileges
    }


def _grant(database, change):
    """A right that is there with the option to pass it on keeps the option."""
    there = {grant._replace(grantable=False) for grant in database.grants}
    named = _named(change.object)
    return {
        "grants": database.grants | (named - there - database.given_up),
        "given_up": database.given_up - named,
    }


def _revoke(database, change):
    rights = change.object
    named, grants = _named(rights), set(database.grants)
    taken = {grant for grant in grants if grant._replace(grantable=False) in named}
    assert rights.cascade or not _passed_on(taken, grants), "PostgreSQL asks for CASCADE"
    grants -= taken
    if rights.option_only:
        grants |= {grant._replace(grantable=False) for grant in taken}
    while taken := _passed_on(taken, grants):
        grants -= taken
    return {"grants": frozenset(grants)}


def _passed_on(taken, grants):
    """Grants that rest on those that are taken, and on no other."""
    ways = {(grant.kind, grant.path, grant.privilege, grant.grantee) for grant in taken if grant.grantable}
    ways -= {(grant.kind, grant.path, grant.privilege, grant.grantee) for grant in grants if grant.grantable}
    return {g for g in grants if g.grantor != BY_OWNER and (g.kind, g.path, g.privilege, g.grantor) in ways}


def _defaults(rights):
    return {
        DefaultGrant(rights.creator, rights.schema, rights.kind, privilege, rights.grantee)
        for privilege in rights.privileges
    }


def _keep(database, change):
    rights = change.object
    kept = {grant._replace(grantable=rights.cascade, grantor=BY_OWNER) for grant in _named(rights)}
    return {"grants": database.grants | kept}


def _grant_default(database, change):
    there = {grant._replace(grantable=False) for grant in database.default_grants}
    return {"default_grants": database.default_grants | (_defaults(change.object) - there)}


def _revoke_default(database, change):
    gone = _defaults(change.object)
    kept = {grant for grant in database.default_grants if grant._replace(grantable=False) not in gone}
    return {"default_grants": frozenset(kept)}


def _nothing(database, change):
    return {}


_DO = {
    "create role": _create_role,
    "alter role": _alter_role,
    "set password": lambda cluster, change: _role(cluster, change.object, password=change.detail),
    "set role setting": _role_setting(_set),
    "reset role setting": _role_setting(_reset),
    "join": _join,
    "keep member": _keep_member,
    "leave": _leave,
    "create database": _create_database,
    "open database": _inside(lambda database, change: {"state": PRESENT}),
    "own database": _inside(_own_database),
    "limit database": _inside(lambda database, change: {"connection_limit": change.detail}),
    "set database setting": _inside(
        lambda database, change: {"settings": _set(database.settings, change.detail)}
    ),
    "reset database setting": _inside(
        lambda database, change: {"settings": _reset(database.settings, change.detail)}
    ),
    "create schema": _inside(_create_schema),
    "own schema": _inside(_own_schema),
    "create extension": _inside(_extension(lambda had, change: change.object)),
    "update extension": _inside(_extension(lambda had, change: replace(had, version=change.detail[1]))),
    "move extension": _inside(_extension(lambda had, change: replace(had, schema=change.detail[1]))),
    "own object": _inside(_own_object),
    "revoke": _inside(_revoke),
    "keep": _inside(_keep),
    "grant": _inside(_grant),
    "revoke default": _inside(_revoke_default),
    "grant default": _inside(_grant_default),
    "set role setting here": _inside(
        lambda d, change: {"role_settings": _set(d.role_settings, change.detail)}
    ),
    "reset role setting here": _inside(
        lambda d, change: {"role_settings": _reset(d.role_settings, change.detail)}
    ),
    "bootstrap": _inside(_nothing),
    "finish database": _inside(lambda database, change: {"unfinished": False}),
    "unmark database": _inside(lambda database, change: {"marked": False}),
    "quarantine database": _inside(lambda database, change: {"state": QUARANTINED}),
    "remove login": lambda cluster, change: replace(
        cluster, server=replace(cluster.server, has_login_of_scripts=False)
    ),
    "end sessions": lambda cluster, change: cluster,
    "drop database": lambda cluster, change: replace(
        cluster, databases=_without(cluster.databases, change.object)
    ),
    "drop role": lambda cluster, change: replace(cluster, roles=_without(cluster.roles, change.object.name)),
}
