"""An admin with CREATEROLE and CREATEDB alone, as providers give it: by the rules of 15, and of 16 on."""

import re
from contextlib import contextmanager

import psycopg2
import pytest

from devtools.postgres import HBA, majors
from pgpillar import connect, observe, scram, strangers, text

URL = "salt://shop/schema.sql"
SHOP = {
    "databases": {
        "shop": {
            "owner": "shop",
            "access": {"app": "write", "ann": "read", "olga": "owner"},
            "schemas": {"news": {"owner": "press", "access": {"ann": "write"}}},
            "extensions": ["citext"],
            "settings": {"work_mem": "2MB"},
            "bootstrap": URL,
            "connection_limit": 20,
        },
        "wiki": "shop",
    },
    "users": {
        "shop": {},
        "press": {},
        "app": {"connection_limit": 5, "settings": {"search_path": ["public"]}},
        "ann": {"groups": ["readers"], "valid_until": "2041-01-01"},
        "olga": {},
    },
    "groups": {"readers": {}},
}
AT_SHOP = {"dbname": "shop"}
FROM_15 = [major for major in majors() if major >= 15]
EVERY = pytest.mark.parametrize("every_server", FROM_15, indirect=True)
FROM_16 = pytest.mark.parametrize("every_server", FROM_15[1:], indirect=True)


def converged(hosted):
    hosted.scripts[URL] = "create table orders (id serial, what citext)"
    changed = hosted.settle(**SHOP)
    hosted.query("create table news.items (what text)", user="press", **AT_SHOP)
    assert hosted.converge(**SHOP) == {}
    return changed


@EVERY
def test_everything_that_is_declared_becomes_true(every_hosted):
    converged(every_hosted)
    for user, statement in (
        ("app", "insert into orders (what) values ('Tea')"),
        ("ann", "insert into news.items values ('tea')"),
        ("olga", "create table more ()"),
        ("olga", "drop table more"),
    ):
        every_hosted.query(statement, user=user, **AT_SHOP)
    assert every_hosted.query("select what from orders where what = 'TEA'", user="ann", **AT_SHOP) == [
        ("Tea",)
    ]
    for user, statement in (
        ("ann", "insert into orders (what) values ('no')"),
        ("app", "truncate orders"),
        ("app", "drop table news.items"),
        ("press", "select from orders"),
        ("olga", "create table news.mine ()"),
    ):
        with pytest.raises(psycopg2.errors.InsufficientPrivilege):
            every_hosted.query(statement, user=user, **AT_SHOP)


@EVERY
def test_a_password_that_fits_is_never_rewritten(every_hosted):
    converged(every_hosted)
    before = verifiers(every_hosted)
    assert len(before) == len(SHOP["users"])
    every_hosted.query("alter role app connection limit 7")
    assert every_hosted.settle(**SHOP)["roles"] == {"app": ["set connection limit 5"]}
    assert verifiers(every_hosted) == before


def verifiers(hosted):
    kept = "select rolname, rolpassword from pg_authid where rolname = any (%s)"
    return dict(hosted.query(kept, [list(SHOP["users"])]))


# What the superuser, or somebody with the owner's rights, has done by hand
DRIFTS = {
    "grant select on orders to press": "revoke SELECT on table orders in schema public from press",
    "grant update (what) on orders to ann": "revoke UPDATE on column orders.what in schema public from ann",
    "revoke select on orders from ann": "grant SELECT on table orders in schema public to ann",
    "grant select on news.items to public": "revoke SELECT on table items in schema news from PUBLIC",
    "grant create on schema public to public": "revoke CREATE on schema public from PUBLIC",
    "grant usage on schema news to app with grant option": (
        "revoke the right to pass on USAGE, and what was passed on, on schema news from app"
    ),
    "grant connect, temp on database shop to public": (
        "revoke CONNECT, TEMPORARY on the database from PUBLIC"
    ),
    "alter default privileges for role shop grant select on tables to press": (
        "revoke SELECT on new tables of shop from press"
    ),
    "alter default privileges for role olga in schema public revoke select on tables from ann": (
        "grant SELECT on new tables of olga in schema public to ann"
    ),
    "alter database shop set work_mem = '9MB'": "set work_mem = 2MB",
    "alter database shop connection limit 3": "connection limit 20",
    "alter database shop reset all": "set work_mem = 2MB",
    "alter schema news owner to shop": "schema news owner: shop → press",
    "alter database shop owner to press": "owner: press → shop",
}
OF_ROLES = {
    "alter role app nologin": ("app", "set login on"),
    "alter role app noinherit": ("app", "set inherit on"),
    "alter role app valid until '2040-01-01'": ("app", "set valid until none"),
    "alter role ann valid until 'infinity'": ("ann", "set valid until 2041-01-01T00:00:00+00:00"),
    "alter role app reset search_path": ("app", "set search_path = public"),
    "alter role app set work_mem = '1MB'": ("app", "reset work_mem"),
    "alter role app password 'other'": ("app", "set password"),
    "alter role app password null": ("app", "set password"),
}


