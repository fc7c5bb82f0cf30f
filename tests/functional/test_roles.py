"""Users and groups become as declared, whatever somebody made of them; equal ones are left alone."""

from datetime import UTC, date, datetime, timedelta, timezone

import psycopg2
import pytest

from pgpillar import scram, text

ANN = {"users": {"ann": {}}}


def kept(cluster, role="ann"):
    """What the server keeps of a password, to the byte."""
    ((verifier,),) = cluster.query("select rolpassword from pg_authid where rolname = %s", [role])
    return verifier


def shown(cluster, name, role="ann"):
    """A column of pg_roles, as JSON has it."""
    ((value,),) = cluster.query("select to_jsonb(r) -> %s from pg_roles r where rolname = %s", [name, role])
    return value


def is_in(cluster, member, role, how="member"):
    ((answer,),) = cluster.query("select pg_has_role(%s, %s, %s)", [member, role, how])
    return answer


def test_a_user_logs_in_and_a_group_does_not(cluster):
    changed = cluster.settle(users=["ann"], groups={"readers": {}})
    assert changed["roles"] == {"ann": ["create user", "set password"], "readers": ["create group"]}
    assert cluster.query("select current_user", user="ann") == [("ann",)]
    assert not shown(cluster, "rolcanlogin", "readers")


# Passwords


def test_a_password_is_kept_as_a_scram_verifier(cluster):
    cluster.settle(**ANN)
    assert kept(cluster).startswith("SCRAM-SHA-256$4096:")


def test_an_equal_password_is_never_rewritten(cluster):
    cluster.converge(**ANN)
    before = kept(cluster)
    assert cluster.converge(**ANN) == {}
    cluster.query("alter role ann connection limit 3")
    cluster.settle(**ANN)
    assert kept(cluster) == before


@pytest.mark.parametrize("drift", ["alter role ann password 'other'", "alter role ann password null"])
def test_another_password_is_replaced(cluster, drift):
    cluster.converge(**ANN)
    cluster.query(drift)
    assert cluster.settle(**ANN)["roles"] == {"ann": ["set password"]}
    assert cluster.query("select 1", user="ann") == [(1,)]


def test_a_changed_password_shuts_the_old_one_out(cluster):
    cluster.settle(users={"ann": {"password": "old"}})
    assert cluster.settle(users={"ann": {"password": "new"}})["roles"] == {"ann": ["set password"]}
    assert cluster.query("select 1", user="ann", password="new") == [(1,)]
    with pytest.raises(psycopg2.OperationalError, match="password authentication failed"):
        cluster.query("select 1", user="ann", password="old")


def test_an_md5_hash_of_the_right_password_becomes_scram(cluster):
    cluster.converge(users={"ann": {"password": "tea"}})
    cluster.query("set password_encryption = 'md5'; alter role ann password 'tea'")
    assert kept(cluster).startswith("md5")
    assert cluster.settle(users={"ann": {"password": "tea"}})["roles"] == {"ann": ["set password"]}
    assert kept(cluster).startswith("SCRAM-SHA-256$")


def test_a_password_that_the_server_has_hashed_itself_fits(cluster):
    cluster.query("create role ann login password 'tea' ")
    before = kept(cluster)
    cluster.settle(users={"ann": {"password": "tea"}})
    assert kept(cluster) == before


def test_pillar_may_give_the_verifier(cluster):
    verifier = scram.verifier("tea", iterations=5000)
    cluster.settle(users={"ann": {"password": verifier}})
    assert kept(cluster) == verifier
    assert cluster.query("select 1", user="ann", password="tea") == [(1,)]


def test_another_verifier_is_replaced(cluster):
    cluster.settle(users={"ann": {"password": scram.verifier("tea")}})
    other = scram.verifier("tea")
    assert cluster.settle(users={"ann": {"password": other}})["roles"] == {"ann": ["set password"]}
    assert kept(cluster) == other


# Options

