"""Routines are told apart by all the types of their input arguments, however long the list is."""

import pytest

from tests.functional.test_adoption import reported
from tests.functional.test_owners import either  # noqa: F401

SHOP = {
    "databases": {"shop": {"owner": "shop", "access": {"ann": "read"}}},
    "users": ["shop", "ann", "heir"],
}
AT_SHOP = {"dbname": "shop"}

# Each overload differs from its neighbour where a name of 63 bytes ends, or only in what it gives out
LONG = """
create function report(timestamptz, timestamptz, timestamptz) returns int language sql as 'select 3';
create function report(timestamptz, timestamptz) returns int language sql as 'select 2';
create function same(double precision, double precision, double precision, int) returns int
    language sql as 'select 4';
create function same(double precision, double precision, double precision, text) returns int
    language sql as 'select 5';
create schema "Odd, (one";
create type "Odd, (one"."in" as enum ('a');
create function odd("Odd, (one"."in", variadic int[]) returns int language sql as 'select 1';
create function counts(variadic "any") returns int language internal as 'pg_num_nulls';
create function nothing() returns int language sql as 'select 0';
create function split(int, out a int, out b int) language sql as 'select 1, 2';
create aggregate total(int) (sfunc = int4pl, stype = int);
create aggregate middle(float8 order by float8) (
    sfunc = ordered_set_transition, stype = internal, finalfunc = percentile_cont_float8_final);
create procedure p(int) language sql as 'select 1';
create procedure p(inout int, text) language sql as 'select 1';
"""
OUT = """
create procedure p(out int) language sql as 'select 1';
create function q(int) returns int language sql as 'select 1';
create procedure q(out int) language sql as 'select 1';
"""

MISSING = """
    select oid::regprocedure::text from pg_proc where pronamespace = 'public'::regnamespace
    and not (has_function_privilege('ann', oid, 'execute')
             and exists (select from aclexplode(proacl) where grantee = 'ann'::regrole))"""


@pytest.fixture
def shop(every_cluster):
    every_cluster.converge(databases={"shop": "shop"}, users=["shop", "ann", "heir"])
    out = every_cluster.query("select current_setting('server_version_num')::int >= 140000") == [(True,)]
    every_cluster.query(LONG + OUT * out, **AT_SHOP)
    every_cluster.query("revoke execute on all routines in schema public from public", **AT_SHOP)
    return every_cluster


def test_every_overload_is_granted(shop):
    shop.settle(**SHOP)
    assert shop.query(MISSING, **AT_SHOP) == []


def test_every_overload_changes_its_owner(shop):
    shop.query("alter database shop owner to postgres", **AT_SHOP)
    shop.settle(**SHOP)
    owners = """select distinct proowner::regrole::text from pg_proc
        where pronamespace = 'public'::regnamespace"""
    assert shop.query(owners, **AT_SHOP) == [("shop",)]


def test_one_overload_is_told_from_another(shop):
    shop.settle(**SHOP)
    shop.query("revoke execute on routine same(float8, float8, float8, text) from ann", **AT_SHOP)
    assert shop.settle(**SHOP)["databases"]["shop"] == [
        "grant EXECUTE on routine same(double precision, double precision, double precision, text)"
        " in schema public to ann"
    ]


THREE = "report(timestamp with time zone, timestamp with time zone, timestamp with time zone)"


def test_the_right_of_a_stranger_is_reported_with_the_whole_list(shop):
    shop.settle(**SHOP)
    shop.query("create role ghost; grant execute on function " + THREE + " to ghost", **AT_SHOP)
    assert f"EXECUTE on routine public.{THREE} to ghost" in reported(shop, **SHOP)["grants"]["shop"]


RANGE = "create type span as range (subtype = int4); create table t (s span)"


def test_the_constructors_of_a_range_type_are_the_types_own(every_cluster):
    every_cluster.settle(**SHOP)
    every_cluster.query(RANGE, user="shop", **AT_SHOP)
    assert every_cluster.converge(**SHOP) == {}
    every_cluster.query("select span(1, 2)", user="ann", **AT_SHOP)


def test_a_hosted_admin_meets_a_range_type(hosted):
    hosted.settle(**SHOP)
    hosted.query(RANGE, user="shop", **AT_SHOP)
    assert hosted.converge(**SHOP) == {}
    handed = {**SHOP, "databases": {"shop": {"owner": "heir", "access": {"ann": "read"}}}}
    hosted.settle(**handed)
    assert hosted.query("select typowner::regrole::text from pg_type where typname = 'span'", **AT_SHOP) == [
        ("heir",)
    ]


def test_what_a_routine_depends_on_stays(either):  # noqa: F811
    """To hold a routine until the end of the transaction changes nothing about it."""
    either.converge(databases={"shop": "shop"}, users=["shop", "ann"])
    either.query("create function f(int) returns int language sql as 'select 1'", user="shop", **AT_SHOP)
    either.query("alter function f(int) depends on extension plpgsql", **AT_SHOP)
    either.settle(**{**SHOP, "users": ["shop", "ann"]})
    depends = "select count(*) from pg_depend where objid = 'f(int)'::regprocedure and deptype = 'x'"
    assert either.query(depends, **AT_SHOP) == [(1,)]
