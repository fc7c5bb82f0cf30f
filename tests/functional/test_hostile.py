"""Names and passwords that look like something else work from end to end, or are refused by their path."""

import pytest

from pgpillar import text
from pgpillar.pillar import PillarError
from pgpillar.scram import verifier

NAMES = {
    "quotes": 'o\'clock "noon"',
    "backslash": "back\\slash\\",
    "placeholder": "%(x)s %s %% 100%",
    "braces": "{} {0} {{jinja}} $1 $$",
    "colons": "a:b::c",
    "spaces": "  two  ",
    "hyphens": "my-app",
    "capitals": "MyApp",
    "digits": "1st",
    "keyword": "select",
    "user keyword": "current_user",
    "comment": "a; -- drop /* x",
    "emoji": "😀 caf\u0065\u0301",
    "composed": "caf\u00e9",
    "newline": "two\nlines",
    "tab": "tab\there\r",
    "control": "bell\x07del\x7f",
    "slashes": "../../etc/passwd",
    "longest": "é" * 31 + "x",  # 63 bytes
}


@pytest.mark.parametrize("name", NAMES.values(), ids=NAMES)
def test_a_name_of_anything(cluster, name):
    """As the name of a user, a group, a database and a schema at once; then its user logs in and works."""
    group, reader = f"g{name}"[:32], f"r{name}"[:32]
    tree = {
        "databases": {
            name: {
                "owner": name,
                "access": {reader: "read"},
                "schemas": {name: {"owner": group, "access": {name: "write"}}},
                "settings": {"search_path": [name, "public"]},
            }
        },
        "users": {name: {"settings": {"application_name": name[:20]}}, reader: {"groups": group}},
        "groups": {group: {}},
    }
    changed = cluster.settle(**tree)
    assert changed["databases"][name][0] == "create, closed to PUBLIC"
    assert cluster.query("select current_user, current_database()", user=name, dbname=name) == [(name, name)]
    cluster.query(f"set role {quoted(group)}; create table here ()", user=reader, dbname=name)
    assert cluster.query("select current_schema()", user=name, dbname=name) == [(name,)]
    cluster.query("insert into here default values", user=name, dbname=name)
    assert cluster.query("select count(*) from here", user=reader, dbname=name) == [(1,)]
    assert cluster.converge(**tree) == {}


def quoted(name):
    return '"' + name.replace('"', '""') + '"'


REFUSED = {
    "empty": ("", "is empty"),
    "NUL": ("a\0b", "holds a NUL character"),
    "64 bytes": ("é" * 32, "is 64 bytes long, and PostgreSQL cuts names at 63"),
    "half a pair": ("\ud83d", "holds half of a surrogate pair"),
    "number": (1, "is not a"),
    "yes": (True, "is not a"),
}


@pytest.mark.parametrize(("name", "reason"), REFUSED.values(), ids=REFUSED)
@pytest.mark.parametrize("place", ["users", "groups", "databases", "schemas", "extensions"])
def test_a_name_that_is_refused(cluster, place, name, reason):
    tree = {"users": {"shop": {}}, "databases": {"shop": {"owner": "shop"}}, "groups": {}}
    entry = {"users": {"password": "secret"}, "groups": {}, "databases": "shop"}
    if place in entry:
        tree[place][name] = entry[place]
        path = f"postgresql:{place}:"
    else:
        tree["databases"]["shop"][place] = {name: None}
        path = f"postgresql:databases:shop:{place}:"
    with pytest.raises(PillarError) as refused:
        cluster.declared(**tree)
    (problem,) = refused.value.problems
    assert problem.path.startswith(path)
    assert reason in problem.message


RESERVED = [("users", "pg_app"), ("users", "public"), ("groups", "none"), ("schemas", "pg_mine")]