@EVERY
def test_every_kind_of_drift_is_taken_back(every_hosted):
    converged(every_hosted)
    for drift, line in DRIFTS.items():
        every_hosted.query(drift, **AT_SHOP)
        assert line in every_hosted.settle(**SHOP)["databases"]["shop"], drift
    for drift, (role, line) in OF_ROLES.items():
        every_hosted.query(drift)
        assert every_hosted.settle(**SHOP) == {"roles": {role: [line]}}, drift


@EVERY
def test_what_the_owner_granted_is_taken_back_where_others_may_grant_too(every_hosted):
    """The admin is a member of olga as well, in whose name PostgreSQL would revoke nothing."""
    converged(every_hosted)
    every_hosted.query(
        "create function f() returns int language sql as 'select 1'; create sequence s;",
        user="shop",
        **AT_SHOP,
    )
    every_hosted.converge(**SHOP)
    kept = rights(every_hosted)
    for what in SHARED:
        every_hosted.query(
            f"grant {what} to olga with grant option; grant {what} to press, public", user="shop", **AT_SHOP
        )
    # The owner has to reach what it takes back
    every_hosted.query("revoke usage on schema public from pg_database_owner, shop", **AT_SHOP)
    every_hosted.settle(**SHOP)
    assert rights(every_hosted) == kept


SHARED = (
    "all on orders",
    "select (what), update (what) on orders",
    "all on schema public",
    "all on function f()",
    "all on sequence s",
    "all on database shop",
)


def rights(hosted):
    """What anybody but the owner may do with what is shared."""
    return hosted.query(_RIGHTS, **AT_SHOP)


_RIGHTS = """
    select what, pg_get_userbyid(grantee), privilege_type, is_grantable
    from (select datname::text as what, datacl as acl, datdba as owner from pg_database where datname = 'shop'
          union all select nspname, nspacl, nspowner from pg_namespace where nspname = 'public'
          union all select relname, relacl, relowner from pg_class where relname in ('orders', 's')
          union all select attname, attacl, 0 from pg_attribute where attrelid = 'orders'::regclass
          union all select proname, proacl, proowner from pg_proc where proname = 'f') t, aclexplode(acl)
    where grantee <> owner order by 1, 2, 3, 4"""


@EVERY
def test_what_a_declared_role_owns_where_it_may_not_create_goes_to_the_owner(every_hosted):
    """The admin was never in that role, and joins it."""
    converged(every_hosted)
    every_hosted.query("grant create on schema public to app", **AT_SHOP)
    every_hosted.query("create table mine (); create type mood as enum ('a')", user="app", **AT_SHOP)
    every_hosted.query("alter default privileges grant select on tables to press", user="app", **AT_SHOP)
    changed = every_hosted.settle(**SHOP)
    assert changed["roles"] == {"doadmin": ["join app"]}
    owners = "select distinct pg_get_userbyid(typowner) from pg_type where typname in ('mine', 'mood')"
    assert every_hosted.query(owners, **AT_SHOP) == [("shop",)]


@EVERY
def test_a_membership_that_the_admin_granted_by_hand_goes(every_hosted):
    converged(every_hosted)
    by_hand = {"user": every_hosted.admin["user"], "password": every_hosted.admin["password"]}
    every_hosted.query("grant readers to app with admin option", **by_hand)
    every_hosted.query("revoke readers from ann", **by_hand)
    assert every_hosted.settle(**SHOP)["roles"] == {"app": ["leave readers"], "ann": ["join readers"]}


@FROM_16
def test_a_membership_that_the_superuser_granted_is_said_to_be_beyond_it(every_hosted):
    converged(every_hosted)
    every_hosted.query("grant readers to app; alter role app connection limit 7")
    forecast, outcome = every_hosted.forecast(**SHOP), every_hosted.attempt(**SHOP)
    assert forecast.failures == outcome.failures == {"role 'app'": cannot_leave("readers", "postgres")}
    assert text.tree(forecast.changes) == text.tree(outcome.changes) == CONNECTIONS_OF_APP
    assert every_hosted.attempt(**SHOP).changes == []
    every_hosted.query("revoke readers from app")
    assert every_hosted.converge(**SHOP) == {}


CONNECTIONS_OF_APP = {"roles": {"app": ["set connection limit 5"]}}


def cannot_leave(role, giver):
    or_join = "" if giver == "postgres" else f", or put the admin into {giver!r}"
    return (
        f"{giver!r} granted it membership in {role!r}, which the admin cannot revoke; "
        f"have a superuser run REVOKE … GRANTED BY {giver!r}{or_join}"
    )


@FROM_16
def test_a_membership_that_an_undeclared_role_granted_is_said_to_be_beyond_it(every_hosted):
    """The admin made both of these roles, and acts for neither."""
    converged(every_hosted)
    by_hand = {"user": every_hosted.admin["user"], "password": every_hosted.admin["password"]}
    every_hosted.query(
        "create role ghost; create role gang; grant gang to ghost with admin option", **by_hand
    )
    every_hosted.query("alter role app connection limit 7; set role ghost; grant gang to app")
    forecast, outcome = every_hosted.forecast(**SHOP), every_hosted.attempt(**SHOP)
    assert forecast.failures == outcome.failures == {"role 'app'": cannot_leave("gang", "ghost")}
    assert text.tree(forecast.changes) == text.tree(outcome.changes) == CONNECTIONS_OF_APP
    every_hosted.query("grant ghost to doadmin", **by_hand)
    assert every_hosted.settle(**SHOP) == {"roles": {"app": ["leave gang"]}}