DRIFTS = [
    ("nologin", ["set login on"]),
    ("noinherit", ["set inherit on"]),
    ("connection limit 3", ["set connection limit -1"]),
    ("valid until '2030-01-01'", ["set valid until none"]),
    ("superuser", ["set superuser off"]),
    ("createdb createrole", ["set createdb off, createrole off"]),
    ("replication bypassrls", ["set bypassrls off, replication off"]),
    ("set work_mem = '1MB'", ["reset work_mem"]),
    ("in database postgres set work_mem = '1MB'", []),
]


@pytest.mark.parametrize(("drift", "lines"), DRIFTS, ids=[drift for drift, _ in DRIFTS])
def test_what_somebody_changed_by_hand_is_taken_back(cluster, drift, lines):
    cluster.converge(**ANN)
    cluster.query(f"alter role ann {drift}")
    assert cluster.settle(**ANN) == ({"roles": {"ann": lines}} if lines else {})


def test_a_group_that_logs_in_no_longer_does(cluster):
    cluster.query("create role readers login superuser")
    changed = cluster.settle(groups={"readers": {}})
    assert changed["roles"] == {"readers": ["set login off, superuser off"]}


def test_a_user_that_becomes_a_group_can_no_longer_log_in(cluster):
    cluster.converge(**ANN)
    assert cluster.settle(groups={"ann": {}})["roles"] == {"ann": ["set login off"]}
    with pytest.raises(psycopg2.OperationalError, match="not permitted to log in"):
        cluster.query("select 1", user="ann")


def test_attributes_are_gained_and_lost(cluster):
    cluster.settle(users={"ann": {"attributes": ["createdb", "bypassrls"]}})
    assert (shown(cluster, "rolcreatedb"), shown(cluster, "rolbypassrls")) == (True, True)
    changed = cluster.settle(users={"ann": {"attributes": ["createrole", "replication", "createdb"]}})
    assert changed["roles"] == {"ann": ["set bypassrls off, createrole on, replication on"]}


def test_a_connection_limit_is_set_changed_and_lifted(cluster):
    for limit in (1, 2, -1):
        cluster.settle(users={"ann": {"connection_limit": limit}})
        assert shown(cluster, "rolconnlimit") == limit


MOMENTS = [
    ("2031-01-31T18:00:00+01:00", "2031-01-31 17:00:00"),
    ("2031-07-31T18:00:00-05:30", "2031-07-31 23:30:00"),
    ("2031-01-31T18:00:00Z", "2031-01-31 18:00:00"),
    ("2031-01-31", "2031-01-31 00:00:00"),
    (date(2031, 1, 31), "2031-01-31 00:00:00"),
    (datetime(2031, 1, 31, 18, tzinfo=timezone(timedelta(hours=1))), "2031-01-31 17:00:00"),
]


@pytest.mark.parametrize(("written", "utc"), MOMENTS)
@pytest.mark.parametrize("zone", ["UTC", "America/St_Johns"])
def test_an_expiry_is_the_same_moment_in_every_zone(cluster, written, utc, zone):
    cluster.query(f"alter system set timezone = '{zone}'")
    cluster.query("select pg_reload_conf()")
    try:
        cluster.settle(users={"ann": {"valid_until": written}})
        ((moment,),) = cluster.query("select rolvaliduntil from pg_roles where rolname = 'ann'")
        assert moment.astimezone(UTC).isoformat(" ") == f"{utc}+00:00"
    finally:
        cluster.query("alter system reset timezone")
        cluster.query("select pg_reload_conf()")


def test_an_expiry_is_moved_and_lifted(cluster):
    for until in ("2031-01-31", "2032-01-31"):
        cluster.settle(users={"ann": {"valid_until": until}})
    cluster.settle(users={"ann": {"valid_until": "infinity"}})
    assert cluster.settle(**ANN) == {}
    assert shown(cluster, "rolvaliduntil") == "infinity"


def test_an_expired_user_is_shut_out_and_left_alone(cluster):
    cluster.settle(users={"ann": {"valid_until": "2001-01-01"}})
    with pytest.raises(psycopg2.OperationalError, match="password authentication failed"):
        cluster.query("select 1", user="ann")


# Settings

