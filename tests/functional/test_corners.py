"""Corners in which two rules meet."""

import pytest
from psycopg2 import errors

from devtools.postgres import HBA

ACTS = {
    "databases": {
        "shop": {"owner": "shop", "schemas": {"s": {"owner": "pam", "access": {"ann": "owner"}}}},
    },
    "users": {"shop": {}, "pam": {}, "ann": {"groups": ["readers"]}},
    "groups": {"readers": {"access": {"shop": "read"}}},
}


def test_who_may_read_by_a_group_keeps_that_beside_a_schema_of_its_own(cluster):
    cluster.settle(**ACTS)
    cluster.query("create table public.t as select 7 as id", user="shop", dbname="shop")
    assert cluster.query("select id from public.t", user="ann", dbname="shop") == [(7,)]


def test_a_group_with_owner_access_makes_each_of_its_members_act_as_the_owner(cluster):
    declared = {
        "databases": {"shop": {"owner": "shop", "access": {"team": "owner"}}},
        "users": {"shop": {}, "ann": {"groups": ["team"]}, "eve": {"groups": ["team"]}},
        "groups": {"team": {}},
    }
    cluster.settle(**declared)
    cluster.query("create table t ()", user="ann", dbname="shop")
    cluster.query("alter table t add column id int", user="eve", dbname="shop")


def test_who_may_only_read_owns_nothing_there(cluster):
    declared = {"databases": {"shop": {"owner": "shop", "access": {"ann": "read"}}}, "users": ["shop", "ann"]}
    cluster.converge(**declared)
    cluster.query("create table t (); alter table t owner to ann", dbname="shop")
    changed = cluster.settle(**declared)
    assert changed["databases"]["shop"][0] == "table public.t owner: ann → shop"


REPORTS = {
    "databases": {
        "shop": {"owner": "shop", "access": {"analyst": "read"}, "schemas": {"reporting": "analyst"}},
    },
    "users": ["shop", "analyst", "ghost"],
}


def test_who_may_create_in_one_schema_owns_nothing_in_another(cluster):
    cluster.settle(**REPORTS)
    script = """
        create table public.orders (id serial); alter table public.orders owner to analyst;
        create table reporting.mine (); alter table reporting.mine owner to analyst;
        create table reporting.theirs (); alter table reporting.theirs owner to shop"""
    cluster.query(script, dbname="shop")
    lines = cluster.settle(**REPORTS)["databases"]["shop"]
    assert lines[:2] == [
        "table public.orders owner: analyst → shop",
        "table reporting.theirs owner: shop → analyst",
    ]
    for statement in ("delete from public.orders", "drop table public.orders"):
        with pytest.raises(errors.InsufficientPrivilege):
            cluster.query(statement, user="analyst", dbname="shop")


def test_what_a_role_that_goes_owns_is_for_an_heir_who_may_create_there(cluster):
    cluster.converge(**REPORTS)
    script = """
        create table public.orders (id serial); alter table public.orders owner to ghost;
        create table reporting.mine (); alter table reporting.mine owner to ghost;
        create schema attic authorization ghost"""
    cluster.query(script, dbname="shop")
    gone = {"shop": {}, "analyst": {}, "ghost": {"state": "absent", "reassign_to": "analyst"}}
    cluster.settle(**{**REPORTS, "users": gone})
    owners = "select relname, relowner::regrole::text from pg_class where relname in ('orders', 'mine')"
    assert dict(cluster.query(owners, dbname="shop")) == {"orders": "shop", "mine": "analyst"}
    of_attic = "select nspowner::regrole::text from pg_namespace where nspname = 'attic'"
    assert cluster.query(of_attic, dbname="shop") == [("analyst",)]


def test_a_template_that_was_there_before_is_not_bootstrapped(cluster):
    cluster.scripts["salt://x.sql"] = "create table from_script ()"
    declared = {"databases": {"shop": {"owner": "shop", "bootstrap": "salt://x.sql"}}, "users": ["shop"]}
    cluster.converge(**declared)
    cluster.query("alter database shop is_template true")
    assert cluster.converge(**declared) == {}