@FROM_16
def test_a_declared_membership_with_a_right_that_it_is_not_to_have_is_said_to_be_beyond_it(every_hosted):
    converged(every_hosted)
    every_hosted.query("grant readers to ann with admin option")
    forecast, outcome = every_hosted.forecast(**SHOP), every_hosted.attempt(**SHOP)
    assert forecast.failures == outcome.failures == {"role 'ann'": cannot_leave("readers", "postgres")}
    assert forecast.changes == outcome.changes == []
    every_hosted.query("revoke readers from ann granted by postgres")
    assert every_hosted.converge(**SHOP) == {}


@EVERY
def test_what_a_role_brought_others_into_is_left_with_it(every_hosted):
    """The admin acts for none of them, and on PostgreSQL 16 and later revokes nothing in their names."""
    users = ["a", "b", "c"]
    every_hosted.settle(users=users, groups={"readers": {}})
    by_hand = {"user": every_hosted.admin["user"], "password": every_hosted.admin["password"]}
    every_hosted.query("grant readers to c with admin option", **by_hand)
    every_hosted.query("set role c; grant readers to b with admin option")
    every_hosted.query("set role b; grant readers to a")
    changed = every_hosted.settle(users=users, groups={"readers": {}})
    assert changed == {"roles": {name: ["leave readers"] for name in users}}


@EVERY
def test_a_new_owner_gets_what_there_is(every_hosted):
    converged(every_hosted)
    shop = {**SHOP["databases"]["shop"], "owner": "olga", "access": {"app": "write", "ann": "read"}}
    every_hosted.settle(
        databases={**SHOP["databases"], "shop": shop}, users=SHOP["users"], groups=SHOP["groups"]
    )
    owners = "select tableowner from pg_tables where tablename = 'orders'"
    assert every_hosted.query(owners, **AT_SHOP) == [("olga",)]


@EVERY
def test_a_database_is_quarantined_and_reopened(every_hosted):
    converged(every_hosted)
    wiki = {"owner": "shop", "state": "quarantined"}
    session = every_hosted.server.connect(user="shop", password=every_hosted.passwords["shop"], dbname="wiki")
    every_hosted.settle(**{**SHOP, "databases": {**SHOP["databases"], "wiki": wiki}})
    with pytest.raises(psycopg2.OperationalError), session.cursor() as cursor:
        cursor.execute("select 1")
    with pytest.raises(psycopg2.OperationalError, match="not currently accepting connections"):
        every_hosted.query("select 1", user="shop", dbname="wiki")
    every_hosted.settle(**SHOP)
    every_hosted.query("select 1", user="shop", dbname="wiki")


@pytest.mark.usefixtures("clients")
def test_a_database_is_dumped_and_dropped(hosted, tmp_path):
    hosted.endpoint["dumps"] = str(tmp_path)
    hosted.converge(databases={"wiki": "shop"}, users=["shop"])
    hosted.query("create table pages as select 1 as id", user="shop", dbname="wiki")
    for state in ("quarantined", "absent"):
        hosted.settle(databases={"wiki": {"owner": "shop", "state": state}}, users=["shop"])
    assert hosted.query("select 1 from pg_database where datname = 'wiki'") == []
    assert len([*tmp_path.glob("wiki-*.dump")]) == 1


@EVERY
def test_a_role_goes_and_leaves_what_it_owns_to_an_heir(every_hosted):
    converged(every_hosted)
    every_hosted.query("set role olga; create table hers (); create schema hers", user="olga", **AT_SHOP)
    shop = {**SHOP["databases"]["shop"], "access": {"app": "write", "ann": "read"}}
    users = {**SHOP["users"], "olga": {"state": "absent", "reassign_to": "shop"}}
    declared = {"databases": {**SHOP["databases"], "shop": shop}, "users": users, "groups": SHOP["groups"]}
    every_hosted.settle(**declared)
    owners = "select tableowner from pg_tables where tablename = 'hers'"
    assert every_hosted.query(owners, **AT_SHOP) == [("shop",)]
    assert every_hosted.query("select 1 from pg_roles where rolname = 'olga'") == []


@EVERY
def test_a_role_that_may_pass_on_rights_is_dropped(every_hosted):
    """The admin is a member of that role as well as of the owner, who gave it those rights."""
    users = {"shop": {}, "olga": {}}
    every_hosted.settle(databases={"shop": "shop"}, users=users)
    make_elsewhere(every_hosted, *(f"grant {what} to olga with grant option" for what in PASSED_ON))
    users["olga"] = {"state": "absent"}
    every_hosted.settle(databases={"shop": "shop"}, users=users)
    assert every_hosted.query("select 1 from pg_roles where rolname = 'olga'") == []


