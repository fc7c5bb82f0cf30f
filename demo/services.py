"""A service file for psql: one entry for each database that a user may connect to."""

from configparser import RawConfigParser
from io import StringIO

from devtools import tls

NAME = "pg_service.conf"


def write(where, server, cluster):
    """Write the file, and return its entries; it holds passwords, so that nobody else may read it."""
    entries = RawConfigParser(delimiters="=", interpolation=None)
    for user, database in sorted(pairs(cluster)):
        password = cluster.roles[user].password.reveal()
        login = {"user": user, "password": password, "dbname": database}
        entries[f"{database}.{user}"] = {**server.by_tls, **login}
    text = StringIO()
    entries.write(text, space_around_delimiters=False)
    tls.write(where / NAME, text.getvalue().encode(), 0o600)
    return entries.sections()


def pairs(cluster):
    """Yield each user with each database that it, or a group it is in, may connect to."""
    for database in cluster.databases.values():
        granted = {grant.grantee for grant in database.grants if grant.privilege == "CONNECT"}
        inside = {join.member for join in cluster.memberships if join.role in granted}
        for name in (granted | inside) & set(cluster.roles):
            if cluster.roles[name].login:
                yield name, database.name