SETTINGS = [
    ("search_path", ["Shop Floor", "$user", "public"], '"Shop Floor", "$user", public'),
    ("search_path", 'Shop, "$user"', 'shop, "$user"'),
    ("search_path", [], '""'),
    ("statement_timeout", "30s", "30s"),
    ("statement_timeout", 30000, "30s"),
    ("default_transaction_read_only", True, "on"),
    ("DateStyle", "ISO, DMY", "ISO, DMY"),
    ("application_name", 'it\'s "100%" {here}', 'it\'s "100%" {here}'),
    ("shop.tenant", "Größe", "Größe"),
]


@pytest.mark.parametrize(("name", "value", "in_force"), SETTINGS)
def test_a_setting_holds_when_the_user_logs_in(cluster, name, value, in_force):
    cluster.settle(users={"ann": {"settings": {name: value}}})
    found = cluster.query("select current_setting(%s)", [name], user="ann", client_encoding="UTF8")
    assert found == [(in_force,)]


def test_settings_are_changed_and_taken_away(cluster):
    cluster.settle(users={"ann": {"settings": {"work_mem": "1MB", "search_path": ["a"]}}})
    changed = cluster.settle(users={"ann": {"settings": {"search_path": ["a", "b"], "jit": False}}})
    assert changed["roles"] == {"ann": ["reset work_mem", "set jit = off", "set search_path = a, b"]}


def test_what_the_server_refuses_of_one_role_keeps_no_other_waiting(cluster):
    cluster.converge(users=["ann", "shop"], databases={"wiki": "shop"})
    elephants = {"settings": {"work_mem": "4 elephants"}}
    users = {"ann": {**elephants, "connection_limit": 3}, "bob": elephants, "eve": {}, "shop": {}}
    wiki = {"owner": "shop", "access": {"ann": "read"}}
    outcome = cluster.attempt(users=users, databases={"hers": "bob", "wiki": wiki})
    refused = 'set work_mem = 4 elephants: invalid value for parameter "work_mem": "4 elephants"'
    assert outcome.failures.keys() == {"role 'ann'", "role 'bob'", "database 'hers'"}
    assert outcome.failures["role 'ann'"].startswith(refused)
    assert outcome.failures["database 'hers'"] == "it waits for role 'bob', whose own failure is reported"
    assert cluster.query("select rolconnlimit from pg_roles where rolname = 'ann'") == [(-1,)], (
        "all or nothing"
    )
    done = text.tree(outcome.changes)
    assert done["roles"] == {"eve": ["create user", "set password"]}
    assert set(done["databases"]) == {"wiki"}
    changed = cluster.settle(users=["ann", "bob", "eve", "shop"], databases={"hers": "bob", "wiki": wiki})
    assert (set(changed["roles"]), set(changed["databases"])) == ({"bob"}, {"hers"})


@pytest.mark.parametrize("setting", [{"shared_buffers": "4MB"}, {"transaction_isolation": "serializable"}])
def test_a_setting_that_no_role_can_have_keeps_no_other_waiting(cluster, setting):
    outcome = cluster.attempt(users={"ann": {}, "bob": {"settings": setting}}, databases={"wiki": "ann"})
    assert outcome.failures.keys() == {"role 'bob'"}
    done = text.tree(outcome.changes)
    assert (set(done["roles"]), set(done["databases"])) == ({"ann"}, {"wiki"})


UNKNOWN = {"settings": {"work_memm": "4MB", "shop.tenant": "tea"}}
DECLARED_UNKNOWN = {
    "users": {"ann": UNKNOWN, "bob": {}, "eve": UNKNOWN},
    "groups": {"readers": UNKNOWN},
    "databases": {
        "shop": {"owner": "bob", **UNKNOWN},
        "wiki": {"owner": "bob", "access": {"ann": "read"}},
        "files": {"owner": "bob", "access": {"eve": "read"}},
    },
}


