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