@pytest.mark.parametrize(("place", "name"), RESERVED)
def test_a_name_that_postgresql_keeps_for_itself(cluster, place, name):
    tree = {"users": {"shop": {}}, "databases": {"shop": {"owner": "shop", "schemas": {}}}, "groups": {}}
    (tree if place in tree else tree["databases"]["shop"])[place][name] = (
        {"password": "x"} if place == "users" else {}
    )
    with pytest.raises(PillarError, match=f"{place}:{name}: .*reserved by PostgreSQL"):
        cluster.declared(**tree)


def test_two_names_that_differ_only_beyond_the_cut_are_both_refused(cluster):
    users = {"x" * 64: {}, "x" * 63 + "y": {}}
    with pytest.raises(PillarError) as refused:
        cluster.declared(users=users)
    assert len(refused.value.problems) == 2


def test_names_that_differ_only_in_case_or_composition(cluster):
    names = ["app", "App", "APP", "caf\u00e9", "cafe\u0301"]
    cluster.settle(users=names, databases=dict(zip(names, names, strict=True)))
    for name in names:
        assert cluster.query("select current_user", user=name, dbname=name) == [(name,)]


PASSWORDS = {
    "quotes": "it's \"quoted\" ''",
    "backslashes": "\\ \\\\ \\' \\n",
    "placeholders": "%s %(x)s {} %% $1 $$",
    "uri": "p@ss:w/rd?#&=+%20",
    "conninfo": "a' host='elsewhere",
    "spaces": "  leading and trailing  ",
    "one character": "x",
    "long": "long " * 60,
    "no-break space": "no\u00a0break",
    "soft hyphen": "soft\u00adhyphen",
    "compatibility": "\u2168 \ufb01 \u00aa",
    "combining": "cafe\u0301",
    "composed": "caf\u00e9",
    "emoji": "pass 😀 word",
    "right to left": "\u0627\u0628\u062c",
    "mixed directions": "\u0627b1",
    "control": "bell\x07tab\t",
    "nearly md5": "md5" + "0123456789abcdef",
    "nearly a verifier": "SCRAM-SHA-256: 4096$c2FsdA==$AAAA",
    "unassigned": "\u0378 and so on",
    "only mapped to nothing": "\u00ad\u200b",
}


def test_passwords_of_anything(cluster):
    """All of them at once: each lets its user in over verify-full, and none is found to need a change."""
    users = {f"user {name}": {"password": password} for name, password in PASSWORDS.items()}
    cluster.settle(users=users)
    for name, entry in users.items():
        assert cluster.query("select current_user", user=name, password=entry["password"]) == [(name,)]


def test_passwords_of_anything_where_only_a_login_tells(hosted):
    users = {f"user {name}": {"password": password} for name, password in PASSWORDS.items()}
    hosted.settle(users=users)
    swapped = dict(zip(users, reversed(users.values()), strict=True))
    changed = hosted.settle(users=swapped)
    assert changed["roles"] == {
        name: ["set password"] for name in sorted(users) if users[name] != swapped[name]
    }


def test_a_verifier_as_a_password(cluster):
    password = "what only the person knows"
    cluster.settle(users={"app": {"password": verifier(password)}})
    assert cluster.query("select current_user", user="app", password=password) == [("app",)]


HASHES = ["md5" + "0123456789abcdef" * 2, "SCRAM-SHA-256$4096:c2FsdA==$AAAA"]


@pytest.mark.parametrize(
    "password", ["", "a\0b", "two\nlines", 12345, True, ["x"], "\ud83d", *HASHES], ids=repr
)
def test_a_password_that_is_refused_is_not_shown(cluster, password):
    with pytest.raises(PillarError) as refused:
        cluster.declared(users={"app": {"password": password}})
    assert "postgresql:users:app" in str(refused.value)
    assert not password or str(password) not in str(refused.value)


def test_hostile_names_in_what_people_read(cluster):
    """The tree of changes and the inventory hold the names as they are."""
    name = NAMES["placeholder"]
    tree = cluster.preview(databases={name: name}, users=[name])
    assert list(tree["databases"]) == list(tree["roles"]) == [name]
    assert text.inventory(cluster.declared(databases={name: name}, users=[name]).cluster)["databases"][name]
