"""Who may say what in pillar: the files that ``pillar/privileged.yaml`` lists, and every other one."""

import shutil

import pytest
from pillar_repo import TESTS, Repo


@pytest.fixture
def team(tmp_path):
    """A repo with a file for each role, and privileged ones for what all of them share."""
    shutil.copytree(TESTS / "corpus" / "by_role", tmp_path / "pillar")
    return Repo(tmp_path)


def places(findings):
    return [(one["file"].removeprefix("pillar/"), one["line"], one["message"]) for one in findings]


def test_a_file_for_each_role_is_right_with_grants_of_each_to_others(team):
    result = team.run("check")
    assert (result.exit_code, result.stdout) == (0, "pillar is as it should be\n")


def test_a_violation_is_told_with_file_line_path_and_what_to_do(team):
    team.replace("postgresql/shop.sls", "shop: {}", "shop: {attributes: [createrole]}")
    [found] = team.findings()
    assert (found["file"], found["line"], found["level"]) == ("pillar/postgresql/shop.sls", 11, "wrong")
    assert found["path"] == "postgresql:users:shop:attributes"
    assert found["message"] == "only a privileged file may give 'createrole'"
    assert found["fix"] == "move it to a file that pillar/privileged.yaml lists, or list this one"
    assert team.run("check").exit_code == 1


def test_access_to_a_database_is_for_the_file_of_the_database_to_give(team):
    team.replace("postgresql/shop.sls", "shop: {}", "shop: {access: {wiki: read}}")
    [found] = team.findings()
    assert found["fix"] == "let pillar/postgresql/wiki.sls give it, in postgresql:databases:wiki:access"
    team.replace("postgresql/shop.sls", "shop: {access: {wiki: read}}", "shop: {}")
    team.replace("postgresql/wiki.sls", "wiki: wiki  #", "wiki: {owner: wiki, access: {shop: read}}  #")
    assert team.findings() == []


FROM_PRIVILEGED = (
    ("users:\n", "users:\n    tool: {attributes: [createrole, replication]}\n"),
    ("users:\n", "users:\n    tool: {groups: [pg_read_all_data, wiki_readers]}\n"),
    ("users:\n", "users:\n    tool: {access: {wiki: owner}}\n"),
    ("users:\n", "users:\n    tool: {access: {shop: read}, settings: {log_statement: all}}\n"),
    ("  databases:\n", "  pools: {tool: {database: wiki, user: tool}}\n  databases:\n    mine: tool\n"),
)


@pytest.mark.parametrize("edit", FROM_PRIVILEGED)
def test_a_privileged_file_may_say_everything(team, edit):
    team.replace("postgresql/everybody.sls", *edit)
    team.add("dev/secrets/postgresql-users/all.sls", "    tool: {password: no-secret-in-dev-tool}\n")
    assert team.findings() == []


def test_what_was_refused_is_right_in_a_file_that_is_listed(team):
    team.replace("postgresql/shop.sls", "shop: {}", "shop: {attributes: [createrole]}")
    team.add("privileged.yaml", "- postgresql/shop.sls\n")
    assert team.findings() == []


def test_a_user_with_more_than_its_file_may_give_it_stands_in_a_privileged_file(team):
    team.replace("postgresql/shop.sls", "    shop: {}\n", "")
    team.replace("postgresql/shop.sls", "      owner: shop\n", "      owner: shop_reports\n")
    team.replace(
        "postgresql/everybody.sls", "users:\n", "users:\n    shop: {groups: [shop_reports, pg_monitor]}\n"
    )
    assert team.findings() == []


def test_the_files_of_a_role_may_be_in_a_directory_of_its_name(team):
    for file in ("shop", "wiki"):
        (team.root / f"pillar/postgresql/{file}").mkdir()
        (team.root / f"pillar/postgresql/{file}.sls").rename(team.root / f"pillar/postgresql/{file}/init.sls")
    assert team.findings() == []


def test_secrets_in_a_file_of_another_name_are_those_of_another_author(team):
    secrets = team.root / "pillar/dev/secrets/postgresql-owners"
    (secrets / "shop.sls").rename(secrets / "shops.sls")
    found = {(file, line) for file, line, message in places(team.findings()) if "as well" in message}
    assert found == {("postgresql/shop.sls", 11), ("dev/secrets/postgresql-owners/shops.sls", 3)}


# The list


@pytest.mark.parametrize("glob", ["postgresql/*.sls", "*/shop.sls", "*/*"])
def test_a_glob_of_files(team, glob):
    team.replace("postgresql/shop.sls", "shop: {}", "shop: {attributes: [createrole]}")
    team.add("privileged.yaml", f"- '{glob}'\n")
    assert team.findings() == []


@pytest.mark.parametrize("glob", ["*.sls", "shop.sls", "*/*/shop.sls", "postgresql", "postgresql/sh"])
def test_a_glob_takes_each_directory_by_itself_and_names_whole(team, glob):
    team.replace("postgresql/shop.sls", "shop: {}", "shop: {attributes: [createrole]}")
    team.add("privileged.yaml", f"- '{glob}'\n")
    assert places(team.findings()) == [
        ("postgresql/shop.sls", 11, "only a privileged file may give 'createrole'")
    ]


WRONG_LISTS = {
    "a mapping": ("files: [postgresql/*.sls]\n", (1, "this is no list")),
    "nothing": ("", (1, "this is no list")),
    "a number": ("- 1\n", (1, "a number is not a file below pillar/, or a glob of files")),
    "a mapping in it": ("- {a: b}\n", (1, "a mapping is not a file below pillar/, or a glob of files")),
    "YAML that is not closed": ("- [a\n", (2, "a bracket is not closed, or a comma is missing")),
}


@pytest.mark.parametrize("case", WRONG_LISTS)
def test_a_list_that_is_wrong_is_told(right, case):
    text, told = WRONG_LISTS[case]
    right.write("privileged.yaml", text)
    assert ("privileged.yaml", *told) in places(right.findings())


def test_a_list_that_is_not_text(right):
    (right.root / "pillar" / "privileged.yaml").write_bytes("- é\n".encode("latin-1"))
    assert places(right.findings()) == [("privileged.yaml", None, "this is not UTF-8")]


def test_an_empty_list_leaves_nobody_privileged(team):
    team.write("privileged.yaml", "[]\n")
    refused = {file for file, _, _ in places(team.findings())}
    assert {
        "postgresql/clusters.sls",
        "postgresql/everybody.sls",
        "dev/secrets/postgresql-admin.sls",
    } <= refused


# Without a list


def test_without_a_list_several_files_are_a_notice_and_keep_nothing_from_merging(team):
    (team.root / "pillar" / "privileged.yaml").unlink()
    team.replace("postgresql/shop.sls", "shop: {}", "shop: {attributes: [createrole], access: {wiki: read}}")
    [found] = team.findings()
    assert (found["file"], found["level"]) == ("pillar/privileged.yaml", "notice")
    assert (
        found["message"] == "3 files declare databases, users or groups, and each may take those of another"
    )
    assert team.run("check").exit_code == 0


def test_without_a_list_one_file_that_declares_everything_is_no_notice(right):
    assert not (right.root / "pillar" / "privileged.yaml").exists()
    assert right.findings() == []


def test_in_the_example_the_files_of_roles_hold_their_passwords_alone(repo):
    repo.replace(
        "dev/secrets/postgresql-users/shop.sls", "{password:", "{attributes: [createrole], password:"
    )
    messages = {message for _, _, message in places(repo.findings())}
    assert messages == {
        "a secrets file of a role holds passwords alone",
        "only a privileged file may give 'createrole'",
    }
