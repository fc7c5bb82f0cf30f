"""What cannot be fetched from another release of Debian is told, and nothing half-fetched is left."""

import os

import pytest

from devtools import debian, embedded


def test_a_package_that_cannot_be_had_leaves_nothing(tmp_path, monkeypatch):
    monkeypatch.setattr(embedded, "cache", lambda name: tmp_path / "cache" / name)
    monkeypatch.setattr(debian, "_mirror", lambda: f"file:{tmp_path}/nowhere")
    with pytest.raises(embedded.Failed, match=r"apt-get failed: .*nowhere"):
        debian.fetched("13", "pgbouncer")
    assert os.listdir(tmp_path / "cache" / "debian") == []


def test_every_error_of_apt_is_in_the_message():
    errors = "E: Failed to fetch postgresql.dsc  404  Not Found\nE: Failed to fetch some archives."
    with pytest.raises(embedded.Failed, match=r"^sh failed: Failed to fetch postgresql.dsc .*; Failed"):
        debian.run("sh", "-c", f"echo 'W: something else\n{errors}' >&2; exit 100")


def test_of_another_program_the_last_line_is_told():
    with pytest.raises(embedded.Failed, match=r"^sh failed: no space$"):
        debian.run("sh", "-c", "echo 'unpacking\nno space' >&2; exit 2")
