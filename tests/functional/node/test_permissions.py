"""Who may read what a node holds, found by trying as each: every file that is there, whatever wrote it."""

import os
import pwd
import subprocess

import pytest

from tests.functional.conftest import HOST

APPLICATION, OTHER_APPLICATION, STRANGER, BOUNCER = "games", "mail", "nobody", "postgres"
EVERYBODY = {APPLICATION, OTHER_APPLICATION, STRANGER, BOUNCER}

READERS = {
    "etc/hosts": EVERYBODY,
    "etc/pgbouncer/generations/*/*": {BOUNCER},
    "etc/pgbouncer/pgbouncer.ini": {BOUNCER},
    "etc/pgpillar/clients/shop_app/*": {APPLICATION},
    "etc/pgpillar/clients/wiki/*": {OTHER_APPLICATION},
    "etc/ssl/certs/pgpillar-main.pem": EVERYBODY,
    "var/lib/pgpillar/lock": set(),
    "var/lib/pgpillar/secrets/*": set(),
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


def readers(path):
    """Who the table lets read a file; one that no line tells of is a fault of the table's."""
    (pattern,) = [pattern for pattern in READERS if path.match(pattern)]
    return READERS[pattern]


@pytest.mark.parametrize("user", sorted(EVERYBODY))
def test_each_reads_what_the_table_says_and_no_more(own_etc, written, user):
    assert may(user, "-r", own_etc.root, written) == {str(path) for path in written if user in readers(path)}


@pytest.mark.parametrize("user", sorted(EVERYBODY))
def test_nobody_but_root_changes_any(own_etc, written, user):
    folders = {folder for path in written for folder in path.parents}
    assert may(user, "-w", own_etc.root, written | folders) == set()


def test_root_reads_all(own_etc, written):
    assert may("root", "-r", own_etc.root, written) == set(map(str, written))


def test_the_table_has_no_line_too_many(written):
    assert {pattern for pattern in READERS for path in written if path.match(pattern)} == READERS.keys()