def test_settings_that_the_server_does_not_have_stop_who_has_them_alone(every_cluster):
    """And the databases that name a role which therefore is not there."""
    every_cluster.query("create role ann login")
    forecast = every_cluster.forecast(**DECLARED_UNKNOWN)
    outcome = every_cluster.attempt(**DECLARED_UNKNOWN)
    said = "the server has no setting 'work_memm' (postgresql:{}:settings); did you mean 'work_mem'?"
    assert outcome.failures == forecast.failures == {
        "database 'files'": "it waits for role 'eve', whose own failure is reported",
        "database 'shop'": said.format("databases:shop"),
        "role 'ann'": said.format("users:ann"),
        "role 'eve'": said.format("users:eve"),
        "role 'readers'": said.format("groups:readers"),
    }  # fmt: skip
    done = text.tree(outcome.changes)
    assert done == text.tree(forecast.changes)
    assert (set(done["roles"]), set(done["databases"])) == ({"bob"}, {"wiki"})


def test_the_founder_of_a_cluster_in_pillar_stops_nobody_else(hosted):
    founder = hosted.server.superuser
    hosted.query(f"create role ann login; grant {founder} to ann; create role bob")
    declared = {
        "users": {"ann": {"groups": [founder]}, "eve": {}},
        "groups": {founder: {"groups": ["pg_monitor"]}},
        "databases": {"wiki": "eve", "shop": {"owner": "eve", "access": {founder: "read"}}},
    }
    forecast, outcome = hosted.forecast(**declared), hosted.attempt(**declared)
    assert outcome.failures == forecast.failures
    assert outcome.failures.keys() == {f"role {founder!r}", "database 'shop'"}
    assert "is the superuser that the cluster was made with" in outcome.failures[f"role {founder!r}"]
    assert text.tree(outcome.changes) == text.tree(forecast.changes)
    assert set(text.tree(outcome.changes)["databases"]) == {"wiki"}
    assert is_in(hosted, "ann", founder)


def test_a_hosted_admin_may_name_what_it_may_not_see(hosted):
    """Some settings are hidden from it; that they are there, the server says itself."""
    outcome = hosted.attempt(users={"ann": {"settings": {"session_preload_libraries": ["auto_explain"]}}})
    assert "permission denied" in outcome.failures["role 'ann'"]


# Memberships

TEAM = {"users": {"ann": {"groups": ["readers"]}}, "groups": {"readers": {}, "writers": {}}}


def test_memberships_are_added_and_removed(cluster):
    cluster.settle(**TEAM)
    cluster.query("revoke readers from ann; grant writers to ann")
    assert cluster.settle(**TEAM)["roles"] == {"ann": ["leave writers", "join readers"]}
    assert is_in(cluster, "ann", "readers")
    assert not is_in(cluster, "ann", "writers")


def test_groups_may_be_in_groups(cluster):
    groups = {"staff": {}, "readers": {"groups": ["staff"]}}
    cluster.settle(users={"ann": {"groups": ["readers"]}}, groups=groups)
    assert is_in(cluster, "ann", "staff", "usage")


def test_a_user_may_be_in_a_group_of_postgresql(cluster):
    cluster.settle(users={"ann": {"groups": ["pg_monitor"]}})
    assert cluster.settle(**ANN)["roles"] == {"ann": ["leave pg_monitor"]}


def test_a_powerful_membership_that_nobody_asked_for_goes(every_cluster):
    every_cluster.converge(**ANN)
    every_cluster.query("grant pg_write_server_files to ann with admin option")
    assert every_cluster.settle(**ANN)["roles"] == {"ann": ["leave pg_write_server_files"]}


def test_the_right_to_admit_others_goes(every_cluster):
    every_cluster.converge(**TEAM)
    every_cluster.query("grant readers to ann with admin option")
    assert every_cluster.settle(**TEAM)["roles"] == {"ann": ["leave readers", "join readers"]}
    admins = every_cluster.query(
        "select 1 from pg_auth_members where admin_option and member = 'ann'::regrole"
    )
    assert admins == []


def test_a_membership_that_a_stranger_granted_goes(every_cluster):
    every_cluster.converge(**TEAM)
    every_cluster.query("create role stranger; grant writers to stranger with admin option")
    every_cluster.query("set role stranger; grant writers to ann")
    assert every_cluster.settle(**TEAM)["roles"] == {"ann": ["leave writers"]}