@EVERY
def test_a_role_is_dropped_where_others_may_pass_on_what_it_has(every_hosted):
    """The admin is in all of them, and PostgreSQL would revoke in the name of one that granted nothing."""
    access = {"a": "owner", "z": "owner"}
    users = {"a": {}, "olga": {}, "shop": {}, "z": {}}
    every_hosted.settle(databases={"shop": {"owner": "shop", "access": access}}, users=users)
    make_elsewhere(
        every_hosted,
        *(f"grant {what} to a, z with grant option" for what in PASSED_ON[1:]),
        *(f"grant {what} to olga" for what in PASSED_ON[1:]),
    )
    users["olga"] = {"state": "absent"}
    every_hosted.settle(databases={"shop": {"owner": "shop", "access": access}}, users=users)
    assert every_hosted.query("select 1 from pg_roles where rolname = 'olga'") == []


def make_elsewhere(cluster, *grants):
    """The owner makes a schema that pillar does not name, and grants rights in it."""
    for statement in (*ELSEWHERE, *grants):
        cluster.query(statement, user="shop", **AT_SHOP)


ELSEWHERE = (
    "create schema elsewhere; create table elsewhere.t (id int); create sequence elsewhere.s",
    "create function elsewhere.f(int, out int) language sql as 'select 1'",
    "create type elsewhere.mood as enum ('a')",
)
PASSED_ON = (
    "all on database shop",
    "all on schema elsewhere",
    "insert on elsewhere.t",
    "select (id) on elsewhere.t",
    "all on sequence elsewhere.s",
    "all on function elsewhere.f",
    "all on type elsewhere.mood",
)


# Passwords, which it can only try


ANN = {"users": {"ann": {}}}


@EVERY
def test_passwords_are_set_and_changed(every_hosted):
    every_hosted.settle(users={"ann": {"password": "old"}})
    assert every_hosted.settle(users={"ann": {"password": "new"}}) == {"roles": {"ann": ["set password"]}}
    assert every_hosted.query("select 1", user="ann", password="new") == [(1,)]


@pytest.mark.parametrize("until", ["2001-01-01", "2001-01-01T00:00:00-03:30"])
def test_an_expired_user_can_be_told_nothing_of_and_is_left_alone(hosted, until):
    hosted.settle(users={"ann": {"valid_until": until}})
    hosted.settle(users={"ann": {}})
    assert hosted.query("select 1", user="ann") == [(1,)]


def test_a_user_that_may_not_log_in_may_again_and_keeps_its_password(hosted):
    hosted.settle(**ANN)
    before = hosted.query("select rolpassword from pg_authid where rolname = 'ann'")
    hosted.query("alter role ann nologin")
    assert hosted.settle(**ANN) == {"roles": {"ann": ["set login on"]}}
    assert hosted.query("select rolpassword from pg_authid where rolname = 'ann'") == before


@pytest.mark.parametrize(
    "shut", ["revoke connect on database defaultdb from public", "alter role ann connection limit 0"]
)
def test_a_user_that_is_turned_away_after_its_password_has_the_right_one(hosted, shut):
    declared = {"users": {"ann": {"connection_limit": 0}}} if "limit" in shut else ANN
    hosted.settle(**declared)
    hosted.query(shut)
    assert hosted.settle(**declared) == {}
    hosted.query("alter role ann password 'other'")
    assert hosted.settle(**declared) == {"roles": {"ann": ["set password"]}}


FOR_THE_ADMIN = ("local all all scram-sha-256", "host all doadmin all scram-sha-256")


@contextmanager
def access_rules(server, *lines):
    server.hba(lines)
    try:
        yield
    finally:
        server.hba(HBA)


@pytest.mark.parametrize(
    "drift",
    ["alter role ann login", "alter role ann nologin", "revoke connect on database defaultdb from public"],
)
def test_where_no_password_is_asked_for_it_says_that_it_cannot_tell(hosted, drift):
    hosted.settle(**ANN)
    hosted.query(drift)
    with access_rules(hosted.server, *FOR_THE_ADMIN, "host all all all trust"):
        cannot_tell(hosted, r"without one")


def test_where_a_user_is_not_let_in_from_here_it_says_that_it_cannot_tell(hosted):
    hosted.settle(**ANN)
    with access_rules(hosted.server, *FOR_THE_ADMIN):
        cannot_tell(hosted, r"pg_hba\.conf")


def cannot_tell(hosted, why):
    """Ann's password cannot be tried and stays. All else becomes as declared, as foretold."""
    hosted.query("create role zoe")
    declared = {
        "users": {"ann": {"settings": {"work_mem": "4MB"}}},
        "groups": {"zoe": {"settings": {"work_mem": "4MB"}}},
    }
    forecast, outcome = hosted.forecast(**declared), hosted.attempt(**declared)
    assert outcome.failures == forecast.failures
    assert list(outcome.failures) == ["role 'ann'"]
    assert re.search(f"cannot tell whether .* 'ann' is right: .*{why}", outcome.failures["role 'ann'"])
    done = text.tree(outcome.changes)["roles"]
    assert done == text.tree(forecast.changes)["roles"]
    assert done["zoe"] == ["set work_mem = 4MB"]
    assert not any("password" in line for line in done["ann"])


def test_a_new_password_that_cannot_be_tried_is_said_of_its_role_alone(hosted):
    with access_rules(hosted.server, *FOR_THE_ADMIN):
        outcome = hosted.attempt(users={"ann": {}, "bob": {}}, databases={"wiki": "ann"})
    assert outcome.failures.keys() == {"role 'ann'", "role 'bob'"}
    assert all("cannot tell whether the password of" in said for said in outcome.failures.values())
    assert list(text.tree(outcome.changes)["databases"]) == ["wiki"]


