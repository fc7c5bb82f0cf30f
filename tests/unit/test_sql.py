"""Statements and words: one for every kind of change, names and values whole, secrets never."""

import ast
import inspect
import re

import pytest
from hypothesis import given
from hypothesis import strategies as st
from psycopg2.sql import SQL, Identifier, Literal

from pgpillar import plan, scram, sql, text
from pgpillar.model import BY_OWNER, Object, Role, Secret
from pgpillar.plan import Change, DefaultRights, Rights

KINDS = {
    node.args[0].value
    for node in ast.walk(ast.parse(inspect.getsource(plan)))
    if isinstance(node, ast.Call) and getattr(node.func, "id", "") == "Change"
    if isinstance(node.args[0], ast.Constant)
} | {
    f"{verb} {what}"
    for verb in ("set", "reset")
    for what in ("role setting", "database setting", "role setting here")
}
STRINGS = st.text(st.characters(codec="utf-8", exclude_characters="\0"))


def test_every_kind_of_change_has_words_and_statements():
    assert KINDS == sql._WRITERS.keys() == text._LINES.keys()


# Secrets

VERIFIER = scram.verifier("s3cret")


@pytest.mark.parametrize("secret", ["s3cret", "it's", 'say "hi"', "back\\slash", "100%", VERIFIER])
def test_a_password_and_its_verifier_are_in_no_text(secret):
    change = Change("set password", "ana", Secret(secret))
    assert sql.texts(change) == ["ALTER ROLE \"ana\" PASSWORD '********'"]
    assert text.line(change) == "set password"
    assert secret not in repr(change) + str(change)


def test_what_is_sent_is_a_verifier_that_fits():
    (statement,) = sql.statements(Change("set password", "ana", Secret("s3cret")))
    (sent,) = [part.wrapped for part in statement.seq if isinstance(part, sql.Hidden)]
    assert scram.fits("s3cret", sent)


def test_a_verifier_from_pillar_is_sent_as_it_is():
    (statement,) = sql.statements(Change("set password", "ana", Secret(VERIFIER)))
    assert [part.wrapped for part in statement.seq if isinstance(part, sql.Hidden)] == [VERIFIER]


def test_a_role_shows_no_password():
    role = Role("ana", login=True, password=Secret("s3cret"))
    assert "s3cret" not in repr(role) + repr(Change("create role", role)) + repr(vars(role))


# Quoting


@given(STRINGS)
def test_a_literal_is_one_literal_and_comes_back(value):
    written = sql._text(Literal(value))
    assert re.fullmatch(r"E?'(?:[^'\\]|''|\\\\)*'", written)
    assert written.removeprefix("E")[1:-1].replace("''", "'").replace("\\\\", "\\") == value
    assert written.startswith("E") == ("\\" in value)  # else it would stand for two under standard strings


@given(STRINGS.filter(bool))
def test_an_identifier_is_one_identifier_and_comes_back(name):
    written = sql._text(Identifier(name))
    assert re.fullmatch(r'"(?:[^"]|"")+"', written)
    assert written[1:-1].replace('""', '"') == name


@given(STRINGS.filter(bool), STRINGS.filter(bool))
def test_no_name_becomes_a_piece_of_a_statement(role, group):
    (line,) = sql.texts(Change("join", plan.Membership(group, role)), 150000)
    assert line == f"GRANT {sql._text(Identifier(group))} TO {sql._text(Identifier(role))}"


def test_braces_and_percents_are_only_characters():
    rights = Rights("routine", (("{app}", "%s", 'text, "{}"'),), ("EXECUTE",), "{0}")
    (line,) = sql.texts(Change("grant", rights, database="shop"))
    assert line == 'GRANT EXECUTE ON ROUTINE "{app}"."%s"(IN text, "{}") TO "{0}"'


@pytest.mark.parametrize(("value", "written"), [(None, "NULL"), (5, "5"), ("", "''"), ("a'b", "'a''b'")])
def test_a_literal_of_another_kind(value, written):
    assert sql._text(SQL("{}").format(Literal(value))) == written


# Words


def grants(*grantees, path=("app", "t")):
    return [Change("grant", Rights("table", (path,), ("SELECT",), one), database="shop") for one in grantees]


