"""``pgpillar check`` on pillars that are right, and wrong in the ways that Salt itself finds."""

import json
import shutil

import pytest

from pgpillar_cli.main import main


def places(findings):
    return [(one["file"].removeprefix("pillar/"), one["line"], one["message"]) for one in findings]


def test_the_example_is_as_it_should_be(repo):
    result = repo.run("check")
    assert (result.exit_code, result.stdout) == (0, "pillar is as it should be\n")


WRONG_FILES = {
    "a bracket that is not closed": (
        "a: [1\nb: 2\n",
        ("dev/secrets/postgresql-users/shop.sls", 2, "a bracket is not closed, or a comma is missing"),
    ),
    "a key that stands twice": (
        "postgresql: {}\npostgresql: {}\n",
        ("dev/secrets/postgresql-users/shop.sls", 2, "a key stands here twice"),
    ),
    "a tab": (
        "postgresql:\n\tusers: {}\n",
        ("dev/secrets/postgresql-users/shop.sls", 2, "this is a tab, or a character that begins no value"),
    ),
    "Jinja that is not closed": (
        "a: 1\n{% if x %}\n",
        ("dev/secrets/postgresql-users/shop.sls", 2, "Jinja: a block is not closed"),
    ),
    "Jinja with an unknown name": (
        "a: 1\nb: {{ nothing.there }}\n",
        ("dev/secrets/postgresql-users/shop.sls", 2, "Jinja: a name is not defined"),
    ),
    "Jinja that includes what is not there": (
        "a: 1\n{% include 'nothing.jinja' %}\n",
        ("dev/secrets/postgresql-users/shop.sls", 2, "Jinja: there is no file of this name"),
    ),
    "an include of what is not there": (
        "include:\n  - secrets.nothing\n",
        ("dev/secrets/postgresql-users/shop.sls", 2, "there is no file for 'secrets.nothing'"),
    ),
    "an include that is no list": (
        "include: secrets.nothing\n",
        ("dev/secrets/postgresql-users/shop.sls", None, "'include' is no list"),
    ),
    "a list": (
        "- a\n",
        ("dev/secrets/postgresql-users/shop.sls", 1, "the file is no mapping"),
    ),
    "an unknown renderer": (
        "#!yamll\na: 1\n",
        (
            "dev/secrets/postgresql-users/shop.sls",
            1,
            "Salt has no such renderer, and so reads nothing of this file",
        ),
    ),
}


@pytest.mark.parametrize("case", WRONG_FILES)
def test_a_file_that_salt_cannot_read_is_told_with_its_line(repo, case):
    text, expected = WRONG_FILES[case]
    repo.write("dev/secrets/postgresql-users/shop.sls", text)
    assert places(repo.findings("--env", "dev")) == [expected]


ALIASES = "a0: &a0 [1, 1]\n" + "".join(f"a{n + 1}: &a{n + 1} [*a{n}{f', *a{n}' * 9}]\n" for n in range(9))
WRONG_BYTES = {
    "Latin-1": ("a: é\n".encode("latin-1"), "this is not UTF-8"),
    "UTF-16": ("a: é\n".encode("utf-16"), "this is not UTF-8"),
    "an exit": (b"#!py\nimport sys\ndef run():\n    sys.exit(0)\n", "Salt cannot render this: SystemExit"),
    "aliases of aliases": (ALIASES.encode(), "its aliases stand for too much to be read"),
    "an alias in itself": (b"a: &a [*a]\n", "its aliases stand for too much to be read"),
}


@pytest.mark.parametrize("file", ["dev/secrets/postgresql-users/shop.sls", "postgresql/server.sls"])
@pytest.mark.parametrize("case", WRONG_BYTES)
def test_a_file_that_would_stop_salt_is_told_by_its_name(repo, case, file):
    data, message = WRONG_BYTES[case]
    (repo.root / "pillar" / file).write_bytes(data)
    assert places(repo.findings("--env", "dev")) == [(file, None, message)]


@pytest.mark.parametrize("file", ["roles.yaml", "dev/top.sls"])
def test_what_all_of_pillar_hangs_on_is_to_be_text(repo, file):
    (repo.root / "pillar" / file).write_bytes("é: [shop]\n".encode("latin-1"))
    assert [message for _, _, message in places(repo.findings("--env", "dev"))] == ["this is not UTF-8"]


SPOILT = (
    "{password: 'a{{Tr0ub4dorXY}}b'}",
    "{password: 'a{%Tr0ub4dorXY%}b'}",
    "{password: 'a{{b Tr0ub4dorXY}}'}",
    "{password: 'a{{b[Tr0ub4dorXY'}",
    "{password: 'a{{b.Tr0ub4dorXY.c}}'}",
    "{password: 'a{{b|Tr0ub4dorXY}}'}",
    "{password: 'a{%include \"Tr0ub4dorXY\"%}'}",
    "{password: \"a{{salt['Tr0ub4dorXY']()}}\"}",
    "{Tr0ub4dorXY, Tr0ub4dorXY}",
    "{? {Tr0ub4dorXY: 1}}",
    "{password: *Tr0ub4dorXY}",
    "{password: !Tr0ub4dorXY a}",
    "{password: @Tr0ub4dorXY}",
)


@pytest.mark.parametrize("entry", SPOILT)
def test_no_renderer_repeats_a_secret(repo, entry):
    repo.write("dev/secrets/postgresql-users/wiki.sls", f"postgresql:\n  users:\n    wiki: {entry}\n")
    assert no_secret_in(repo)