@pytest.mark.usefixtures("clients")
def test_a_database_that_never_got_finished_can_be_dropped(cluster, tmp_path):
    cluster.endpoint["dumps"] = str(tmp_path)
    cluster.scripts["salt://x.sql"] = "select no_such()"
    shop = {"owner": "shop", "bootstrap": "salt://x.sql"}
    assert cluster.attempt(databases={"shop": shop}, users=["shop"]).failures
    for state in ("quarantined", "absent"):
        cluster.converge(databases={"shop": {**shop, "state": state}}, users=["shop"])
    assert cluster.query("select from pg_database where datname = 'shop'") == []


def test_a_database_that_is_read_only_for_its_users_is_still_converged(cluster):
    shop = {"owner": "shop", "settings": {"default_transaction_read_only": True}}
    cluster.converge(databases={"shop": shop}, users=["shop"])
    cluster.settle(databases={"shop": {**shop, "access": {"ann": "read"}}}, users=["shop", "ann"])
    cluster.settle(databases={"shop": {"owner": "shop"}}, users=["shop", "ann"])


@pytest.mark.parametrize("until", ["20000-01-01", "0044-01-01 BC", "-infinity"])
def test_a_year_beyond_pythons_is_read(cluster, until):
    cluster.converge(users=["ann"])
    cluster.query(f"alter role ann valid until '{until}'")
    assert set(cluster.settle(users=["ann"])["roles"]) == {"ann"}


def test_a_schema_that_comes_with_a_template_is_taken_over(cluster):
    cluster.query("create database tpl")
    cluster.query("create schema s", dbname="tpl")
    declared = {"databases": {"shop": {"owner": "shop", "template": "tpl", "schemas": {"s": {}}}}}
    cluster.converge(**declared, users=["shop"])
    assert cluster.converge(**declared, users=["shop"]) == {}


@pytest.mark.usefixtures("clients")
def test_a_role_and_its_only_database_go_in_one_edit(cluster, tmp_path):
    cluster.endpoint["dumps"] = str(tmp_path)
    for state in ("present", "quarantined"):
        cluster.converge(databases={"shop": {"owner": "ann", "state": state}}, users=["ann"])
    gone = {"databases": {"shop": {"state": "absent"}}, "users": {"ann": {"state": "absent"}}}
    cluster.settle(**gone)


def test_what_a_script_sets_ends_with_it(cluster):
    cluster.scripts["salt://x.sql"] = "set statement_timeout = '1ms'; create table t ()"
    cluster.settle(databases={"shop": {"owner": "shop", "bootstrap": "salt://x.sql"}}, users=["shop"])


def test_what_a_row_holds_is_not_told_when_a_script_fails(cluster):
    cluster.scripts["salt://x.sql"] = (
        "create table t (v text unique); insert into t values ('k-123'), ('k-123')"
    )
    outcome = cluster.attempt(
        databases={"shop": {"owner": "shop", "bootstrap": "salt://x.sql"}}, users=["shop"]
    )
    assert "k-123" not in str(outcome.failures)


def test_a_database_that_cannot_be_read_keeps_nobody_from_the_others(hosted):
    declared = {"databases": {"busy": "shop", "shop": "shop"}, "users": ["shop"]}
    hosted.converge(**declared)
    hosted.query("alter database shop connection limit 3")
    hosted.server.hba(["hostssl busy all all reject", *HBA])
    try:
        outcome = hosted.attempt(**declared)
    finally:
        hosted.server.hba()
    assert set(outcome.failures) == {"database 'busy'"}
    assert "pg_hba.conf" in outcome.failures["database 'busy'"]
    assert hosted.query("select datconnlimit from pg_database where datname = 'shop'") == [(-1,)]


def test_a_limit_that_keeps_the_admin_out_is_mended_from_outside(hosted):
    declared = {"databases": {"busy": "shop"}, "users": ["shop"]}
    hosted.converge(**declared)
    hosted.query("alter database busy connection limit 0")
    assert hosted.converge(**declared) == {"databases": {"busy": ["connection limit -1"]}}
    assert hosted.converge(**declared) == {}
