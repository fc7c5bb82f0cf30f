"""Extensions: at the version and in the schema that are asked for, or refused before anything is done."""

import pytest

from pgpillar.plan import PlanError

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
    ({"citext": "9.9"}, r"no version 9.9 of extension 'citext' .*it has .*1\.4"),
]


@pytest.mark.parametrize(("asked", "complaint"), REFUSED)
@pytest.mark.parametrize("existing", [False, True], ids=["new", "existing"])
def test_what_the_server_does_not_have_is_refused_before_anything(cluster, asked, complaint, existing):
    if existing:
        cluster.converge(**shop())
    before = set(cluster.query("select datname from pg_database union select rolname from pg_roles"))
    asked = dict(asked)
    with pytest.raises(PlanError, match=complaint):
        cluster.attempt(**shop(*asked.pop("names", ()), **asked))
    assert set(cluster.query("select datname from pg_database union select rolname from pg_roles")) == before


def test_a_version_that_cannot_be_reached_fails_and_leaves_the_rest(cluster):
    cluster.converge(**shop(citext="latest"))
    declared = shop(citext="1.4")
    declared["databases"]["wiki"] = "shop"
    outcome = cluster.attempt(**declared)
    assert list(outcome.failures) == ["database 'shop'"]
    assert "extension citext version" in outcome.failures["database 'shop'"]
    assert installed(cluster)["citext"][0] == newest(cluster, "citext")
    cluster.query("select 1", user="shop", dbname="wiki")
