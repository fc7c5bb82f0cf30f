"""The floor: a bare psycopg2 script. Reads its work as JSON, and prints the seconds that it took.

It imports nothing of pgpillar. ``writes`` are the statements of pgpillar's own plan, in one transaction for
the roles and one for each database; ``reads`` are plain selects from the catalogs, with as many connections
at once as pgpillar has.
"""

from __future__ import annotations

import json
import sys
from time import perf_counter

SHARED = (
    "select * from pg_roles",
    "select rolname, rolpassword from pg_authid",
    "select * from pg_auth_members",
    "select * from pg_db_role_setting",
    "select datname, datdba, datallowconn, datconnlimit, encoding, datcollate, datacl from pg_database",
)
INSIDE = (
    "select nspname, nspowner, nspacl from pg_namespace",
    "select relname, relnamespace, relkind, relowner, relacl from pg_class where oid >= 16384",
    "select proname, pronamespace, proowner, proacl from pg_proc where oid >= 16384",
    "select typname, typnamespace, typowner from pg_type where oid >= 16384",
    "select defaclrole, defaclnamespace, defaclobjtype, defaclacl from pg_default_acl",
    "select extname, extversion from pg_extension",
)


def main(work: dict) -> None:
    begun = perf_counter()
    import psycopg2

    def connect(database):
        return psycopg2.connect(**work["connection"], dbname=database)

    if "writes" in work:
        write(connect, **work["writes"])
    else:
        read(connect, **work["reads"])
    print(json.dumps(perf_counter() - begun))


def write(connect, roles, databases):
    admin = connect("postgres")
    with admin, admin.cursor() as cursor:
        for statement in roles:
            cursor.execute(statement)
    admin.autocommit = True
    for name, outside, inside in databases:
        with admin.cursor() as cursor:
            for statement in outside:
                cursor.execute(statement)
        connection = connect(name)
        with connection, connection.cursor() as cursor:
            for statement in inside:
                cursor.execute(statement)
        connection.close()


def read(connect, databases, at_once):
    from concurrent.futures import ThreadPoolExecutor

    def look(database, queries=INSIDE):
        connection = connect(database)
        with connection.cursor() as cursor:
            for query in queries:
                cursor.execute(query)
                cursor.fetchall()
        connection.close()

    look("postgres", SHARED)
    with ThreadPoolExecutor(at_once) as pool:
        list(pool.map(look, databases))


if __name__ == "__main__":
    with open(sys.argv[1]) as file:
        main(json.load(file))