def test_a_user_whom_its_own_setting_keeps_out_can_be_mended(hosted):
    preloaded = {"settings": {"local_preload_libraries": ["nix"]}}
    hosted.settle(users={"ann": preloaded})
    assert hosted.settle(users={"ann": {}})["roles"] == {"ann": ["reset local_preload_libraries"]}


@pytest.mark.parametrize("before", ["create role ann", "select 1"], ids=["existing", "new"])
def test_a_verifier_in_pillar_cannot_be_compared(hosted, before):
    declared = {
        "users": {"ann": {"password": scram.verifier("tea")}, "bob": {}},
        "databases": {"wiki": "bob"},
    }
    hosted.query(before)
    forecast, outcome = hosted.forecast(**declared), hosted.attempt(**declared)
    assert outcome.failures == forecast.failures
    said = "'doadmin' may not read pg_authid; give the password itself in postgresql:users:ann:password"
    assert said in outcome.failures.pop("role 'ann'")
    assert outcome.failures == {}
    assert set(text.tree(outcome.changes)["roles"]) == {"bob", "doadmin"}


# What is beyond it


@FROM_16
def test_a_role_that_somebody_else_made_is_a_clear_failure(every_hosted):
    every_hosted.query("create role ann login connection limit 3 password 'tea'")
    every_hosted.passwords["ann"] = "tea"
    failures = every_hosted.attempt(**ANN).failures
    assert set(failures) == {"role 'ann'"}
    (failure,) = failures.values()
    assert "set connection limit -1: permission denied to alter role" in failure
    assert "ADMIN option on role" in failure or "give the admin that right" in failure
    every_hosted.query("grant ann to doadmin with admin option")
    assert every_hosted.settle(**ANN) == {"roles": {"ann": ["set connection limit -1"]}}


@FROM_16
def test_a_role_that_somebody_else_made_cannot_be_joined(every_hosted):
    every_hosted.query("create role shop login password 'tea'")
    every_hosted.passwords["shop"] = "tea"
    failures = every_hosted.attempt(databases={"shop": "shop"}, users=["shop"]).failures
    assert set(failures) == {"role 'doadmin'", "database 'shop'"}
    assert "join shop: permission denied to grant role" in failures["role 'doadmin'"]
    why = "it waits for 'doadmin' to join 'shop'; why that fails is reported for role 'doadmin'"
    assert failures["database 'shop'"] == why
    assert every_hosted.query("select 1 from pg_database where datname = 'shop'") == []


@FROM_16
def test_an_owner_that_cannot_be_joined_concerns_the_database_of_its_object_alone(every_hosted):
    databases = {"shop": {"owner": "shop", "access": {"ann": "read"}}, "wiki": {"owner": "shop"}}
    users = ["shop", "ann"]
    every_hosted.settle(databases=databases, users=users)
    every_hosted.query("revoke ann from doadmin; grant create on schema public to ann", dbname="shop")
    every_hosted.query("create table mine ()", user="ann", dbname="shop")
    databases["wiki"]["access"] = {"ann": "read"}
    failures = every_hosted.attempt(databases=databases, users=users).failures
    assert set(failures) == {"role 'doadmin'", "database 'shop'"}
    assert "join ann: permission denied" in failures["role 'doadmin'"]
    every_hosted.query("select 1", user="ann", dbname="wiki")


@EVERY
def test_a_superuser_cannot_be_brought_down(every_hosted):
    every_hosted.settle(**ANN)
    every_hosted.query("alter role ann superuser")
    failures = every_hosted.attempt(**ANN).failures
    assert "set superuser off" in failures["role 'ann'"]


@EVERY
def test_an_extension_that_is_not_trusted_fails_in_its_database_alone(every_hosted):
    databases = {"shop": {"owner": "shop", "extensions": ["file_fdw"]}, "wiki": "shop"}
    failures = every_hosted.attempt(databases=databases, users=["shop"]).failures
    assert set(failures) == {"database 'shop'"}
    assert "create extension file_fdw: permission denied to create extension" in failures["database 'shop'"]
    every_hosted.query("select 1", user="shop", dbname="wiki")


# What belongs to roles that it cannot act for


THEIRS = """
    create table theirs (id serial, what text); create function f() returns int language sql as 'select 1';
    grant select, update (what) on theirs to ann; grant insert on theirs to app;
    grant select on theirs to public
"""


def unmanaged(hosted, **declared):
    declaration = hosted.declared(**declared)
    with connect.gateway(declaration.endpoint) as gateway:
        found = observe.survey(gateway, declaration.cluster)
    return strangers.unmanaged(found, declaration.cluster, declaration.endpoint.database)


def make_ghost(hosted):
    """A role that pillar does not name, and that may create in two declared schemas."""
    hosted.query("create role ghost; grant create, usage on schema public, news to ghost", **AT_SHOP)


def rights_on(hosted, table):
    held = "select relacl::text from pg_class where oid = %s::regclass"
    return hosted.query(held, [table], **AT_SHOP)


