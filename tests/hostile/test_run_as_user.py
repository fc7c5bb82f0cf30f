"""The system user of one application attacks the runs of root on its node, by what it may write.

It owns its client files. On a node that an older pgpillar converged it owns their folder too. Whatever it
does, the next run mends the files of the other application, touches nothing outside, and does not wait.
"""

import fcntl
import os
import shutil
import signal
import stat
import struct
import subprocess
import tempfile
import time
from contextlib import contextmanager, suppress
from pathlib import Path

import pytest
import yaml

from pgpillar import trial
from tests.functional.node.conftest import USER as BOUNCER
from tests.functional.node.conftest import AppNode
from tests.hostile import intruder

INTRUDER, OTHER = "games", "mail"
FILES = ("pg_service.conf", "pgpass", "shop.env")
PATIENCE = 20  # seconds; a lease of a file's owner holds others up for 45


CA = "-----BEGIN CERTIFICATE-----\nof nobody\n-----END CERTIFICATE-----\n"


class Victims:
    """A node with two applications: the one of ``shop_app`` attacks, the one of ``wiki`` has done nothing."""

    def __init__(self, node, tree):
        self.node, self.tree = node, tree
        clients = Path(node.paths.clients)
        self.folder, self.other = clients / "shop_app", clients / "wiki"
        self.outside = node.root / "outside"

    def make_anew(self):
        """What a first run would make."""
        subprocess.run(["rm", "-rf", self.node.paths.clients], check=True)
        self.outside.write_text("of root")
        self.outside.chmod(0o644)
        assert self.apply()["result"]

    def apply(self, test=False):
        """What the state of client files returns, after the one of passwords."""
        states = {
            "passwords": {"node_secret.present": [{"root": str(self.node.root)}]},
            "files": {"pg_client.configured": [{"root": str(self.node.root)}]},
        }
        self.node.minion.script("clients.sls", yaml.safe_dump(states, sort_keys=False))
        returned = self.node.minion.returned("clients", self.tree, test)
        return next(state for key, state in returned.items() if key.startswith("pg_client_"))

    def let_it_own_the_folder(self):
        """As it was before folders were root's."""
        self.folder.chmod(0o500)
        shutil.chown(self.folder, INTRUDER, INTRUDER)

    def give_work(self):
        """Something to do in both folders for the next run, that is no fault of the intruder's."""
        (self.other / "pgpass").unlink()
        (Path(self.node.paths.secrets) / "shop_app").unlink()

    def assert_the_other_is_well(self):
        assert guard(self.other / "pgpass") == f"-r-------- {OTHER}"
        assert guard(self.outside) == "-rw-r--r-- root"
        assert self.outside.read_text() == "of root"

    def assert_all_is_well(self):
        self.assert_the_other_is_well()
        state = self.apply()
        assert (state["result"], state["changes"]) == (True, {})
        assert not [name for name in os.listxattr(self.folder) if "acl" in name]
        assert {path.name: guard(path) for path in self.folder.iterdir()} == dict.fromkeys(
            FILES, f"-r-------- {INTRUDER}"
        )


def guard(path):
    return f"{stat.filemode(path.lstat().st_mode)} {path.owner()}"


@pytest.fixture(scope="module")
def place():
    """One node for all attacks. Nobody connects, so there need be no server."""
    directory = Path(tempfile.mkdtemp(prefix="pgp-", dir="/tmp"))
    directory.chmod(0o755)
    yield Victims(
        AppNode(directory, "app-1"),
        {
            "clusters": {"main": {"host": "db.example.internal", "ca": CA}},
            "databases": {"wiki": "wiki", "shop": {"owner": "shop", "access": {"shop_app": "write"}}},
            "groups": {"shop": {}},
            "users": {
                "shop_app": {"password": "long-and-random-1", "run_as": INTRUDER},
                "wiki": {"password": "long-and-random-2", "run_as": OTHER},
            },
        },
    )
    subprocess.run(["rm", "-rf", directory], check=True)


@pytest.fixture
def victims(place):
    place.make_anew()
    return place


# What it may do with a folder and files that are its own


def a_folder_under_a_temporary_name(folder, outside):
    (folder / ".pgpass.new" / "inner").mkdir(parents=True)


def a_pipe_under_a_temporary_name(folder, outside):
    os.mkfifo(folder / ".pgpass.new")


def a_link_under_a_temporary_name(folder, outside):
    (folder / ".pgpass.new").symlink_to(outside)


