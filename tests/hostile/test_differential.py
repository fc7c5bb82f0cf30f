"""A converged server against a reference that knows nothing of pgpillar.

Three declared states follow one another, with hands at work in between; after each convergence all that
``has_*_privilege()`` and ``pg_has_role()`` affirm is compared with what the declared state means. The cases
are drawn by hypothesis: the same few in every run, or as many new ones as EXAMPLES says in the environment.
CASE=7 runs the case of that number alone.
"""

import difflib
import os
import pprint
from collections import Counter
from functools import partial
from random import Random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from psycopg2.sql import SQL, Identifier

from devtools import postgres
from pgpillar import text
from pgpillar.pillar import PillarError
from tests.functional.conftest import Cluster, clean, make_hosted, servers, usual_major, wipe  # noqa: F401
from tests.functional.test_round_trips import EXAMPLES, drawn
from tests.hostile import hands, obstacles, pillars, reference, snapshot

CLASSES = frozenset(os.environ.get("CLASSES", " ".join(hands.CLASSES)).split())
ACTS = 12
HELPS = 2  # one help may show what else is in the way
SUPERUSER, HOSTED = "superuser", "hosted"
FEW = 5  # cases of each way, where EXAMPLES does not say


def pytest_generate_tests(metafunc):
    if "administered" in metafunc.fixturenames:
        ways = _ways(metafunc.config.getoption("--major"))
        ids = [f"{major}-{way}" for major, way in ways]
        metafunc.parametrize("administered", ways, indirect=True, ids=ids)


def _ways(chosen):
    """By the rules for an admin that is no superuser of 15, those of 16, and those of the newest version."""
    first, last = postgres.majors()[0], postgres.majors()[-1]
    majors = {SUPERUSER: sorted({first, usual_major(), last}), HOSTED: [15, 16, last]}
    if chosen:
        majors = {SUPERUSER: [chosen], HOSTED: [chosen] if chosen >= 15 else []}
    return [(major, way) for way, some in majors.items() for major in some]


@pytest.fixture(scope="module")
def administered(request, servers):  # noqa: F811
    """Makes clean clusters of a major version, administered in one of two ways; says in the end how many."""
    major, way = request.param
    counted = Counter()
    with clean(servers(major)) as server:

        def make():
            wipe(server)
            counted["cases"] += 1
            return make_hosted(server) if way == HOSTED else Cluster(server)

        yield make, counted
    with request.config.pluginmanager.getplugin("capturemanager").global_and_fixture_disabled():
        seed = request.config.getoption("--hypothesis-seed") or "none"
        said = ", ".join(f"{number} {what}" for what, number in counted.items())
        print(f"\nPostgreSQL {major}, {way}, seed {seed}: {said}")


@settings(drawn, max_examples=int(EXAMPLES or FEW))
@given(st.integers(0, 2**32 - 1))
def test_effective_rights_are_what_pillar_means(administered, number):
    make, counted = administered
    case(make, counted, int(os.environ.get("CASE", number)))


def case(make, counted, number):
    """One case, which its number says all of."""
    print(f"== CASE={number}")
    random, cluster = Random(number), make()
    for name in hands.STRANGERS:
        make_stranger(cluster, name)
    work = hands.Hands(random, CLASSES)
    for tree in pillars.states(random, pillars.world(random), 3, partial(accepted, cluster)):
        before, pillar = look(cluster), reference.Pillar(tree)
        for _ in range(HELPS):
            if hindering := obstacles.found(pillar, before):
                hindered(cluster, tree, before, hindering)
                counted["obstacles"] += len(hindering)
                before = look(cluster)
        settle(cluster, tree)
        counted["convergences"] += 1
        counted["rights"] += compare(cluster, pillar, before)
        drift(cluster, pillar, work)


def accepted(cluster, tree) -> bool:
    try:
        return bool(cluster.declared(**tree))
    except PillarError:
        return False


def make_stranger(cluster, name):
    admin = cluster.admin["user"]
    statement = SQL("set session authorization {}; create role {}; reset session authorization")
    cluster.query(statement.format(Identifier(admin), Identifier(name)))


def look(cluster) -> dict[str, snapshot.Snapshot]:
    """Every database by name."""
    return {name: seen(cluster, snapshot.of_database(cluster.server, name)) for name in databases(cluster)}


def seen(cluster, there):
    return there._replace(admin=cluster.admin["user"] if is_hosted(cluster) else "")


