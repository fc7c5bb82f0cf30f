"""Set-up does what is missing, nothing else, and says in a sentence what it cannot do."""

import json
import os
import subprocess
import sys

import pytest

from devtools import set_up
from pgpillar import __version__


@pytest.fixture
def place(tmp_path, monkeypatch):
    """A repo of its own for set-up, with three short pinned files."""
    (tmp_path / "requirements").mkdir()
    for name in ("runtime.txt", "cli.txt", "dev.txt"):
        (tmp_path / "requirements" / name).write_text(f"{name.partition('.')[0]}==1\n")
    venv = tmp_path / ".venv"
    monkeypatch.setattr(set_up, "REQUIREMENTS", tmp_path / "requirements")
    monkeypatch.setattr(set_up, "VENV", venv)
    monkeypatch.setattr(set_up, "STAMP", venv / "made-of.json")
    monkeypatch.setattr(set_up, "LOG", venv / "set-up.log")
    return tmp_path


@pytest.fixture
def installed(monkeypatch):
    """The Debian packages that are there; all of them to begin with."""
    names = set(set_up.PACKAGES)
    for name, package in set_up.PACKAGES.items():
        there = set_up.Package(package.purpose, lambda name=name: name in names)
        monkeypatch.setitem(set_up.PACKAGES, name, there)
    return names


@pytest.fixture
def steps(place, installed, monkeypatch):
    """What set-up would have run, by title; nothing is run, but packages count as installed."""
    titles = []

    def note(title, command, must_succeed=True):
        set_up.VENV.mkdir(exist_ok=True)
        titles.append(title)
        installed.update(name for name in command if name in set_up.PACKAGES)

    monkeypatch.setattr(set_up, "step", note)
    monkeypatch.setattr(set_up, "HELD_STILL", {})
    monkeypatch.setattr(os, "geteuid", lambda: 0)
    return titles


VENV_STEP = f"making .venv from {sys.executable}"
RUNTIME_STEP = "installing the 1 Python packages of runtime.txt"
CLI_STEP = "installing the 1 Python packages of cli.txt"
DEV_STEP = "installing the 1 Python packages of dev.txt"


def set_up_again(steps, level):
    steps.clear()
    set_up.main([level])
    return steps


@pytest.mark.parametrize(
    ("level", "expected"),
    [("run", [VENV_STEP, RUNTIME_STEP]), ("dev", [VENV_STEP, RUNTIME_STEP, CLI_STEP, DEV_STEP])],
)
def test_builds_the_venv_once(steps, level, expected):
    assert set_up_again(steps, level) == expected
    assert set_up_again(steps, level) == []


def test_extends_the_venv(steps):
    set_up.main(["run"])
    assert set_up_again(steps, "dev") == [CLI_STEP, DEV_STEP]
    assert set_up_again(steps, "run") == []


def test_builds_the_venv_anew_when_a_pin_changes(steps, place):
    set_up.main(["dev"])
    (place / "requirements" / "dev.txt").write_text("dev==2\n")
    assert set_up_again(steps, "dev") == [VENV_STEP, RUNTIME_STEP, CLI_STEP, DEV_STEP]


@pytest.mark.parametrize("spoilt", ["python", "place"])
def test_builds_the_venv_anew_when_it_is_another_pythons_or_was_moved(steps, spoilt):
    set_up.main(["run"])
    stamp = json.loads(set_up.STAMP.read_text())
    set_up.STAMP.write_text(json.dumps(stamp | {spoilt: "another"}))
    assert set_up_again(steps, "run") == [VENV_STEP, RUNTIME_STEP]


def test_builds_the_venv_anew_after_an_interruption(steps, place):
    (place / ".venv").mkdir()
    (place / ".venv" / "half").touch()
    set_up.main(["run"])
    assert not (place / ".venv" / "half").exists()


def test_the_command_runs_what_stands_in_the_repo():
    said = subprocess.run([set_up.VENV / "bin" / "pgpillar", "--version"], capture_output=True, text=True)
    assert said.stdout == f"pgpillar, version {__version__}\n"


def test_installs_what_is_missing_and_says_why(steps, installed):
    installed.clear()
    set_up.main(["demo"])
    assert steps[:3] == [
        "reading Debian's package lists",
        "installing python3-venv (to build .venv), postgresql (for a private server), "
        "pgbouncer (for a private pooler)",
        "keeping pgbouncer's service off",
    ]


def test_leaves_a_pgbouncer_that_was_there_alone(steps, installed):
    installed.remove("postgresql")
    set_up.main(["demo"])
    assert "keeping pgbouncer's service off" not in steps


def test_tells_who_is_not_root_what_to_type(steps, installed, monkeypatch):
    monkeypatch.setattr(os, "geteuid", lambda: 1000)
    installed.clear()
    with pytest.raises(SystemExit) as end:
        set_up.main(["demo"])
    assert "apt-get install --no-install-recommends python3-venv postgresql pgbouncer" in end.value.code


def test_services_are_held_still_only_meanwhile(tmp_path, monkeypatch):
    ours, theirs = tmp_path / "made" / "ours", tmp_path / "theirs"
    theirs.write_text("an admin's policy")
    monkeypatch.setattr(set_up, "HELD_STILL", {ours: "exit 101", theirs: "exit 101"})
    with set_up.held_still():
        assert ours.read_text() == "exit 101"
        assert os.access(ours, os.X_OK)
    assert [path.name for path in tmp_path.iterdir()] == ["theirs"]
    assert theirs.read_text() == "an admin's policy"


def test_a_step_that_fails_shows_the_end_of_its_log(place, capsys):
    with pytest.raises(SystemExit) as end:
        set_up.step("asking the oracle", [sys.executable, "-c", "raise SystemExit('no oracle here')"])
    assert end.value.code == f"set-up: asking the oracle: failed, see above; the whole log is {set_up.LOG}"
    said = capsys.readouterr()
    assert said.out.startswith("asking the oracle ... ")
    assert "no oracle here" in said.err


def test_a_step_that_is_interrupted_comes_to_its_end_first(place):
    script = f"sleep 0.2; kill -INT $PPID; sleep 0.3; touch {place}/done"
    with pytest.raises(KeyboardInterrupt):
        set_up.step("being interrupted", ["sh", "-c", script])
    assert (place / "done").exists()