def a_link_for_a_file(folder, outside):
    (folder / "pgpass").unlink()
    (folder / "pgpass").symlink_to(outside)


def links_for_all_files(folder, outside):
    for path in folder.iterdir():
        path.unlink()
        path.symlink_to(outside)


def a_pipe_for_a_file(folder, outside):
    (folder / "pgpass").unlink()
    os.mkfifo(folder / "pgpass", 0o400)


def a_folder_for_a_file(folder, outside):
    (folder / "pgpass").unlink()
    (folder / "pgpass" / "inner").mkdir(parents=True)


def a_closed_folder_for_a_file(folder, outside):
    a_folder_for_a_file(folder, outside)
    (folder / "pgpass" / "inner").chmod(0)
    (folder / "pgpass").chmod(0)


def a_link_to_a_folder_for_a_file(folder, outside):
    (folder / "pgpass").unlink()
    (folder / "pgpass").symlink_to(outside.parent)


def a_second_name_for_a_file(folder, outside):
    os.link(folder / "pgpass", folder / "kept")


def folders_deeper_than_any_path(folder, outside):
    (folder / "deep").mkdir()
    os.chdir(folder / "deep")
    for _ in range(3000):
        os.mkdir("d")
        os.chdir("d")


def names_that_are_no_words(folder, outside):
    for name in (b"\xff\xfe", b"a\nb", b"\x1b[2J", "\u202e".encode(), b"." * 255):
        open(os.path.join(os.fsencode(folder), name), "w").close()


def more_files_than_anybody_reads_of(folder, outside):
    for number in range(2000):
        (folder / f"{number:04}").touch()


def no_files(folder, outside):
    for path in folder.iterdir():
        path.unlink()


def rights_that_outlast_the_owner(folder, outside):
    own = os.getuid()
    entries = [(1, 7, -1), (2, 7, own), (4, 5, -1), (16, 7, -1), (32, 5, -1)]
    acl = struct.pack("<I", 2) + b"".join(struct.pack("<HHi", *entry) for entry in entries)
    for kind in ("access", "default"):
        os.setxattr(folder, f"system.posix_acl_{kind}", acl)


def a_file_of_any_size(folder, outside):
    (folder / "pgpass").chmod(0o600)
    os.truncate(folder / "pgpass", 2**40)
    (folder / "pgpass").chmod(0o400)


def files_that_nobody_may_read(folder, outside):
    for path in folder.iterdir():
        path.chmod(0)


def files_that_everybody_may_read(folder, outside):
    for path in folder.iterdir():
        path.chmod(0o444)


def another_text(folder, outside):
    (folder / "pgpass").chmod(0o600)
    (folder / "pgpass").write_text("*:*:*:*:mine\n")
    (folder / "pgpass").chmod(0o400)


OF_FILES = [
    a_file_of_any_size,
    files_that_nobody_may_read,
    files_that_everybody_may_read,
    another_text,
]
OF_FOLDERS = [
    a_folder_under_a_temporary_name,
    a_pipe_under_a_temporary_name,
    a_link_under_a_temporary_name,
    a_link_for_a_file,
    links_for_all_files,
    a_pipe_for_a_file,
    a_folder_for_a_file,
    a_closed_folder_for_a_file,
    a_link_to_a_folder_for_a_file,
    a_second_name_for_a_file,
    folders_deeper_than_any_path,
    names_that_are_no_words,
    more_files_than_anybody_reads_of,
    no_files,
    rights_that_outlast_the_owner,
]


def as_owner(attack):
    """The attack on a folder that the intruder first opens for itself."""

    def on_its_own(folder, outside):
        folder.chmod(0o700)
        attack(folder, outside)

    return on_its_own


@pytest.mark.parametrize("attack", OF_FILES, ids=lambda attack: attack.__name__)
def test_what_it_does_to_its_files_is_mended(victims, attack):
    assert intruder.do(INTRUDER, attack, victims.folder, victims.outside)
    victims.give_work()
    foretold, state = victims.apply(test=True), victims.apply()
    assert state["result"], state
    assert state["changes"] == foretold["changes"]
    victims.assert_all_is_well()