@EVERY
def test_objects_of_an_undeclared_role_are_passed_over_and_listed(every_hosted):
    converged(every_hosted)
    make_ghost(every_hosted)
    every_hosted.query(f"set role ghost; {THEIRS}", **AT_SHOP)
    before = rights_on(every_hosted, "theirs")
    every_hosted.query("revoke select on orders from ann; grant select on orders to press", **AT_SHOP)
    assert every_hosted.settle(**SHOP)["databases"]["shop"] == [
        "revoke SELECT on table orders in schema public from press",
        "grant SELECT on table orders in schema public to ann",
    ]
    assert rights_on(every_hosted, "theirs") == before
    assert "table public.theirs belongs to ghost" in unmanaged(every_hosted, **SHOP)["objects"]["shop"]


@EVERY
def test_a_schema_of_an_undeclared_role_is_passed_over_and_listed(every_hosted):
    converged(every_hosted)
    make_ghost(every_hosted)
    every_hosted.query(
        "alter schema public owner to ghost; revoke usage on schema public from ann", **AT_SHOP
    )
    every_hosted.query("revoke select on orders from ann", **AT_SHOP)
    assert every_hosted.settle(**SHOP)["databases"]["shop"] == [
        "grant SELECT on table orders in schema public to ann"
    ]
    assert "schema public belongs to ghost" in unmanaged(every_hosted, **SHOP)["objects"]["shop"]


@EVERY
def test_what_is_granted_on_new_objects_of_an_undeclared_role_is_passed_over_and_listed(every_hosted):
    converged(every_hosted)
    make_ghost(every_hosted)
    for what in ("in schema public grant select on tables to ann", "grant usage on sequences to public"):
        every_hosted.query(f"alter default privileges for role ghost {what}", **AT_SHOP)
    every_hosted.query("alter default privileges for role shop grant usage on sequences to ann", **AT_SHOP)
    assert every_hosted.settle(**SHOP)["databases"]["shop"] == [
        "revoke USAGE on new sequences of shop from ann"
    ]
    assert {
        "SELECT on new tables of ghost in schema public to ann",
        "USAGE on new sequences of ghost to PUBLIC",
    } < set(unmanaged(every_hosted, **SHOP)["grants"]["shop"])
    every_hosted.query("grant ghost to doadmin")
    assert every_hosted.settle(**SHOP)["databases"]["shop"] == [
        "revoke USAGE on new sequences of ghost from PUBLIC",
        "revoke SELECT on new tables of ghost in schema public from ann",
    ]


@EVERY
def test_objects_of_an_undeclared_role_that_the_admin_is_in_get_their_rights(every_hosted):
    """It is in that role through another, which pillar does not name either."""
    converged(every_hosted)
    make_ghost(every_hosted)
    every_hosted.query("create role gang; grant ghost to gang; grant gang to doadmin")
    every_hosted.query("set role ghost; create table theirs (id int)", **AT_SHOP)
    assert every_hosted.settle(**SHOP)["databases"]["shop"] == [
        "grant SELECT on table theirs in schema public to ann",
        "grant SELECT, INSERT, UPDATE, DELETE on table theirs in schema public to app",
    ]


@EVERY
def test_rights_that_keep_a_role_from_going_are_said_with_who_granted_them(every_hosted):
    users = ["shop", "bob"]
    every_hosted.converge(
        databases={"shop": {"owner": "shop", "access": {"bob": "read"}}, "wiki": "shop"}, users=users
    )
    every_hosted.query("create role ghost; create schema theirs authorization ghost", **AT_SHOP)
    every_hosted.query("set role ghost; grant usage on schema theirs to bob", **AT_SHOP)
    gone = {"databases": {"shop": "shop", "wiki": "shop"}, "users": {"shop": {}, "bob": {"state": "absent"}}}
    failures = every_hosted.attempt(**gone).failures
    assert failures == {
        "role 'bob'": "role 'bob' has rights on what belongs to 'ghost' in database 'shop', and the admin "
        "cannot revoke them; have 'ghost' or a superuser revoke them there"
    }
    every_hosted.query("revoke usage on schema theirs from bob", **AT_SHOP)
    every_hosted.settle(**gone)


# Extensions, whose objects belong to a superuser although the admin creates them


def with_citext(extensions, schema="ext"):
    shop = {"owner": "shop", "schemas": {schema: {}}, "extensions": extensions}
    return {"databases": {"shop": shop, "wiki": "shop"}, "users": ["shop"]}


def where_citext_is(hosted):
    return hosted.query(
        "select extnamespace::regnamespace::text from pg_extension where extname = 'citext'", **AT_SHOP
    )


@EVERY
def test_an_extension_that_only_a_superuser_can_move_is_refused_in_its_database_alone(every_hosted):
    every_hosted.settle(**with_citext(["citext"]))
    every_hosted.query("grant connect on database wiki, shop to public")
    asked = with_citext({"citext": {"schema": "ext"}})
    forecast = every_hosted.forecast(**asked)
    outcome = every_hosted.attempt(**asked)
    why = (
        "only a superuser can move extension 'citext' from schema public to ext, for its objects belong to "
        "one; have a superuser run ALTER EXTENSION citext SET SCHEMA ext there, or set "
        "postgresql:databases:shop:extensions:citext:schema to public"
    )
    assert outcome.failures == forecast.failures == {"database 'shop'": why}
    assert {change.database for change in outcome.changes} == {"wiki"}
    every_hosted.query("alter extension citext set schema ext", **AT_SHOP)
    every_hosted.settle(**asked)