def test_a_secret_in_the_place_of_a_renderer_is_not_shown(repo):
    repo.write("dev/secrets/postgresql-users/wiki.sls", "#!Tr0ub4dorXY\npostgresql: {}\n")
    assert no_secret_in(repo)


def no_secret_in(repo):
    result = repo.run("check")
    return result.exit_code == 1 and "Tr0ub4dor" not in result.output


def test_a_top_file_that_names_a_missing_file(right):
    right.replace("dev/top.sls", "postgresql-users.wiki]", "postgresql-users.wikki]")
    assert places(right.findings()) == [
        ("dev/top.sls", 5, "there is no file for 'secrets.postgresql-users.wikki'")
    ]


def test_the_core_says_what_is_wrong_and_where(repo):
    repo.replace("postgresql/server.sls", "owner: shop\n", "ownr: shop\n")
    found = repo.findings()
    assert places(found) == [
        ("postgresql/server.sls", 5, "'owner' is missing"),
        ("postgresql/server.sls", 6, "unknown key 'ownr'"),
    ]
    assert found[1]["path"] == "postgresql:databases:shop:ownr"
    assert found[1]["fix"] == "did you mean 'owner'?"
    assert found[1]["environments"] == ["dev", "prod"]


def test_an_encrypted_value_that_is_cut_off(repo):
    file = "prod/secrets/postgresql-users/shop.sls"
    text = (repo.root / "pillar" / file).read_text()
    repo.write(file, text.partition("-----END")[0])
    assert places(repo.findings()) == [(file, 5, "the encrypted value is cut off")]


def test_wrong_is_1_and_the_formats_say_the_same(repo):
    repo.replace("postgresql/server.sls", "owner: shop\n", "owner: shoop\n")
    for form in ("text", "markdown", "json", "github"):
        result = repo.run("check", "--format", form)
        assert result.exit_code == 1
        assert "there is no user or group 'shoop'" in result.stdout.replace("\\", "")


def test_no_password_is_shown(repo):
    repo.replace("dev/secrets/postgresql-users/wiki.sls", "no-secret-in-dev-wiki", "hunter2-hunter2")
    repo.replace("dev/secrets/postgresql-users/shop.sls", "no-secret-in-dev-shop_app", "hunter2-hunter2")
    repo.write("prod/secrets/postgresql-users/wiki.sls", "postgresql: {users: {wiki: {password: hunter2}}}\n")
    assert len(repo.findings()) == 5
    for form in ("text", "markdown", "json", "github"):
        assert "hunter2" not in repo.run("check", "--format", form).stdout


GUESSED = (
    "administrator",
    "abcdefghijkl",
    "iloveyou1234",
    "qwerty123456",
    "wikiwikiwiki123",
    "wiki_wiki_wiki_wiki",
    "Password-12345",
    "abababababababab",
)


@pytest.mark.parametrize("password", GUESSED)
def test_a_password_that_would_be_guessed_is_told_and_not_shown(right, password):
    right.replace("dev/secrets/postgresql-users/wiki.sls", "no-secret-in-dev-wiki", password)
    assert places(right.findings()) == [
        ("dev/secrets/postgresql-users/wiki.sls", 3, "the password would soon be guessed")
    ]
    assert password not in right.run("check").output


def test_names_make_no_password_strong(right):
    right.replace("dev/secrets/postgresql-users/shop.sls", "no-secret-in-dev-shop_app", "shop_app_shop_app")
    assert [one["message"] for one in right.findings()] == ["the password would soon be guessed"]


def test_a_comment_with_many_problems_is_not_too_long(repo):
    many = "".join(f"    database_number_{number}: nobody_of_this_name\n" for number in range(600))
    repo.replace("postgresql/server.sls", "  databases:\n", f"  databases:\n{many}")
    comment = repo.run("check", "--format", "markdown").stdout
    assert comment.startswith("### pgpillar check: 600 problems\n")
    assert 50000 < len(comment) <= 65536
    assert "more lines, which do not fit here" in comment


OF_SERVERS = {
    "a replication by nobody": (
        ("dev/own-server/server.sls", "replication: replicator", "replication: replicater"),
        "there is no user 'replicater'",
    ),
    "a setting that pgpillar makes": (
        ("dev/own-server/server.sls", "    memory: 512\n", "    memory: 512\n    settings: {ssl: 'off'}\n"),
        "this is not set here",
    ),
    "no authority that signs": (
        ("dev/own-server/ca.sls", "authorities: [ca-1]", "authorities: []"),
        "nobody would sign",
    ),
}


@pytest.mark.parametrize("case", OF_SERVERS)
def test_what_only_a_server_or_its_authority_reads_is_checked(repo, case):
    edit, expected = OF_SERVERS[case]
    repo.replace(*edit)
    assert expected in repo.run("check").stdout


def test_a_wrong_option_is_no_change(repo, monkeypatch, capsys):
    monkeypatch.setattr("sys.argv", ["pgpillar", "-C", str(repo.root), "plan", "--no-such-option"])
    with pytest.raises(SystemExit) as end:
        main()
    assert end.value.code == 1


def test_an_environment_that_is_not_there(repo):
    result = repo.run("check", "--env", "test")
    assert result.exit_code == 1
    assert "no environment 'test'; the environments there are: dev, prod" in result.stderr


def test_no_pillar_at_all(repo):
    shutil.rmtree(repo.root / "pillar")
    result = repo.run("check")
    assert (result.exit_code, result.stdout) == (1, "")
    assert "there is no directory 'pillar'" in result.stderr


def test_json_is_made_for_programs(repo):
    assert json.loads(repo.run("check", "--format", "json").stdout) == []
