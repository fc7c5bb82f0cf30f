"""``pgpillar plan``: what a branch changes, from two pillars and no server."""

import json
import re

import pytest
from pillar_repo import Repo

SERVER = "postgresql/server.sls"
SHOP_SECRETS = "dev/secrets/postgresql-users/shop.sls"


def plan(branch, *arguments):
    return branch.run("plan", "--base", "main", *arguments)


def told(branch, *arguments):
    return json.loads(plan(branch, "--format", "json", *arguments).stdout)


def only_part(branch):
    (part,) = told(branch)["parts"]
    return part


def four_edits(branch):
    """A new database, a grant less, another owner, and a database in quarantine."""
    branch.replace(
        SERVER, "    wiki: wiki\n", "    wiki: {owner: wiki, state: quarantined}\n    blog: wiki\n"
    )
    branch.replace(SERVER, "readers: {access: {shop: read}}", "readers: {}")
    branch.replace(SERVER, "reporting: reports", "reporting: readers")


def test_nothing_changes(branch):
    result = plan(branch, "--exit-code")
    assert (result.exit_code, result.stdout) == (0, "pgpillar plan: nothing changes\n")


@pytest.mark.parametrize("is_committed", [True, False])
def test_what_a_branch_changes_is_told_for_all_environments_that_are_alike(branch, is_committed):
    four_edits(branch)
    if is_committed:
        branch.commit()
    part = only_part(branch)
    assert part["environments"] == ["dev", "prod"]
    changes = part["clusters"]["main"]["changes"]["databases"]
    assert list(changes) == ["blog", "shop", "wiki"]
    assert changes["blog"][0] == "create, closed to PUBLIC"
    assert "schema reporting owner: reports → readers" in changes["shop"]
    assert "revoke SELECT on all tables in schema public from readers" in changes["shop"]
    assert changes["wiki"] == ["quarantine: refuse connections, keep the data"]


def test_what_destroys_or_takes_away_is_marked_and_counted(branch):
    four_edits(branch)
    destructive = only_part(branch)["clusters"]["main"]["destructive"]["databases"]
    assert "blog" not in destructive  # in a new database there is nothing to take
    assert all(line.startswith("revoke ") for line in destructive["shop"])
    assert destructive["wiki"] == ["quarantine: refuse connections, keep the data"]
    result = plan(branch)
    rights = len(destructive["shop"])
    losses = only_part(branch)["clusters"]["main"]["losses"]
    assert losses == {"rights_taken": rights, "databases_closed": 1}
    told = f"changes, of which {rights} take rights away and 1 closes a database"
    assert all(told in plan(branch, "--format", form).stdout.splitlines()[0] for form in ("text", "markdown"))
    assert result.stdout.count("⚠ ") == rights + 1


def test_app_nodes_whose_pgbouncer_reloads_are_listed(branch):
    branch.replace(SERVER, "size: 10", "size: 20")
    branch.replace(SHOP_SECRETS, "no-secret-in-dev-shop_app", "no-secret-in-dev-shop_app-2")
    dev, prod = told(branch)["parts"]
    assert dev["nodes"] == {"shop-*": {"shop": ["password", "size: 10 → 20"]}}
    assert prod["nodes"] == {"shop-*": {"shop": ["size: 10 → 20"]}}
    assert dev["clusters"]["main"]["changes"] == {"roles": {"shop_app": ["set password"]}}


def test_no_secret_is_shown(branch):
    branch.replace(SHOP_SECRETS, "no-secret-in-dev-shop_app", "ad7b3f1c-secret")
    for form in ("text", "markdown", "json", "github"):
        assert "secret" not in re.sub("SQL, without its secrets", "", plan(branch, "--format", form).stdout)


def test_what_main_got_meanwhile_is_not_this_branchs_change(branch):
    branch.git("checkout", "--quiet", "main")
    branch.replace(SERVER, "connection_limit: 50", "connection_limit: 60")
    branch.commit()
    branch.git("checkout", "--quiet", "topic")
    assert told(branch)["parts"][0]["clusters"] == {}


def test_exit_codes(branch):
    four_edits(branch)
    assert plan(branch).exit_code == 0
    assert plan(branch, "--exit-code").exit_code == 2
    branch.replace(SERVER, "blog: wiki", "blog: wikki")
    assert plan(branch, "--exit-code").exit_code == 1


def test_a_wrong_pillar_is_told_as_check_does(branch):
    branch.replace(SERVER, "wiki: wiki", "wiki: wikki")
    result = plan(branch)
    assert result.exit_code == 1
    assert "there is no user or group 'wikki' (dev, prod)" in result.stdout