def test_who_moves_an_extension_is_told_to_make_its_schema_where_there_is_none(hosted):
    hosted.settle(**with_citext(["citext"]))
    shop = {"owner": "shop", "extensions": {"citext": {"schema": "new"}}, "schemas": {"new": {}}}
    asked = {"databases": {"shop": shop, "wiki": "shop"}, "users": ["shop"]}
    failure = hosted.attempt(**asked).failures["database 'shop'"]
    assert "have a superuser run CREATE SCHEMA new and ALTER EXTENSION citext SET SCHEMA new there" in failure
    hosted.query("create schema new authorization doadmin; alter extension citext set schema new", **AT_SHOP)
    hosted.settle(**asked)


@EVERY
def test_an_extension_is_refused_where_its_script_would_find_functions_of_others(every_hosted):
    every_hosted.converge(**with_citext([]))
    every_hosted.query("create function f() returns int language sql as 'select 1'", user="shop", **AT_SHOP)
    forecast, outcome = (
        of(**with_citext(["citext"])) for of in (every_hosted.forecast, every_hosted.attempt)
    )
    why = (
        "the script of extension 'citext' has a superuser's rights and would find public.f() of shop; name a "
        "schema of its own for the extension in pillar, or create and update it by hand"
    )
    assert outcome.failures == forecast.failures == {"database 'shop'": why}
    assert outcome.changes == forecast.changes == []
    assert where_citext_is(every_hosted) == []
    every_hosted.settle(**with_citext({"citext": {"schema": "ext"}}))
    assert where_citext_is(every_hosted) == [("ext",)]


@EVERY
def test_an_owner_that_may_no_longer_create_may_again_before_it_gets_objects(every_hosted):
    converged(every_hosted)
    every_hosted.query("create table annas (id int); alter table annas owner to ann", **AT_SHOP)
    every_hosted.query("revoke all on schema public from pg_database_owner, shop, public", **AT_SHOP)
    lines = every_hosted.settle(**SHOP)["databases"]["shop"]
    assert lines.index("grant CREATE, USAGE on schema public to shop") < lines.index(
        "table public.annas owner: ann → shop"
    )


@EVERY
@pytest.mark.parametrize(
    ("what", "told"), [("database shop", "the database"), ("schema news", "schema news")]
)
def test_what_belongs_to_an_undeclared_role_is_refused_where_pillar_names_its_owner(every_hosted, what, told):
    converged(every_hosted)
    every_hosted.query("create role ghost; grant connect on database shop to public", **AT_SHOP)
    every_hosted.query(f"alter {what} owner to ghost", **AT_SHOP)
    every_hosted.query("alter database wiki connection limit 7")
    forecast, outcome = every_hosted.forecast(**SHOP), every_hosted.attempt(**SHOP)
    assert outcome.failures == forecast.failures
    (failure,) = outcome.failures.values()
    assert f"{told} belongs to 'ghost', which pillar does not name and the admin does not act for" in failure
    assert text.tree(outcome.changes) == {"databases": {"wiki": ["connection limit -1"]}}
    every_hosted.query("grant ghost to doadmin")
    every_hosted.settle(**SHOP)


@EVERY
def test_objects_in_a_schema_of_an_undeclared_role_cannot_be_given_to_who_may_not_create_there(every_hosted):
    converged(every_hosted)
    every_hosted.query("create table annas (id int); alter table annas owner to ann", **AT_SHOP)
    every_hosted.query("create role ghost; alter schema public owner to ghost", **AT_SHOP)
    every_hosted.query("revoke create on schema public from shop, olga", **AT_SHOP)
    forecast, outcome = every_hosted.forecast(**SHOP), every_hosted.attempt(**SHOP)
    assert outcome.failures == forecast.failures
    assert set(outcome.failures) == {"database 'shop'"}
    assert "schema public belongs to 'ghost'" in outcome.failures["database 'shop'"]
    every_hosted.query("grant ghost to doadmin")
    every_hosted.settle(**SHOP)


LEAVES = {
    "databases": {"shop": "shop"},
    "users": {"olga": {"state": "absent", "reassign_to": "zoe"}, "shop": {}, "zoe": {"groups": ["makers"]}},
    "groups": {"makers": {}},
}
IN_THE_ATTIC = (
    "create function attic.f() returns int language sql as 'select 1'",
    "create collation attic.c (locale = 'C')",
    "create table attic.t (id int)",
)


@pytest.fixture
def attic(every_hosted):
    """A schema that pillar does not name, where a role that leaves has made things."""
    staying = {
        "databases": {"shop": {"owner": "shop", "access": {"olga": "read"}}},
        "users": {**LEAVES["users"], "olga": {}},
    }
    every_hosted.settle(**{**LEAVES, **staying})
    every_hosted.query("create schema attic authorization shop", **AT_SHOP)
    every_hosted.query("grant all on schema attic to olga", **AT_SHOP)
    for statement in IN_THE_ATTIC:
        every_hosted.query(statement, user="olga", **AT_SHOP)
    return every_hosted


