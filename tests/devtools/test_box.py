"""The box of the hosts is built once for each recipe, and again when anything of that changes."""

import shutil

import pytest

from devtools import box


@pytest.fixture
def built(tmp_path, monkeypatch):
    """The boxes that would have been built; Vagrant has none yet, and remembers what it is given."""
    built = []

    def build(debian, recipe, path):
        path.mkdir(parents=True)
        (path / "box").write_text(recipe)
        built.append((debian, recipe))

    def add(title, command):
        place = tmp_path / "boxes" / command[-2].replace("/", "-VAGRANTSLASH-") / "0" / "lxc"
        place.mkdir(parents=True, exist_ok=True)
        (place / "recipe").write_text(command[-1].read_text())

    (tmp_path / "pins").write_text("salt==1\n")
    monkeypatch.setenv("VAGRANT_HOME", str(tmp_path))
    for name, value in {
        "build": build,
        "step": add,
        "CACHE": tmp_path / "cache",
        "PINS": tmp_path / "pins",
    }.items():
        monkeypatch.setattr(box, name, value)
    return built


def test_it_is_built_once(built):
    box.give_to_vagrant("13")
    box.give_to_vagrant("13")
    assert len(built) == 1


def test_one_that_is_kept_is_given_without_building(built, tmp_path):
    box.give_to_vagrant("13")
    (tmp_path / "boxes").rename(tmp_path / "gone")
    box.give_to_vagrant("13")
    assert len(built) == 1
    assert box.known("13") == built[0][1]


def test_one_that_vagrant_knows_is_built_again_where_the_cache_was_emptied(built):
    box.give_to_vagrant("13")
    shutil.rmtree(box.CACHE)
    box.give_to_vagrant("13")
    assert len(built) == 2


def test_each_debian_has_its_own(built):
    box.give_to_vagrant("13")
    box.give_to_vagrant("12")
    assert [debian for debian, _ in built] == ["13", "12"]


def test_another_pin_makes_another_box(built):
    box.give_to_vagrant("13")
    box.PINS.write_text("salt==2\n")
    box.give_to_vagrant("13")
    assert len({recipe for _, recipe in built}) == 2


def test_other_authorities_make_another_box(built, tmp_path, monkeypatch):
    box.give_to_vagrant("13")
    (tmp_path / "ca.pem").write_text("another")
    monkeypatch.setenv("SSL_CERT_FILE", str(tmp_path / "ca.pem"))
    box.give_to_vagrant("13")
    assert len(built) == 2
