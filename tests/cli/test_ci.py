"""What CI runs on a pull request: the script on real repositories, the workflow by its structure."""

import os
import re
import shutil
import subprocess

import pytest
import yaml
from pillar_repo import TESTS, Repo

from pgpillar_cli.comment import MARK
from pgpillar_cli.formats import Block, fitted

WORKFLOW = TESTS.parent / "conf/ci/github.yml"


@pytest.fixture
def request_of(tmp_path):
    """A clone of a fork, on a branch that is to become a pull request."""
    origin = Repo(tmp_path / "origin")
    for name in ("pillar", "conf", "salt"):
        shutil.copytree(TESTS.parent / name, origin.root / name, symlinks=True)
    origin.git("init", "--quiet", "--initial-branch", "main")
    origin.commit()
    subprocess.run(["git", "clone", "--quiet", origin.root, tmp_path / "clone"], check=True)
    clone = Repo(tmp_path / "clone")
    (clone.root / ".venv").symlink_to(TESTS.parent / ".venv")
    clone.git("checkout", "--quiet", "-b", "edit")
    return clone


def told(repo, *arguments):
    """What the script writes, and its exit code."""
    done = subprocess.run(
        [repo.root / "conf/ci/pull-request", *arguments], capture_output=True, text=True, cwd="/"
    )
    assert done.stderr == ""
    return done.stdout, done.returncode


def test_a_request_is_told_what_it_changes(request_of):
    request_of.run("new-database", "blog")
    request_of.commit()
    comment, code = told(request_of)
    assert code == 0
    assert comment.startswith(f"{MARK}\n")
    assert "+     create, closed to PUBLIC" in comment
    assert 'CREATE DATABASE "blog"' in comment


def test_a_request_on_another_branch(request_of):
    request_of.git("push", "--quiet", "origin", "HEAD:release")
    request_of.run("new-database", "blog")
    request_of.commit()
    comment, code = told(request_of, "origin/release")
    assert code == 0
    assert "Compared with origin/release" in comment


def test_a_wrong_request_fails_and_is_told_why(request_of):
    request_of.replace("postgresql/server.sls", "    wiki: wiki", "    wiki: wikki")
    request_of.commit()
    comment, code = told(request_of)
    assert code == 1
    assert "there is no user or group 'wikki'" in comment
    assert "plan" not in comment


def test_a_base_that_is_not_there_fails(request_of):
    done = subprocess.run(
        [request_of.root / "conf/ci/pull-request", "origin/none"], capture_output=True, text=True
    )
    assert done.returncode == 1
    assert "origin/none" in done.stderr


def test_a_comment_is_as_a_whole_never_too_long(branch):
    weak = f"sslmode: require\n      sslmode_reason: {'x' * 30000}\n      host: postgresql."
    branch.replace("postgresql/clusters.sls", "host: postgresql.", weak)
    many = "".join(f"    database_{number}_{'x' * 40}: readers\n" for number in range(600))
    branch.replace("postgresql/server.sls", "    wiki: wiki\n", f"    wiki: wiki\n{many}")
    done = branch.run("comment", "--base", "main")
    assert done.exit_code == 0, done.output[:500]
    assert 60000 < len(done.stdout) <= 65537  # with its last line's end
    assert "pgpillar check: 1 notice" in done.stdout
    assert "pgpillar plan: " in done.stdout


def test_more_headings_than_a_comment_holds_are_cut_as_well():
    assert len(fitted([Block("#" * 100) for _ in range(100)], 1000)) <= 1000


def workflow():
    return yaml.load(WORKFLOW.read_text(), yaml.BaseLoader)  # "on" is a word to GitHub


def test_the_workflow_does_not_run_here():
    assert not (TESTS.parent / ".github").exists()


def steps():
    return workflow()["jobs"]["pillar"]["steps"]


def ran(repo):
    """Run the steps that judge the request, in the shell that GitHub has for them. Gives their exit codes."""
    assert workflow()["defaults"]["run"]["shell"] == "bash"
    shell = ["bash", "--noprofile", "--norc", "-eo", "pipefail", "-c"]
    environment = {
        **os.environ,
        "GITHUB_BASE_REF": "main",
        "GITHUB_STEP_SUMMARY": str(repo.root / "summary.md"),
    }
    commands = [
        step["run"] for step in steps() if "pgpillar" in step.get("run", "") or "ci/" in step.get("run", "")
    ]
    assert len(commands) == 2
    options = {"cwd": repo.root, "env": environment, "stdout": subprocess.DEVNULL}
    return [subprocess.run([*shell, command], **options).returncode for command in commands]


def test_the_workflows_steps_tell_what_changes(request_of):
    request_of.run("new-database", "blog")
    request_of.commit()
    assert ran(request_of) == [0, 0]
    comment = (request_of.root / "comment.md").read_text()
    assert 'CREATE DATABASE "blog"' in comment
    assert (request_of.root / "summary.md").read_text() == comment


def test_the_workflows_steps_fail_where_the_request_is_wrong(request_of):
    request_of.replace("postgresql/server.sls", "    wiki: wiki", "    wiki: wikki")
    request_of.commit()
    assert ran(request_of) == [1, 1]
    assert "there is no user or group 'wikki'" in (request_of.root / "comment.md").read_text()


GH = """#!/bin/sh
echo "$*" >> "$LOG"
[ "$2" != --paginate ] || printf %s "$OLD"
"""


@pytest.mark.parametrize(
    ("old", "sent"),
    [
        ("", "api --silent repos/we/it/issues/7/comments --field body=@comment.md"),
        ("4\n5\n", "api --silent --method PATCH repos/we/it/issues/comments/5 --field body=@comment.md"),
    ],
)
def test_the_workflow_replaces_its_own_comment(tmp_path, old, sent):
    (tmp_path / "gh").write_text(GH)
    (tmp_path / "gh").chmod(0o755)
    (tmp_path / "comment.md").write_text(f"{MARK}\n\nnew")
    (step,) = [step["run"] for step in steps() if "gh api" in step.get("run", "")]
    given = {"GITHUB_REPOSITORY": "we/it", "NUMBER": "7", "LOG": str(tmp_path / "log"), "OLD": old}
    environment = {**os.environ, **given, "PATH": f"{tmp_path}:{os.environ['PATH']}"}
    subprocess.run(["bash", "-eo", "pipefail", "-c", step], cwd=tmp_path, env=environment, check=True)
    asked, *rest = (tmp_path / "log").read_text().splitlines()
    assert f'startswith("{MARK}")' in asked
    assert rest == [sent]


def test_the_workflow_has_what_the_plan_needs():
    assert steps()[0]["with"]["fetch-depth"] == "0"
    assert any("make venv" in step.get("run", "") for step in steps())


def test_the_workflow_gives_the_request_no_more_than_it_needs():
    text = WORKFLOW.read_text()
    assert list(workflow()["on"]) == ["pull_request"]
    assert not workflow()["permissions"]
    assert workflow()["jobs"]["pillar"]["permissions"] == {"contents": "read", "pull-requests": "write"}
    for action in filter(None, (step.get("uses") for step in steps())):
        assert re.fullmatch(r"actions/[\w-]+@[0-9a-f]{40}", action)  # and not a tag, which may move
    assert "secrets." not in text
    for step in steps():
        assert "${{" not in step.get("run", "")  # what a request says is never a part of a script