def test_a_base_that_is_wrong_is_told_and_the_other_environment_is_planned(branch):
    branch.git("checkout", "--quiet", "main")
    good = (branch.root / "pillar" / SHOP_SECRETS).read_text()
    branch.write(SHOP_SECRETS, "postgresql: {\n")
    branch.commit()
    branch.git("checkout", "--quiet", "-B", "topic")
    branch.write(SHOP_SECRETS, good)
    branch.replace(SERVER, "connection_limit: 50", "connection_limit: 60")
    dev, prod = told(branch)["parts"]
    assert (dev["base_is_wrong"][0]["file"], dev["clusters"]) == (f"pillar/{SHOP_SECRETS}", {})
    assert prod["clusters"]["main"]["changes"] == {"roles": {"shop_app": ["set connection limit 60"]}}
    for form in ("text", "markdown", "github"):
        result = plan(branch, "--format", form)
        assert result.exit_code == 0
        assert "dev cannot be compared" in result.stdout
        assert "is itself wrong, so nothing can be compared with it" in result.stdout


def test_what_cannot_be_is_wrong(branch):
    branch.replace(SERVER, "wiki: wiki", "wiki: {state: absent, owner: wiki}")
    result = plan(branch)
    assert result.exit_code == 1
    assert "database 'wiki' is still open, and only a quarantined one is dropped" in result.stdout


def test_an_owner_that_goes_and_leaves_its_schema_to_nobody_is_wrong(branch):
    branch.replace(SERVER, "      schemas:\n        reporting: reports\n", "")
    branch.replace(SERVER, "    reports: {}", "    reports: {state: absent}")
    branch.replace(SERVER, "groups: [readers, reports]", "groups: [readers]")
    result = plan(branch)
    assert result.exit_code == 1
    why = "role 'reports' still owns objects in 'shop'; name an heir in postgresql:groups:reports"
    assert why in result.stdout
    branch.replace(SERVER, "reports: {state: absent}", "reports: {state: absent, reassign_to: shop}")
    assert 'DROP ROLE "reports"' in plan(branch).stdout


def test_what_pillar_no_longer_names_is_told(branch):
    branch.replace(SERVER, "    old: {owner: shop, state: quarantined}\n", "")
    cluster = only_part(branch)["clusters"]["main"]
    assert (cluster["changes"], cluster["forgotten"]) == ({}, {"databases": ["old"]})
    assert "no longer in pillar, and left as it is: databases: old" in plan(branch).stdout


def test_an_environment_that_goes_is_told_with_what_it_leaves(branch):
    branch.git("rm", "-r", "--quiet", "pillar/prod")
    _, part = told(branch)["parts"]
    assert (part["environments"], part["goes"]) == (["prod"], True)
    assert part["clusters"]["main"]["changes"] == {}
    assert part["clusters"]["main"]["forgotten"]["clusters"] == ["main"]
    assert part["clusters"]["main"]["forgotten"]["databases"] == ["old", "shop", "wiki"]
    assert part["leaving"]["wiki-*"] == {"pools": ["wiki"]}
    assert part["nodes"] == {}
    for form in ("text", "markdown", "github"):
        assert "prod goes: nothing is dropped there, and nobody" in plan(branch, "--format", form).stdout
    assert plan(branch, "--exit-code").exit_code == 2


def test_what_an_owner_leaves_to_the_next_is_told_as_far_as_pillar_knows(branch):
    branch.replace(SERVER, "    wiki: wiki", "    wiki: shop")
    cluster = only_part(branch)["clusters"]["main"]
    assert cluster["inherited"] == {"wiki": ["what wiki owns in public goes to shop"]}
    assert "moves as well, as far as the server has it: wiki: what wiki owns" in plan(branch).stdout


POWERS = {
    "shop_app: set createrole on": "attributes: [createrole]",
    "shop_app: join pg_read_all_data": "groups: [pg_read_all_data]",
    "shop_app: set log_statement = none": "settings: {log_statement: none, work_mem: 8MB}",
}


@pytest.mark.parametrize("power", POWERS)
def test_a_power_beyond_databases_is_shown_by_itself(branch, power):
    branch.replace(SERVER, "{connection_limit: 50}", f"{{connection_limit: 50, {POWERS[power]}}}")
    assert only_part(branch)["clusters"]["main"]["powers"] == [power]
    assert "; gives power beyond databases on cluster main" in plan(branch).stdout.splitlines()[0]
    markdown = plan(branch, "--format", "markdown").stdout
    assert markdown.index("**gives power beyond databases**") < markdown.index("<details>")
    assert f"::gives power beyond databases: {power}" in plan(branch, "--format", "github").stdout


def test_a_new_user_with_a_power_and_a_database_with_a_superusers_setting(branch):
    branch.replace(SERVER, "owner: shop\n", "owner: shop\n      settings: {log_statement: none}\n")
    branch.replace(SERVER, "  users:\n", "  users:\n    tool: {attributes: [createdb]}\n")
    branch.add("dev/secrets/postgresql-users/all.sls", "    tool: {password: no-secret-in-dev-tool}\n")
    (cluster,) = told(branch, "--env", "dev")["parts"][0]["clusters"].values()
    assert cluster["powers"] == ["tool: create user, createdb", "shop: set log_statement = none"]


def test_a_change_that_gives_no_power_is_not_shown_as_one(branch):
    four_edits(branch)
    branch.replace(SERVER, "{connection_limit: 50}", "{connection_limit: 60, settings: {work_mem: 8MB}}")
    assert only_part(branch)["clusters"]["main"]["powers"] == []
    assert "gives power" not in plan(branch).stdout