def test_what_a_member_passed_on_goes_with_its_right_to(every_cluster):
    every_cluster.converge(users=["ann", "bob"], groups={"readers": {}})
    every_cluster.query("grant readers to ann with admin option")
    every_cluster.query("set role ann; grant readers to bob")
    changed = every_cluster.settle(users=["ann", "bob"], groups={"readers": {}})
    assert changed["roles"] == {"ann": ["leave readers"], "bob": ["leave readers"]}


def test_strangers_stay_in_our_groups(cluster):
    cluster.converge(**TEAM)
    cluster.query("create role stranger; grant readers to stranger with admin option")
    assert cluster.settle(**TEAM) == {}
    assert is_in(cluster, "stranger", "readers")


TWO = {"users": ["ann", "bob"], "groups": {"readers": {}}}
MEMBERS = """
select m.rolname, bool_or(admin_option), bool_or({inherit}), bool_or({set})
from pg_auth_members join pg_roles m on m.oid = member
where roleid = 'readers'::regrole and m.rolname <> current_user group by 1 order by 1"""


def members(cluster):
    names = ("inherit_option", "set_option") if version(cluster) >= 16 else ("true", "true")
    return cluster.query(MEMBERS.format(inherit=names[0], set=names[1]))


def version(cluster):
    return int(cluster.query("show server_version_num")[0][0]) // 10000


def test_an_undeclared_member_stays_when_the_role_that_admitted_it_leaves(every_cluster):
    every_cluster.converge(**TWO)
    every_cluster.query("create role ghost noinherit; create role gang; create role friend")
    every_cluster.query("grant readers to ann with admin option")
    every_cluster.query("set role ann; grant readers to ghost with admin option")
    every_cluster.query("set role ghost; grant readers to gang, friend")
    if version(every_cluster) >= 16:
        every_cluster.query("set role ghost; grant readers to friend with set false")
    before = [row for row in members(every_cluster) if row[0] != "ann"]
    kept = {"ghost": ["join readers anew (was given by ann)"]} if version(every_cluster) >= 16 else {}
    assert every_cluster.settle(**TWO)["roles"] == {**kept, "ann": ["leave readers"]}
    assert members(every_cluster) == before


def test_a_declared_member_stays_when_the_role_that_admitted_it_leaves(every_cluster):
    every_cluster.converge(**TWO)
    every_cluster.query("grant readers to ann with admin option")
    every_cluster.query("set role ann; grant readers to bob")
    declared = {**TWO, "users": {"ann": {}, "bob": {"groups": ["readers"]}}}
    joined = {"bob": ["join readers"]} if version(every_cluster) >= 16 else {}
    assert every_cluster.settle(**declared)["roles"] == {**joined, "ann": ["leave readers"]}


FROM_16 = pytest.mark.parametrize("every_server", [16, 18], indirect=True)


@FROM_16
def test_a_hosted_admin_keeps_an_undeclared_member_as_well(every_hosted):
    every_hosted.converge(**TWO)
    every_hosted.query("create role ghost")
    admin = {"user": "doadmin", "password": every_hosted.admin["password"], "dbname": "defaultdb"}
    every_hosted.query("grant readers to ann with admin option", **admin)
    every_hosted.query("set role ann; grant readers to ghost")
    assert every_hosted.settle(**TWO)["roles"] == {
        "ghost": ["join readers anew (was given by ann)"],
        "ann": ["leave readers"],
    }
    assert is_in(every_hosted, "ghost", "readers")


@FROM_16
def test_a_leave_that_is_refused_keeps_no_other_role_waiting(every_hosted):
    """The superuser gave it, so that a hosted admin cannot take it back."""
    every_hosted.converge(**TWO)
    every_hosted.query("create role ghost; grant readers to ann with admin option")
    every_hosted.query("set role ann; grant readers to ghost, bob")
    bob = {"groups": ["readers"], "connection_limit": 3}
    outcome = every_hosted.attempt(groups={"readers": {}}, users={"ann": {}, "bob": bob})
    assert outcome.failures.keys() == {"role 'ann'"}
    assert (
        "'postgres' granted it membership in 'readers', which the admin cannot revoke"
        in outcome.failures["role 'ann'"]
    )
    assert "set connection limit 3" in text.tree(outcome.changes)["roles"]["bob"]