def is_hosted(cluster) -> bool:
    return cluster.admin["user"] != cluster.server.superuser


def databases(cluster) -> list[str]:
    rows = cluster.query("select datname from pg_database where datallowconn and not datistemplate")
    return [name for (name,) in rows]


def hindered(cluster, tree, before, hindering):
    """What cannot become as declared is foretold and said, and all else does; then a person helps."""
    print("== converge, hindered", tree)
    print(*hindering, sep="\n")
    forecast, outcome = cluster.forecast(**tree), cluster.attempt(**tree)
    assert forecast.failures == outcome.failures, (forecast.failures, outcome.failures)
    compare_changes(text.tree(forecast.changes), text.tree(outcome.changes))
    failures = outcome.failures
    assert set(failures) == {one.where for one in hindering}, (failures, hindering)
    for one in hindering:
        is_waited_for = one.where.startswith("role ") and f"database {one.database!r}" in failures
        words = [one.database] if is_waited_for else one.words  # what else is there is seen after that one
        named = [repr(word)[1:-1] for word in words]  # as messages quote what has a line break
        assert all(word in failures[one.where] for word in named), (one, failures)
    pillar = reluctant(reference.Pillar(tree), before["postgres"])
    # A role that could not leave has lost what lies in declared schemas, which the reference does not know
    if failures.keys().isdisjoint(f"role {name!r}" for name in pillar.heirs):
        compare(cluster, pillar, before, set(failures))
    again = cluster.attempt(**tree)
    assert (again.changes, again.failures.keys()) == ([], failures.keys())
    for one in hindering:
        cluster.query(one.remedy, dbname=one.database)


def reluctant(pillar, before):
    """What pillar means while memberships stay that the admin cannot end."""
    for role, member in obstacles.stuck_memberships(pillar, before):
        pillar.extras[member].add(role)
    return pillar


def settle(cluster, tree):
    print("== converge", tree)
    foretold = cluster.preview(**tree)
    outcome = cluster.attempt(**tree)
    assert not outcome.failures, outcome.failures
    compare_changes(foretold, text.tree(outcome.changes))
    again = cluster.converge(**tree)
    assert again == {}, f"a second run finds something to do: {again}"


def compare_changes(foretold, changed):
    assert changed == foretold, f"not as foretold:\n{_apart(foretold, changed)}"


def _apart(foretold, changed):
    lines = (pprint.pformat(one, width=200).splitlines() for one in (foretold, changed))
    return "\n".join(line for line in difflib.ndiff(*lines) if line[0] in "+-")


def drift(cluster, pillar, work):
    """In each database, what people do there."""
    roles = tuple(sorted({*pillar.roles, *hands.STRANGERS}))
    for name in sorted(pillar.databases):
        schemas = tuple(sorted({*pillar.schemas(name), "elsewhere"}))
        place = hands.Place(cluster.server, cluster.admin["user"], name, schemas, roles)
        work.work(place, ACTS)


# Comparing


def compare(cluster, pillar, before, failed=frozenset()):
    """Raise where anything is not as the reference has it; return how many effective rights there were."""
    admins, compared = {cluster.admin["user"], cluster.server.superuser}, 0
    for name in databases(cluster):
        if f"database {name!r}" in failed:
            after = snapshot.of_database(cluster.server, name)
            found = [*owners_in_a_refused_database(pillar, before[name], after)]
        else:
            found, rights = compare_database(cluster, pillar, name, before.get(name), admins, failed)
            compared += rights
        assert not found, f"in {name}:\n" + "\n".join(found[:20])
    return compared


def compare_database(cluster, pillar, name, before, admins, failed):
    """What differs, and how many effective rights there are."""

    def is_refused(key):
        return key[0] == "database" and f"database {after.things[key].name!r}" in failed

    with snapshot.session(cluster.server, name) as cursor:
        if name in pillar.databases:
            make_new_objects(cursor, pillar, name, beyond(cluster, pillar, cursor))
        after = seen(cluster, snapshot.take(cursor))
        has, should = both(cursor, pillar, after, admins)
    wrong = {one for one in has ^ should if len(one) == 3 or not is_refused(one[:3])}
    found = [*differences(after, wrong, has), *roles_amiss(pillar, after)]
    if before:
        judged = {key: one for key, one in before.things.items() if not is_refused(key)}
        before = before._replace(things=judged)
        found += changed_owners(pillar, before, after, admins)
        found += lost(pillar, before, after, admins)
    return found, len(has)