@pytest.mark.parametrize("attack", OF_FOLDERS, ids=lambda attack: attack.__name__)
def test_what_it_did_to_its_folder_is_mended_as_the_folder_becomes_roots(victims, attack):
    victims.let_it_own_the_folder()
    assert intruder.do(INTRUDER, as_owner(attack), victims.folder, victims.outside)
    victims.give_work()
    foretold, state = victims.apply(test=True), victims.apply()
    assert state["result"], state
    assert state["changes"] == foretold["changes"]
    assert "\x1b" not in str(state)
    assert len(state["changes"]) < 50
    str(state["changes"]).encode()
    victims.assert_all_is_well()
    again = as_owner(a_folder_under_a_temporary_name)
    assert not intruder.do(INTRUDER, again, victims.folder, victims.outside)


@pytest.mark.parametrize("attack", OF_FOLDERS, ids=lambda attack: attack.__name__)
def test_it_can_change_nothing_in_its_folder(victims, attack):
    assert not intruder.do(INTRUDER, as_owner(attack), victims.folder, victims.outside)
    assert not intruder.do(INTRUDER, attack, victims.folder, victims.outside)
    victims.assert_all_is_well()


def test_a_folder_that_it_owns_becomes_roots(victims):
    """Nothing else changes: what an older pgpillar wrote there is right."""
    victims.let_it_own_the_folder()
    changes = {str(victims.folder): "mode 0500 → 0751"}
    assert victims.apply(test=True)["changes"] == victims.apply()["changes"] == changes
    assert victims.folder.owner() == "root"
    victims.assert_all_is_well()


# What it goes on doing while root runs


def swap_everything(folder, outside):
    folder.chmod(0o700)
    for name in (*FILES, *(f".{name}.new" for name in FILES)):
        remove = shutil.rmtree if (folder / name).is_dir() else os.unlink
        for make in (lambda path: path.symlink_to(outside), os.mkfifo, os.mkdir, Path.touch):
            try_to(remove, folder / name)
            try_to(make, folder / name)


def fill_a_folder_of_its_own(folder, outside):
    folder.chmod(0o700)
    (folder / "full").mkdir(exist_ok=True)
    os.chdir(folder / "full")
    for number in range(1000):
        open(f"{time.monotonic_ns()}-{number}", "w").close()


def try_to(act, path):
    with suppress(FileExistsError, FileNotFoundError, IsADirectoryError, NotADirectoryError):
        act(path)


@pytest.mark.parametrize("attack", [swap_everything, fill_a_folder_of_its_own])
def test_a_race_for_the_folder_is_won(victims, attack):
    for _ in range(5):
        victims.let_it_own_the_folder()
        victims.give_work()
        with intruder.doing(INTRUDER, attack, victims.folder, victims.outside):
            state = victims.apply()
        assert state["result"], state
        victims.assert_all_is_well()


def open_and_close_its_files(folder, outside):
    for path in folder.iterdir():
        path.chmod(0o644)


def test_a_file_that_it_changes_all_the_time_is_its_own_trouble(victims):
    with intruder.doing(INTRUDER, open_and_close_its_files, victims.folder, victims.outside):
        for _ in range(5):
            victims.give_work()
            said = victims.apply()["comment"]
            assert "wiki" not in said
            victims.assert_the_other_is_well()
    victims.apply()
    victims.assert_all_is_well()


def a_lease(folder, outside):
    """Who opens a file waits until its owner gives back the lease, or for a time that the system sets."""
    (folder / "pgpass").chmod(0o600)
    with open(folder / "pgpass", "r+b") as file:
        (folder / "pgpass").chmod(0o400)
        signal.signal(signal.SIGIO, signal.SIG_IGN)
        fcntl.fcntl(file, fcntl.F_SETLEASE, fcntl.F_WRLCK)
        yield


def test_a_lease_keeps_no_run_waiting(victims):
    with intruder.holding(INTRUDER, a_lease, victims.folder, victims.outside):
        victims.give_work()
        begun = time.monotonic()
        assert victims.apply()["result"]
        assert time.monotonic() - begun < PATIENCE
        victims.assert_all_is_well()


# What cannot be mended is told as its own


@contextmanager
def mounted_over(path):
    """As a user may do with FUSE over a file that it can write."""
    subprocess.run(["mount", "--bind", "/dev/null", path], check=True)
    try:
        yield
    finally:
        subprocess.run(["umount", path], check=True)


@contextmanager
def immutable(path):
    subprocess.run(["chattr", "+i", path], check=True)
    try:
        yield
    finally:
        subprocess.run(["chattr", "-i", path], check=True)


@contextmanager
def without_its_account(victims):
    users = victims.tree["users"]
    victims.tree["users"] = {**users, "shop_app": {**users["shop_app"], "run_as": "nosuch"}}
    try:
        yield
    finally:
        victims.tree["users"] = users


