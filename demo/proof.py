"""Tries on the live server what pillar says of the database ``shop``: who may, and who may not."""

import re
from contextlib import closing
from typing import NamedTuple

import psycopg2

from pgpillar.connect import explained

DATABASE = "shop"


class Trial(NamedTuple):
    """What a user tries, and the grant that decides it."""

    user: str
    statement: str
    kind: str
    path: tuple[str, ...]
    privilege: str
    sslmode: str = "verify-full"


class Verdict(NamedTuple):
    user: str
    attempt: str
    outcome: str
    as_declared: bool


INSERT = "INSERT INTO orders (what) VALUES ('tea')"
SELECT = "SELECT what FROM orders LIMIT 1"
TRIALS = (
    Trial("shop_app", INSERT, "table", ("public",), "INSERT"),
    Trial("analyst", SELECT, "table", ("public",), "SELECT"),
    Trial("analyst", INSERT, "table", ("public",), "INSERT"),
    Trial("shop_app", "CREATE TABLE mine ()", "schema", ("public",), "CREATE"),
    Trial("wiki", "SELECT 1", "database", (), "CONNECT"),
    Trial("shop_app", "SELECT 1", "database", (), "never over plain text", "disable"),
)


def trials(cluster):
    """The trials whose user and database pillar still declares."""
    return [trial for trial in TRIALS if DATABASE in cluster.databases and trial.user in cluster.roles]


def attempt(server, cluster, trial):
    """Do what the trial says, and compare the outcome with what pillar grants."""
    password = cluster.roles[trial.user].password.reveal()
    what = trial.statement if trial.sslmode == "verify-full" else "connects without TLS"
    try:
        outcome, allowed = _run(server, trial, password), True
    except psycopg2.errors.UndefinedTable:
        return Verdict(trial.user, what, "there is no table to try it on", True)
    except psycopg2.Error as error:
        outcome, allowed = f"refused: {reason(error)}", False
    return Verdict(trial.user, what, outcome, allowed == _may(cluster, trial))


def _run(server, trial, password):
    way = {"over": "tls", "sslmode": trial.sslmode, "dbname": DATABASE}
    with closing(server.connect(trial.user, password, **way)) as session, session, session.cursor() as cursor:
        cursor.execute(trial.statement)
        return ", ".join(map(str, cursor.fetchone())) if cursor.description else "done"


def reason(error):
    """The server's words in one line, without the address that libpq puts before them."""
    if error.pgcode:
        return explained(error).partition(";")[0]
    said = re.sub(r"^.*?FATAL:\s+", "", str(error).splitlines()[0])
    return re.sub(r"for host .* database .*?,", "…,", said)


def _may(cluster, trial):
    database = cluster.databases[DATABASE]
    joined = {join.role for join in cluster.memberships if join.member == trial.user} | {trial.user}
    granted = {grant.grantee for grant in database.grants if _decides(grant, trial)}
    return bool(joined & granted)


def _decides(grant, trial):
    return (grant.kind, grant.path, grant.privilege) == (trial.kind, trial.path, trial.privilege)