def owners_in_a_refused_database(pillar, before, after):
    """Nothing is changed there but by the farewell of a role. Other databases are judged by themselves."""
    for thing in before.things.values():
        now = after.things[thing.key].owner
        is_here = thing.kind != "database" or thing.name == before.database
        if is_here and now not in {thing.owner, pillar.heirs.get(thing.owner)}:
            yield f"{thing.told} of {thing.owner} is now {now}'s"


NEW = (
    "create table {s}.{n} (id serial, g int generated always as identity, what text)",
    "create view {s}.{v} as select 1 as one",
    "create sequence {s}.{q}",
    "create function {s}.{n}(int, out int) language sql as 'select 1'",
    "create procedure {s}.{n}(text) language sql as 'select 1'",
)


def beyond(cluster, pillar, cursor):
    """The schemas of those that an admin that is no superuser cannot act for: it lets nobody create there."""
    there = seen(cluster, snapshot.take(cursor)) if is_hosted(cluster) else None
    schemas = [one for one in there.things.values() if one.kind == "schema"] if there else []
    return {one.name for one in schemas if reference.is_beyond(pillar, there, one.owner)}


def make_new_objects(cursor, pillar, database, closed):
    """What every creator makes next, in the transaction that is looked at and never kept."""
    for schema in sorted(pillar.schemas(database) - closed):
        cursor.execute("select from pg_namespace where nspname = %s", [schema])
        for number, creator in enumerate(
            sorted(pillar.creators(database, schema)) if cursor.rowcount else ()
        ):
            names = {name: Identifier(f"new {name}{number}") for name in "nvq"}
            cursor.execute(SQL("set local role {}").format(Identifier(creator)))
            for statement in NEW:
                cursor.execute(SQL(statement).format(s=Identifier(schema), **names))
            cursor.execute("reset role")


def both(cursor, pillar, after, admins):
    """What the server affirms, and what it should."""
    version = cursor.connection.server_version
    usual = (
        name for name, role in after.roles.items() if not role["rolsuper"] and not name.startswith("pg_")
    )
    roles = set(usual) - admins
    has = snapshot.effective(cursor, after, roles) | snapshot.reach(cursor, roles)
    return has, reference.effective(pillar, after, roles, version) | reference.reach(pillar, after, roles)


def differences(after, differing, has):
    for one in sorted(differing, key=str):
        said = "has" if one in has else "lacks"
        if len(one) == 3:
            yield "{0} {said} {2} of {1}".format(*one, said=said)
            continue
        thing, (role, privilege, option) = after.things[one[:3]], one[3:]
        option = " with grant option" if option else ""
        yield f"{role} {said} {privilege}{option} on {thing.told} of {thing.owner}"


def roles_amiss(pillar, after):
    for name in pillar.roles:
        role = after.roles.get(name)
        if (
            role is None
            or role["rolsuper"]
            or not role["rolinherit"]
            or role["rolcanlogin"] != (name in pillar.users)
        ):
            yield f"role {name} is {role}"
    yield from (f"role {name} is still there" for name in pillar.heirs if name in after.roles)


def changed_owners(pillar, before, after, admins):
    for thing in before.things.values():
        now = after.things.get(thing.key)
        should = reference.owner(pillar, before, thing)
        if now is None:
            yield f"{thing.told} of {thing.owner} is gone"
        elif now.owner != should:
            yield f"{thing.told} of {thing.owner} is now {now.owner}'s, not {should}'s"


def lost(pillar, before, after, admins):
    """What undeclared roles had, and what is where pillar has no say, is as it was."""
    there = {
        (*thing.key, right.grantee, right.privilege, right.grantable)
        for thing in after.things.values()
        for right in thing.rights or ()
    }
    there |= {(*one[:-1], False) for one in there}
    for one in sorted(reference.kept(pillar, before) - there):
        thing, now = before.things[one[:3]], after.things[one[:3]]
        if one[3] not in {thing.owner, now.owner, *admins}:
            yield f"{one[3]} lost {one[4]} (grantable: {one[5]}) on {thing.told}"
    joined = {(join.role, join.member) for join in after.memberships}
    gone = reference.kept_memberships(pillar, before) - joined
    yield from (f"{member} is no more in {role}" for role, member in sorted(gone) if member not in admins)