UNMENDABLE = {
    "a file is a mount": (
        lambda victims: mounted_over(victims.folder / "pgpass"),
        "Device or resource busy",
    ),
    "a folder is immutable": (lambda victims: immutable(victims.folder), "Operation not permitted"),
    "the system user is gone": (
        without_its_account,
        "there is no system user 'nosuch' on this node; let a state make it before this one",
    ),
}


@pytest.mark.parametrize("name", UNMENDABLE)
def test_what_cannot_be_mended_is_told_as_its_users_and_keeps_nobody_waiting(victims, name):
    spoil, reason = UNMENDABLE[name]
    (victims.folder / "pg_service.conf").chmod(0o444)
    before = sorted(path.name for path in victims.folder.iterdir())
    with spoil(victims):
        victims.give_work()
        state = victims.apply()
        assert state["result"] is False
        assert state["comment"].startswith(
            "not every application has its files:\n- postgresql:users:shop_app: "
        )
        assert reason in state["comment"]
        assert "wiki" not in state["comment"]
        assert str(victims.other / "pgpass") in state["changes"]
        assert sorted(path.name for path in victims.folder.iterdir()) == before
        victims.assert_the_other_is_well()
    assert victims.apply()["result"]
    victims.assert_all_is_well()


def test_the_folder_of_a_user_that_has_gone_goes_however_that_user_left_it(victims):
    victims.let_it_own_the_folder()
    assert intruder.do(INTRUDER, as_owner(folders_deeper_than_any_path), victims.folder, victims.outside)
    users = victims.tree["users"]
    victims.tree["users"] = {"wiki": users["wiki"]}
    try:
        with intruder.doing(INTRUDER, fill_a_folder_of_its_own, victims.folder, victims.outside):
            state = victims.apply()
        assert (state["result"], state["changes"]) == (True, {str(victims.folder): "gone"})
        assert not victims.folder.exists()
    finally:
        victims.tree["users"] = users


# Where everybody may write


def as_a_scratch_instance(place):
    """What looks like something that a trial which was killed has left."""
    left = place / f"{trial.PREFIX}intruder"
    left.mkdir()
    os.utime(left, (0, 0))
    os.chdir(left)
    for _ in range(3000):
        os.mkdir("d")
        os.chdir("d")
    os.utime(left, (0, 0))


def test_what_looks_like_a_scratch_instance_keeps_no_trial_from_its_work():
    left = Path("/tmp", f"{trial.PREFIX}intruder")
    try:
        assert intruder.do(INTRUDER, as_a_scratch_instance, Path("/tmp"))
        assert "default_pool_size" in trial.known_settings(BOUNCER)
        assert left.owner() == INTRUDER  # it is no business of ours
    finally:
        subprocess.run(["rm", "-rf", left], check=True)


# pgbouncer's own user


def leave_links(directory, outside):
    (directory / "generations").symlink_to(outside)
    (directory / "live").symlink_to(outside)
    (directory / ".pgbouncer.ini.new").symlink_to(outside / "kept")
    (directory / "pgbouncer.ini.before-pgpillar").mkdir()


def leave_pipes(directory, outside):
    for name in ("pgbouncer.ini", "generations", "live", ".live.new"):
        os.mkfifo(directory / name)


def leave_folders(directory, outside):
    for name in ("pgbouncer.ini", ".pgbouncer.ini.new", "live", ".live.new", "pgbouncer.ini.before-pgpillar"):
        (directory / name / "inner").mkdir(parents=True)


@pytest.mark.parametrize("attack", [leave_links, leave_pipes, leave_folders])
def test_what_the_user_of_pgbouncer_left_in_its_directory_leads_nowhere(node, shop, attack):
    """Some packages give the directory to the system user that pgbouncer runs as."""
    directory, outside = Path(node.paths.pgbouncer), node.root / "outside"
    for place in (directory, outside):
        place.mkdir(parents=True)
    shutil.chown(directory, BOUNCER)
    (outside / "kept").write_text("of root")
    assert intruder.do(BOUNCER, attack, directory, outside)
    node.converge(shop)
    assert [path.name for path in outside.iterdir()] == ["kept"]
    assert (outside / "kept").read_text() == "of root"
    assert (guard(outside), guard(directory)) == ("drwxr-xr-x root", "drwxr-xr-x root")
    assert node.converge(shop) == {}
    node.start()
    assert node.query("select current_user") == [("shop_app",)]
