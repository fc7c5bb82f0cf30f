"""Extensions: at the version and in the schema that are asked for, or refused of one database."""

import re
from contextlib import closing

import pytest

from pgpillar import connect, extension, text
from pgpillar.model import Extension
from pgpillar.plan import Change

AT_SHOP = {"dbname": "shop"}


def shop(*names, schemas=None, **extensions):
    return {
        "databases": {
            "shop": {"owner": "shop", "extensions": list(names) or extensions, "schemas": schemas or {}}
        },
        "users": ["shop"],
    }


def installed(cluster):
    rows = cluster.query(
        "select extname, extversion, extnamespace::regnamespace::text from pg_extension", **AT_SHOP
    )
    return {name: tuple(rest) for name, *rest in rows if name != "plpgsql"}


def newest(cluster, name):
    rows = cluster.query("select default_version from pg_available_extensions where name = %s", [name])
    return rows[0][0]


def test_a_list_of_names_takes_what_the_server_has(every_cluster):
    every_cluster.settle(**shop("citext", "hstore"))
    expected = {name: (newest(every_cluster, name), "public") for name in ("citext", "hstore")}
    assert installed(every_cluster) == expected
    every_cluster.query("create table t (a citext, b hstore)", user="shop", **AT_SHOP)


def test_any_version_will_do_where_none_is_asked_for(cluster):
    cluster.settle(**shop(citext="1.5"))
    assert cluster.settle(**shop("citext")) == {}
    assert installed(cluster)["citext"][0] == "1.5"


def test_a_pinned_version_is_held(cluster):
    cluster.settle(**shop(citext="1.4"))
    changed = cluster.settle(**shop(citext="1.5"))
    assert changed["databases"]["shop"] == ["extension citext version: 1.4 → 1.5"]
    assert installed(cluster)["citext"][0] == "1.5"


def test_latest_follows_the_server(cluster):
    cluster.settle(**shop(citext="1.4"))
    cluster.settle(**shop(citext="latest"))
    assert installed(cluster)["citext"][0] == newest(cluster, "citext")


def test_latest_from_the_start(cluster):
    cluster.settle(**shop(hstore="latest"))
    assert installed(cluster)["hstore"][0] == newest(cluster, "hstore")


def test_it_goes_to_the_schema_that_is_asked_for_and_moves(cluster):
    schemas = {"tools": {}, "other": {}}
    cluster.settle(**shop(citext={"schema": "tools"}, schemas=schemas))
    assert installed(cluster)["citext"][1] == "tools"
    changed = cluster.settle(**shop(citext={"schema": "other"}, schemas=schemas))
    assert "extension citext schema: tools → other" in changed["databases"]["shop"]
    assert installed(cluster)["citext"][1] == "other"


def test_version_and_schema_together(cluster):
    cluster.settle(**shop(hstore={"schema": "tools", "version": "1.4"}, schemas={"tools": {}}))
    assert installed(cluster) == {"hstore": ("1.4", "tools")}


def test_readers_reach_the_types_of_an_extension(cluster):
    cluster.settle(
        databases={
            "shop": {
                "owner": "shop",
                "extensions": {"citext": {"schema": "tools"}},
                "schemas": {"tools": {}, "stock": {"access": {"ann": "read"}}},
            }
        },
        users=["shop", "ann"],
    )
    cluster.query("create table stock.t (a) as select 'Tea'::tools.citext", user="shop", **AT_SHOP)
    found = "select 1 from stock.t where a operator(tools.=) 'tea'::tools.citext"
    assert cluster.query(found, user="ann", **AT_SHOP) == [(1,)]


def test_what_it_needs_comes_with_it(cluster):
    cluster.settle(**shop("earthdistance"))
    assert set(installed(cluster)) == {"cube", "earthdistance"}


def test_one_that_pillar_names_no_longer_stays(cluster):
    cluster.settle(**shop("citext"))
    assert cluster.settle(**shop()) == {}
    assert "citext" in installed(cluster)


def test_its_own_objects_are_left_as_it_made_them(cluster):
    cluster.converge(**shop("pg_stat_statements"))
    acl = "select relname, relacl from pg_class where relname ~ '^pg_stat_statements' order by 1"
    before = cluster.query(acl, **AT_SHOP)
    assert "=r/" in before[0][1]
    assert cluster.settle(**shop("pg_stat_statements")) == {}
    assert cluster.query(acl, **AT_SHOP) == before


REFUSED = [
    ({"names": ["no-such"]}, r"no extension 'no-such' \(postgresql:databases:shop:extensions:no-such\)"),
    ({"no-such": "latest"}, r"no extension 'no-such' \(postgresql:databases:shop:extensions:no-such\)"),
    ({"citext": "9.9"}, r"no version 9.9 of extension 'citext' .*it has .*1\.4"),
]