def test_what_many_are_given_takes_one_line():
    assert text.tree(grants("ana", "ben", "public")) == {
        "databases": {"shop": ["grant SELECT on table t in schema app to ana, ben, PUBLIC"]}
    }


def test_lines_stay_in_the_order_of_the_plan():
    changes = [*grants("ana"), *grants("ana", path=("app", "u")), *grants("ben")]
    assert text.tree(changes)["databases"]["shop"] == [
        "grant SELECT on table t in schema app to ana, ben",
        "grant SELECT on table u in schema app to ana",
    ]


def test_many_objects_are_counted():
    rights = Rights("table", tuple(("app", name) for name in "abcde"), ("SELECT",), "ana")
    assert (
        text.line(Change("grant", rights)) == "grant SELECT on tables a, b, c and 2 more in schema app to ana"
    )


def handed(kind, *paths, owner="ana"):
    return [Change("own object", Object(kind, path, owner), "ben", database="shop") for path in paths]


def test_things_that_change_hands_alike_take_one_line():
    many = [("app", f"t{number}") for number in range(3255)]
    changes = [
        *handed("table", *many),
        *handed("table", ("app", "other"), owner="eve"),
        *handed("table", ("other", "t"), ("other", "u")),
        *handed("routine", ("app", "f", ""), ("app", "f", "integer")),
        *handed("operator class", ("app", "app.a USING btree"), ("app", "app.b USING btree")),
        *handed("text search dictionary", ("app", "app.a"), ("app", "app.b")),
    ]
    assert text.tree(changes)["databases"]["shop"] == [
        "tables t0, t1, t2 and 3,252 more in schema app owner: ana → ben, in 33 steps",
        "table app.other owner: eve → ben",
        "tables t, u in schema other owner: ana → ben",
        "routines f(), f(integer) in schema app owner: ana → ben",
        "operator classes app.a USING btree, app.b USING btree owner: ana → ben",
        "text search dictionaries app.a, app.b owner: ana → ben",
    ]
    assert text.line(changes[0]) == "table app.t0 owner: ana → ben"


@pytest.mark.parametrize(
    ("rights", "words"),
    [
        (Rights("database", ((),), ("CONNECT",), "ana"), "CONNECT on the database to ana"),
        (Rights("schema", (("app",), ("b",)), ("USAGE",), "ana"), "USAGE on schema app, b to ana"),
        (Rights("table", (("app",),), ("SELECT",), "ana"), "SELECT on all tables in schema app to ana"),
        (
            Rights("column", (("a", "t", "id"),), ("SELECT",), "ana"),
            "SELECT on column t.id in schema a to ana",
        ),
        (
            Rights("routine", (("a", "f", ""),), ("EXECUTE",), "ana"),
            "EXECUTE on routine f() in schema a to ana",
        ),
    ],
)
def test_what_rights_are_on(rights, words):
    assert text.line(Change("grant", rights)) == "grant " + words


def test_default_rights_everywhere_name_no_schema():
    rights = DefaultRights("shop", "", "table", ("SELECT",), "public")
    assert text.line(Change("revoke default", rights)) == "revoke SELECT on new tables of shop from PUBLIC"


def test_the_owner_as_grantor_is_not_named():
    rights = Rights("table", (("app", "t"),), ("SELECT",), "ana", BY_OWNER)
    assert text.line(Change("revoke", rights)) == "revoke SELECT on table t in schema app from ana"


def test_a_role_that_goes_is_shown_to_let_go_in_each_database():
    leaver = Role("leaver", state="absent", reassign_to="heir")
    assert sql.texts(Change("drop role", leaver, (("shop", True), ("wiki", False)))) == [
        'ALTER ROLE "leaver" NOLOGIN',
        "SELECT pg_catalog.pg_terminate_backend(pid) FROM pg_catalog.pg_stat_activity"
        " WHERE usename = 'leaver'",
        '-- in database "shop"',
        'REASSIGN OWNED BY "leaver" TO "heir"',
        'DROP OWNED BY "leaver"',
        '-- in database "wiki"',
        'REASSIGN OWNED BY "leaver" TO "heir"',
        'DROP OWNED BY "leaver"',
        'DROP ROLE "leaver"',
    ]
