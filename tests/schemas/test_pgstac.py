"""pgstac: PostGIS, partitions, and roles of its own, to which it grants what pillar has no word for."""

import pytest

from tests.schemas import rights
from tests.schemas.applications import python
from tests.schemas.test_applications import way

PGSTAC = python(
    "pgstac",
    "pypgstac[migrations,psycopg]==0.10.0",
    brings="PostGIS, partitions, range types, roles of its own",
    create=(["-m", "pypgstac.pypgstac", "migrate", "--toversion", "0.9.10"],),
    upgrade=(["-m", "pypgstac.pypgstac", "migrate"],),
)
DATABASE = {
    "owner": "pgstac_admin",
    "schemas": {"pgstac": {}},
    "access": {"app": "owner", "reader": "read", "writer": "write"},
    "extensions": ["postgis", "btree_gist", "unaccent"],
}
DECLARED = {
    "databases": {"site": DATABASE},
    "users": ["app", "reader", "writer", "nobody"],
    "groups": {"pgstac_admin": {"settings": {"search_path": "pgstac, public"}}},
}
# What pgstac grants to its roles, which pillar does not name
ITS_OWN = """
    select c.oid::regclass::text, a.grantee::regrole::text, a.privilege_type
    from pg_class c, aclexplode(c.relacl) a
    where a.grantee in ('pgstac_read'::regrole, 'pgstac_ingest'::regrole) order by 1, 2, 3"""


def migrate(cluster, commands):
    """Its migrations make roles, so that a superuser has to run them."""
    PGSTAC.run(commands, way(cluster.server, cluster.server.superuser, cluster.server.password))


@pytest.fixture
def site(cluster):
    if not cluster.query("select 1 from pg_available_extensions where name = 'postgis'"):
        pytest.skip("the server has no PostGIS; Debian's PostgreSQL has it in postgresql-postgis")
    cluster.query("create database site")
    migrate(cluster, PGSTAC.create)
    return cluster


def check(site):
    levels = {"pgstac_admin": "owner", "app": "owner", "reader": "read", "writer": "write", "nobody": "none"}
    assert rights.wrong(site, "site", levels, "pgstac") == []
    assert rights.of_others(site, "site", "pgstac_admin") == []


def test_it_is_adopted_and_its_own_roles_keep_what_they_have(site):
    before = site.query(ITS_OWN, dbname="site")
    site.settle(**DECLARED)
    check(site)
    assert site.query(ITS_OWN, dbname="site") == before
    migrate(site, PGSTAC.upgrade)
    site.settle(**DECLARED)  # what the superuser made anew has no default privileges
    check(site)
