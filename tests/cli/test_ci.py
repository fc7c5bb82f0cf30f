"""What CI runs on a pull request: the script on real repositories, the workflow by its structure."""

import os
import shutil
import subprocess

import pytest
import yaml
from pillar_repo import TESTS, Repo

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


def test_the_workflow_has_what_the_plan_needs():
    assert steps()[0]["with"]["fetch-depth"] == "0"
    assert any("make venv" in step.get("run", "") for step in steps())


def test_the_workflow_gives_the_request_no_more_than_it_needs():
    text = WORKFLOW.read_text()
    assert list(workflow()["on"]) == ["pull_request"]
    assert workflow()["permissions"] == {"contents": "read", "pull-requests": "write"}
    assert "secrets." not in text
    for step in steps():
        assert "${{" not in step.get("run", "")  # what a request says is never a part of a script