CLUSTERS = "postgresql/clusters.sls"
NEWS = [
    ("another way to cluster main", CLUSTERS, "host: postgresql.", "port: 5433\n      host: postgresql."),
    ("another way to cluster main", CLUSTERS, "user: doadmin", "user: admin"),
    ("no longer in pillar on cluster main", SERVER, "    old: {owner: shop, state: quarantined}\n", ""),
    ("client files change on shop-*", SERVER, "{connection_limit: 50", "{run_as: www, connection_limit: 50"),
]


@pytest.mark.parametrize(("told", "file", "old", "new"), NEWS)
def test_the_headline_has_whatever_is_new(branch, told, file, old, new):
    branch.replace(file, old, new)
    result = plan(branch, "--exit-code")
    assert told in result.stdout.splitlines()[0]
    assert result.exit_code == 2


def test_the_headline_has_what_cannot_be(branch):
    branch.replace(SERVER, "    wiki: wiki", "    wiki: {owner: wiki, encoding: UTF8}")
    branch.git("checkout", "--quiet", "main")
    branch.commit()
    branch.git("checkout", "--quiet", "-B", "topic")
    branch.replace(SERVER, "UTF8", "LATIN1")
    result = plan(branch)
    assert result.exit_code == 1
    assert result.stdout.startswith("pgpillar plan: cannot be on cluster main\n")


def test_a_cluster_that_moves_is_told(branch):
    branch.replace("postgresql/clusters.sls", "host: postgresql.", "port: 5433\n      host: postgresql.")
    part = only_part(branch)
    assert part["clusters"]["main"]["way"] == ["port: 5432 → 5433"]
    assert part["nodes"]["wiki-*"] == {"wiki": ["port: 5432 → 5433"]}


def test_a_branch_that_brings_pillar(branch):
    branch.git("checkout", "--quiet", "--orphan", "empty")
    branch.git("rm", "-r", "--quiet", "--cached", "pillar")
    branch.git("commit", "--quiet", "--allow-empty", "--message", "nothing")
    branch.git("checkout", "--quiet", "-B", "main")
    branch.commit("topic")
    changes = only_part(branch)["clusters"]["main"]["changes"]
    assert changes["roles"]["shop"] == ["create user", "set password"]


def test_a_base_that_git_does_not_know(branch):
    result = branch.run("plan", "--base", "nowhere")
    assert result.exit_code == 1
    assert (
        "there is no branch or commit 'nowhere' here; name another with --base, or fetch it" in result.stderr
    )


@pytest.mark.parametrize("base", ["--help", "--output=x"])
def test_a_base_is_no_option_of_gits(branch, base):
    result = branch.run("plan", f"--base={base}")
    assert result.exit_code == 1
    assert f"there is no branch or commit {base!r} here" in result.stderr


def test_a_base_of_another_history(branch):
    branch.git("checkout", "--quiet", "--orphan", "empty")
    branch.write("README", "")
    branch.commit()
    assert (
        "the base and this branch come from no common commit" in branch.run("plan", "--base", "main").stderr
    )


def test_a_directory_that_git_does_not_keep(right):
    assert "this is no git repository, so nothing tells what changed" in right.run("plan").stderr


def test_a_machine_without_git(branch, monkeypatch):
    monkeypatch.setenv("PATH", "")
    told = plan(branch).stderr
    assert told == "Error: git is not installed, which knows what there was before; install git\n"


def test_a_base_is_whole_whatever_archives_leave_out_and_wherever_links_lead(branch):
    branch.git("mv", f"pillar/{SERVER}", "shared.sls")
    (branch.root / "pillar" / SERVER).symlink_to("../../shared.sls")
    (branch.root / ".gitattributes").write_text("pillar/prod export-ignore\n")
    branch.commit("main")
    branch.git("checkout", "--quiet", "-B", "topic")
    assert plan(branch).stdout == "pgpillar plan: nothing changes\n"


def test_pillar_below_the_root_of_a_repo(branch):
    branch.git("mv", "pillar", "deep")
    (branch.root / "salt").mkdir()
    branch.git("mv", "deep", "salt/pillar")
    branch.commit("main")
    below = Repo(branch.root / "salt")
    below.git("checkout", "--quiet", "-B", "topic")
    below.replace(SERVER, "connection_limit: 50", "connection_limit: 60")
    assert "1 change" in plan(below).stdout


def test_a_comment_is_never_too_long_and_says_what_is_missing(branch):
    text = (branch.root / "pillar" / SERVER).read_text()
    many = "".join(f"    database_number_{number}: shop\n" for number in range(400))
    branch.write(SERVER, text.replace("  databases:\n", "  databases:\n" + many))
    comment = plan(branch, "--format", "markdown").stdout
    assert len(comment) <= 65536
    assert comment.count("```") % 2 == 0
    assert comment.count("<details>") == comment.count("</details>")
    assert re.search(r"… and \d+ more lines, which do not fit here", comment)