@pytest.mark.parametrize(("asked", "complaint"), REFUSED)
@pytest.mark.parametrize("existing", [False, True], ids=["new", "existing"])
def test_what_the_server_does_not_have_is_refused_of_its_database_alone(cluster, asked, complaint, existing):
    if existing:
        cluster.converge(**shop())
    asked = dict(asked)
    declared = shop(*asked.pop("names", ()), **asked)
    declared["databases"]["wiki"] = "shop"
    forecast, outcome = cluster.forecast(**declared), cluster.attempt(**declared)
    assert outcome.failures == forecast.failures
    assert list(outcome.failures) == ["database 'shop'"]
    assert re.search(complaint, outcome.failures["database 'shop'"])
    assert text.tree(outcome.changes) == text.tree(forecast.changes)
    names = {name for (name,) in cluster.query("select datname from pg_database")}
    assert names & {"shop", "wiki"} == {"wiki", *(["shop"] if existing else [])}


def test_a_version_that_cannot_be_reached_fails_and_leaves_the_rest(cluster):
    cluster.converge(**shop(citext="latest"))
    declared = shop(citext="1.4")
    declared["databases"]["wiki"] = "shop"
    outcome = cluster.attempt(**declared)
    assert list(outcome.failures) == ["database 'shop'"]
    assert "extension citext version" in outcome.failures["database 'shop'"]
    assert installed(cluster)["citext"][0] == newest(cluster, "citext")
    cluster.query("select 1", user="shop", dbname="wiki")


PLANTED = "create function public.citext_cmp(text, text) returns int language sql as 'select 1'"


def test_functions_of_others_are_out_of_reach_of_its_script(cluster):
    """The script runs in a schema of its own, and its objects go to public afterwards."""
    cluster.converge(**shop())
    cluster.query(PLANTED, user="shop", **AT_SHOP)
    cluster.settle(**shop("citext"))
    assert installed(cluster)["citext"][1] == "public"
    assert cluster.query("select count(*) from pg_namespace where nspname ~ '^pgpillar'", **AT_SHOP) == [(0,)]


def test_functions_of_others_are_out_of_reach_of_an_update(cluster):
    cluster.converge(**shop(citext="1.4"))
    cluster.query(PLANTED, user="shop", **AT_SHOP)
    cluster.settle(**shop(citext="1.5"))
    assert installed(cluster)["citext"] == ("1.5", "public")


def test_one_that_needs_another_is_refused_where_others_have_functions(cluster):
    cluster.converge(**shop())
    cluster.query(PLANTED, user="shop", **AT_SHOP)
    outcome = cluster.attempt(**shop("earthdistance"))
    (failure,) = outcome.failures.values()
    assert "would find citext_cmp(text,text) of shop" in failure.replace("public.", "")
    assert "name 'cube', which it needs, in pillar as well" in failure
    assert installed(cluster) == {}


def test_an_event_trigger_with_a_function_of_others_keeps_the_admin_out_of_one_database(cluster):
    """The function would run with the rights of the admin."""
    declared = {"databases": {"shop": "shop", "wiki": "shop"}, "users": ["shop", "ann"]}
    cluster.converge(**declared)
    body = "returns event_trigger language plpgsql as $$ begin alter role shop superuser; end $$"
    cluster.query(f"create function wait() {body}", user="shop", **AT_SHOP)
    cluster.query("create event trigger t on ddl_command_start execute function wait()", **AT_SHOP)
    for name in ("shop", "wiki"):
        declared["databases"][name] = {"owner": "shop", "access": {"ann": "read"}}
    outcome = cluster.attempt(**declared)
    assert list(outcome.failures) == ["database 'shop'"]
    assert "event trigger 't' runs wait() of 'shop'" in outcome.failures["database 'shop'"].replace(
        "public.", ""
    )
    assert cluster.query("select rolsuper from pg_roles where rolname = 'shop'") == [(False,)]
    assert cluster.query("select 1", user="ann", dbname="wiki") == [(1,)]
    cluster.query("alter event trigger t disable", **AT_SHOP)
    cluster.settle(**declared)


def test_an_extension_that_went_after_the_plan_is_said_by_name(cluster):
    wanted = Change("create extension", Extension("no_such", "1.0"), database="postgres")
    with (
        connect.gateway(cluster.declared().endpoint) as gateway,
        closing(gateway.open()) as session,
        session.cursor() as cursor,
        pytest.raises(connect.ClusterError) as error,
    ):
        extension.statements(cursor, wanted, session.server_version, True)
    assert str(error.value).startswith("the server has no version 1.0 of extension 'no_such' any more")


def test_what_uses_the_types_of_an_extension_that_moves_is_named_as_it_is_now(cluster):
    """A routine is found by the types of its arguments, so that these move after it."""

    def with_citext_in(schema, **access):
        shop = {"owner": "shop", "schemas": {"tools": {}, "other": {}}, "access": access}
        extensions = {"citext": {"schema": schema}}
        return {"databases": {"shop": {**shop, "extensions": extensions}}, "users": ["shop", "ann"]}

    cluster.converge(**with_citext_in("tools"))
    cluster.query(
        "create function f(tools.citext) returns int language sql as 'select 1'", user="shop", **AT_SHOP
    )
    lines = cluster.settle(**with_citext_in("other", ann="read"))["databases"]["shop"]
    assert "grant EXECUTE on routine f(tools.citext) in schema public to ann" in lines