@EVERY
def test_what_an_heir_may_not_own_there_keeps_a_role_that_leaves(attic):
    """PostgreSQL asks whether the heir may create in the schema, but for tables."""
    foretold = attic.forecast(**LEAVES).failures
    outcome = attic.attempt(**LEAVES)
    assert outcome.failures == foretold
    said = "in database 'shop' role 'olga' owns collation attic.c, function attic.f(), in schemas where 'zoe'"
    assert foretold["role 'olga'"].startswith(said)
    attic.query("grant create on schema attic to makers", **AT_SHOP)
    attic.settle(**LEAVES)
    assert attic.query("select 1 from pg_roles where rolname = 'olga'") == []


@EVERY
def test_what_is_in_a_schema_of_a_role_that_leaves_goes_to_its_heir_with_the_schema(attic):
    attic.query("alter schema attic owner to olga", **AT_SHOP)
    attic.settle(**LEAVES)
    owners = "select pg_get_userbyid(proowner), pg_get_userbyid(nspowner) from pg_proc join pg_namespace n"
    owners += " on n.oid = pronamespace where nspname = 'attic'"
    assert attic.query(owners, **AT_SHOP) == [("zoe", "zoe")]


@EVERY
def test_what_an_undeclared_role_granted_is_said_to_be_beyond_it(every_hosted):
    """It passed on what the owner let it pass on. Others could only take the role's own right away."""
    pillar = {"databases": {"shop": "shop", "wiki": "shop"}, "users": ["ann", "shop"]}
    every_hosted.settle(**pillar)
    every_hosted.query("create role outsider")
    passed_on = "grant usage on schema public to outsider with grant option"
    every_hosted.query(passed_on, user="shop", **AT_SHOP)
    every_hosted.query("set role outsider; grant usage on schema public to ann", **AT_SHOP)
    every_hosted.query("alter database wiki connection limit 7")
    foretold = every_hosted.forecast(**pillar).failures
    assert every_hosted.attempt(**pillar).failures == foretold
    said = (
        "'outsider' granted USAGE on schema public to 'ann', and the admin cannot revoke it; have 'outsider'"
    )
    assert foretold == {"database 'shop'": f"{said} do so, or put the admin into 'outsider'"}
    assert every_hosted.query("select datconnlimit from pg_database where datname = 'wiki'") == [(-1,)]
    every_hosted.query("set role outsider; revoke usage on schema public from ann", **AT_SHOP)
    every_hosted.settle(**pillar)


@FROM_16
def test_rights_on_what_belongs_to_a_role_that_it_only_made_are_said_to_be_beyond_it(every_hosted):
    """Who makes a role is in it, and neither acts for it nor has its rights."""
    users = {"shop": {}, "olga": {}}
    every_hosted.settle(databases={"shop": "shop"}, users=users)
    every_hosted.query("set session authorization doadmin; create role outsider")
    every_hosted.query("create schema attic authorization outsider", **AT_SHOP)
    every_hosted.query("set role outsider; grant usage on schema attic to olga", **AT_SHOP)
    leaves = {"databases": {"shop": "shop"}, "users": {**users, "olga": {"state": "absent"}}}
    foretold = every_hosted.forecast(**leaves).failures
    assert every_hosted.attempt(**leaves).failures == foretold
    assert (
        "role 'olga' has rights on what belongs to 'outsider' in database 'shop'" in foretold["role 'olga'"]
    )
    every_hosted.query("set role outsider; revoke usage on schema attic from olga", **AT_SHOP)
    every_hosted.settle(**leaves)


@pytest.mark.parametrize("administered", ["cluster", "hosted"])
def test_what_a_role_that_leaves_granted_to_itself_goes(request, administered):
    """It acts as the owner, who can always grant, so that this does not fall with what the owner revokes."""
    cluster = request.getfixturevalue(administered)
    users = {"shop": {}, "olga": {}}
    cluster.settle(databases={"shop": {"owner": "shop", "access": {"olga": "owner"}}}, users=users)
    cluster.query("create schema attic", user="shop", **AT_SHOP)
    passed_on = "grant usage on schema attic to olga with grant option"
    cluster.query(passed_on, user="shop", **AT_SHOP)
    cluster.query("set role olga; grant usage on schema attic to olga", **AT_SHOP)
    cluster.settle(databases={"shop": "shop"}, users={**users, "olga": {"state": "absent"}})
    assert cluster.query("select 1 from pg_roles where rolname = 'olga'") == []


@EVERY
def test_what_is_in_a_schema_of_another_role_that_leaves_goes_to_their_heir(attic):
    """Roles leave by their names, and what they own in the schema of a later one is given away before."""
    users = {**LEAVES["users"], "zack": {}}
    attic.converge(**{**LEAVES, "users": {**users, "olga": {}}})
    attic.query("alter schema attic owner to zack", **AT_SHOP)
    users["zack"] = users["olga"]
    attic.settle(**{**LEAVES, "users": users})
    owners = "select pg_get_userbyid(proowner), pg_get_userbyid(nspowner) from pg_proc join pg_namespace n"
    owners += " on n.oid = pronamespace where nspname = 'attic'"
    assert attic.query(owners, **AT_SHOP) == [("zoe", "zoe")]
