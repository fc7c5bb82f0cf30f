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
        ("dev/secrets/postgresql-users/shop.sls", 2, "the key 'postgresql' stands here twice"),
    ),
    "a tab": (
        "postgresql:\n\tusers: {}\n",
        ("dev/secrets/postgresql-users/shop.sls", 2, "this is a tab, or a character that begins no value"),
    ),
    "Jinja that is not closed": (
        "a: 1\n{% if x %}\n",
        (
            "dev/secrets/postgresql-users/shop.sls",
            2,
            "Jinja: Unexpected end of template. Jinja was looking for the following tags: "
            "'elif' or 'else' or 'endif'. The innermost block that needs to be closed is 'if'.",
        ),
    ),
    "Jinja with an unknown name": (
        "a: 1\nb: {{ nothing.there }}\n",
        ("dev/secrets/postgresql-users/shop.sls", 2, "Jinja: 'nothing' is undefined"),
    ),
    "Jinja that includes what is not there": (
        "a: 1\n{% include 'nothing.jinja' %}\n",
        ("dev/secrets/postgresql-users/shop.sls", 2, "Jinja: there is no file 'nothing.jinja'"),
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
            "Salt has no renderer 'yamll', and so reads nothing of this file",
        ),
    ),
}


@pytest.mark.parametrize("case", WRONG_FILES)
def test_a_file_that_salt_cannot_read_is_told_with_its_line(repo, case):
    text, expected = WRONG_FILES[case]
    repo.write("dev/secrets/postgresql-users/shop.sls", text)
    assert places(repo.findings("--env", "dev")) == [expected]


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
    assert len(repo.findings()) == 3
    for form in ("text", "markdown", "json", "github"):
        assert "hunter2" not in repo.run("check", "--format", form).stdout


def test_a_comment_with_many_problems_is_not_too_long(repo):
    many = "".join(f"    database_number_{number}: nobody_of_this_name\n" for number in range(600))
    repo.replace("postgresql/server.sls", "  databases:\n", f"  databases:\n{many}")
    comment = repo.run("check", "--format", "markdown").stdout
    assert comment.startswith("### pgpillar check: 600 problems\n")
    assert 50000 < len(comment) <= 65536
    assert "more lines, which do not fit here" in comment


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
