"""Who may read what a node holds, found by trying as each: every file that is there, whatever wrote it."""

import os
import pwd
import stat
import subprocess

import pytest

from tests.functional.conftest import HOST

APPLICATION, OTHER_APPLICATION, STRANGER, BOUNCER = "games", "mail", "nobody", "postgres"
EVERYBODY = {APPLICATION, OTHER_APPLICATION, STRANGER, BOUNCER}

TABLE = {
    "etc/hosts": ("root:root 0644", EVERYBODY),
    "etc/pgbouncer/generations/*/*": ("root:postgres 0640", {BOUNCER}),
    "etc/pgbouncer/pgbouncer.ini": ("root:postgres 0640", {BOUNCER}),
    "etc/pgpillar/clients/shop_app/*": ("games:games 0400", {APPLICATION}),
    "etc/pgpillar/clients/wiki/*": ("mail:mail 0400", {OTHER_APPLICATION}),
    "etc/ssl/certs/pgpillar-main.pem": ("root:root 0644", EVERYBODY),
    "var/lib/pgpillar/lock": ("root:root 0600", set()),
    "var/lib/pgpillar/secrets/*": ("root:root 0600", set()),
}


@pytest.fixture
def written(own_etc, shop, cluster):
    """Every file that a node with two applications has, and that was not there before; relative."""
    before = files(own_etc.root)
    shop["clusters"]["main"] |= {"host": HOST, "hostaddr": "127.0.0.1"}
    shop["users"]["shop_app"] |= {"run_as": APPLICATION, "direct": True}
    shop["users"]["wiki"] = {"password": cluster.passwords["wiki"], "run_as": OTHER_APPLICATION}
    own_etc.converge(shop)
    return {
        path.relative_to(own_etc.root)
        for path, state in files(own_etc.root).items()
        if before.get(path) != state
    }


def files(root):
    """What there is, but what Salt itself keeps."""
    found = (path for path in root.rglob("*") if path.is_file() and not path.is_symlink())
    return {path: path.stat().st_ino for path in found if root / "salt" not in path.parents}


def may(user, test, root, paths):
    """Those of the paths that a user may read (-r) or write (-w)."""
    account = pwd.getpwnam(user)
    loop = 'for path; do if test "$0" "$path"; then printf "%s\\0" "$path"; fi; done'
    command = ["sh", "-c", loop, test, *map(str, paths)]
    who = {"user": account.pw_uid, "group": account.pw_gid, "extra_groups": []}
    done = subprocess.run(command, cwd=root, capture_output=True, check=True, **who)
    return {os.fsdecode(path) for path in done.stdout.split(b"\0") if path}


def row(path):
    """What the table says of a file; one that no line tells of is a fault of the table's."""
    (pattern,) = [pattern for pattern in TABLE if path.match(pattern)]
    return TABLE[pattern]


def guard(file):
    return f"{file.owner()}:{file.group()} {stat.S_IMODE(file.stat().st_mode):04o}"


def test_each_file_belongs_to_whom_the_table_says(own_etc, written):
    assert {path: guard(own_etc.root / path) for path in written} == {path: row(path)[0] for path in written}


@pytest.mark.parametrize("user", sorted(EVERYBODY))
def test_each_reads_what_the_table_says_and_no_more(own_etc, written, user):
    assert may(user, "-r", own_etc.root, written) == {str(path) for path in written if user in row(path)[1]}


@pytest.mark.parametrize("user", sorted(EVERYBODY))
def test_nobody_but_root_changes_any(own_etc, written, user):
    folders = {folder for path in written for folder in path.parents}
    assert may(user, "-w", own_etc.root, written | folders) == set()


def test_each_folder_with_files_of_a_run_belongs_to_root(own_etc, written):
    """Who owns a folder may write in it, whatever its mode."""
    folders = {own_etc.root / folder for path in written for folder in path.parents} - {own_etc.root}
    assert {folder.owner() for folder in folders} == {"root"}
    ours = folders | {own_etc.root / "etc/pgbouncer/generations"}
    assert not [folder for folder in ours if stat.S_IMODE(folder.stat().st_mode) & 0o022]


def test_root_reads_all(own_etc, written):
    assert may("root", "-r", own_etc.root, written) == set(map(str, written))


def test_the_table_has_no_line_too_many(written):
    assert {pattern for pattern in TABLE for path in written if path.match(pattern)} == TABLE.keys()
