"""The files of a node: whole, guarded, and understood by those who read them."""

import os
import pwd
import shlex
import shutil
import stat
import subprocess
import sys
from pathlib import Path

import pytest

from pgpillar import client, files, keep, node_secret
from pgpillar.client import Way
from pgpillar.files import Guard
from pgpillar.model import Secret
from tests.functional.minions import ROOT

HOSTILE = [
    "it's",
    'say "x"',
    "back\\slash\\",
    "100%s",
    "a:b;c#d",
    " spaces ",
    "sümmer ☀",
    "{}$HOME`id`$(id)!",
]
OURS = Guard(0o640, "games")


def hostile_way(text):
    return Way("shop", "/run/postgresql", 6432, text, text, Secret(text))


def variables(printed):
    """What ``env -0`` printed."""
    return dict(line.split("=", 1) for line in printed.decode().split("\0") if line)


def expected(way):
    return {name: str(value) for name, value in client._variables(way).items()}


@pytest.mark.parametrize("text", HOSTILE)
@pytest.mark.parametrize("shell", ["sh", "bash"])
def test_a_shell_reads_the_environment(tmp_path, shell, text):
    file, way = tmp_path / "shop.env", hostile_way(text)
    file.write_text(client.environment(way))
    script = [shell, "-c", 'set -a; . "$0"; exec env -0', str(file)]
    told = variables(subprocess.run(script, capture_output=True, check=True).stdout)
    assert {name: told[name] for name in expected(way)} == expected(way)


@pytest.mark.parametrize("text", HOSTILE)
def test_systemd_reads_the_environment(text):
    assert systemds(client.environment(hostile_way(text))) == expected(hostile_way(text))


def systemds(text):
    """What systemd takes from an EnvironmentFile whose values stand in double quotes.

    By systemd.exec(5): a backslash before one of ``"\\`$`` gives that character, before others it stays.
    """
    found = {}
    for line in text.split("\n")[:-1]:
        name, _, value = line.partition("=")
        assert (value[0], value[-1]) == ('"', '"')
        chars, told = iter(value[1:-1]), ""
        for char in chars:
            after = next(chars) if char == "\\" else ""
            assert char != '"'
            told += after if after in tuple('"\\`$') else char + after
        found[name] = told
    return found


def test_libpq_connects_by_a_service(running):
    directory = f"{running.paths.clients}/shop_app"
    code = "import psycopg2; c = psycopg2.connect('service=shop').cursor(); c.execute('select current_user')"
    environment = {"PATH": os.environ["PATH"], "PGSERVICEFILE": f"{directory}/pg_service.conf"}
    done = subprocess.run(
        [sys.executable, "-c", f"{code}; print(c.fetchone()[0])"],
        env=environment,
        capture_output=True,
        text=True,
    )
    assert (done.stdout, done.stderr) == ("shop_app\n", "")


# Each file


def test_a_file_is_as_it_is_asked_for(tmp_path):
    file = tmp_path / "file"
    assert files.fault(file, "text", OURS) == "new"
    files.write(file, "text", OURS)
    assert files.fault(file, "text", OURS) is None
    assert (file.owner(), file.group(), stat.S_IMODE(file.stat().st_mode)) == ("games", "games", 0o640)


def _other_mode(file):
    file.chmod(0o644)


def _other_owner(file):
    os.chown(file, 0, 0)


def _other_text(file):
    file.write_text("other")


def _no_text(file):
    file.write_bytes(b"\xff\xfe")


def _a_link(file):
    elsewhere = file.parents[2] / "elsewhere"
    file.rename(elsewhere)
    file.symlink_to(elsewhere)


def _a_pipe(file):
    file.unlink()
    os.mkfifo(file, 0o640)


def _a_folder(file):
    file.unlink()
    file.mkdir()


SPOILT = {
    _other_mode: "mode 0644 → 0640",
    _other_owner: "owner → games",
    _other_text: "changed",
    _no_text: "changed",
    _a_link: "not a file of its own",
    _a_folder: "not a file of its own",
    _a_pipe: "not a file of its own",
}


@pytest.fixture
def kept(tmp_path):
    """A keeper of one file, which is there."""
    folder = tmp_path / "clients" / "app"
    keeper = keep.Keeper(str(folder.parent), {"app": keep.Part(OURS, {folder / "file": "text"}, folder)})
    assert keeper.mend() == {}
    return keeper


def only_file(keeper):
    (path,) = keeper.parts["app"].texts
    return path


@pytest.mark.parametrize("spoil", SPOILT)
def test_what_is_wrong_is_told_and_mended(kept, spoil):
    file = only_file(kept)
    spoil(file)
    assert kept.faults() == ({str(file): SPOILT[spoil]}, {})
    kept.mend()
    assert kept.faults() == ({}, {})
    assert file.is_file()
    assert not file.is_symlink()


SPOILT_FOLDERS = {
    "clients": (lambda folder: folder.chmod(0o777), "mode 0777 → 0755"),
    "clients/app": (lambda folder: folder.chmod(0o777), "mode 0777 → 0751"),
    "clients/app/": (lambda folder: shutil.chown(folder, "games"), "owner → root"),
    "clients/app/.": (lambda folder: os.chown(folder, 0, 0), "group → games"),
}


@pytest.mark.parametrize("name", SPOILT_FOLDERS)
def test_a_folder_that_is_not_as_it_was_is_told_and_mended(kept, name):
    folder = kept.directory.parent / name
    spoil, fault = SPOILT_FOLDERS[name]
    spoil(folder)
    assert kept.faults() == ({str(folder): fault}, {})
    kept.mend()
    assert kept.faults() == ({}, {})


def test_what_a_link_leads_to_is_left_alone(kept, tmp_path):
    file = only_file(kept)
    elsewhere = tmp_path / "elsewhere"
    elsewhere.write_text("of others")
    file.unlink()
    file.symlink_to(elsewhere)
    kept.mend()
    assert elsewhere.read_text() == "of others"


def test_strangers_go_and_what_they_lead_to_stays(kept, tmp_path):
    outside = tmp_path / "outside"
    outside.mkdir()
    (outside / "file").write_text("of others")
    (kept.directory / "gone").mkdir()
    (kept.directory / "gone" / "file").write_text("x")
    (kept.directory / "app" / "left").write_text("x")
    (kept.directory / "app" / "folder").mkdir()
    (kept.directory / "link").symlink_to(outside)
    names = ["app/folder", "app/left", "gone", "link"]
    assert kept.faults() == ({f"{kept.directory}/{name}": "gone" for name in names}, {})
    kept.mend()
    assert kept.faults() == ({}, {})
    assert sorted(path.name for path in kept.directory.rglob("*")) == ["app", "file"]
    assert (outside / "file").exists()


def test_nobody_else_can_look_into_a_folder(kept):
    found = (kept.directory / "app").stat()
    assert stat.S_IMODE(found.st_mode) == 0o751
    assert (found.st_uid, found.st_gid) == (0, pwd.getpwnam("games").pw_gid)


def test_a_write_that_fails_leaves_what_there_was(tmp_path, monkeypatch):
    file = tmp_path / "file"
    files.write(file, "before", OURS)

    def full(_):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(OSError, match="No space left"):
        files.write(file, "after", OURS)
    assert file.read_text() == "before"
    assert list(tmp_path.iterdir()) == [file]


def test_until_it_is_in_place_nobody_else_can_read_it(tmp_path, monkeypatch):
    seen = []
    monkeypatch.setattr(os, "fchown", lambda number, *_: seen.append(stat.S_IMODE(os.fstat(number).st_mode)))
    files.write(tmp_path / "file", "text", Guard(0o644))
    assert seen == [0o600]


# The passwords of a node


def test_a_password_of_the_node_is_long_and_its_own(tmp_path):
    for user in ("shop", "a/b ☀"):
        node_secret.make(user, str(tmp_path))
    made = [node_secret.read(user, str(tmp_path)).reveal() for user in ("shop", "a/b ☀")]
    assert len(set(made)) == 2
    assert all(len(text) == 43 and text.isascii() for text in made)
    assert node_secret.names(str(tmp_path)) == ["a/b ☀", "shop"]


@pytest.mark.parametrize("user", [".", "..", "...", "../x", "a/b"])
def test_no_user_gets_out_of_the_directory(tmp_path, user):
    directory = tmp_path / "secrets"
    node_secret.make(user, str(directory))
    assert node_secret.names(str(directory)) == [user]
    assert [path.name for path in tmp_path.iterdir()] == ["secrets"]


FAULTS = {
    "there is none yet": lambda file: file.unlink(),
    "others could read it": lambda file: file.chmod(0o640),
    "it is not as it was made": lambda file: file.write_text("short"),
}


@pytest.mark.parametrize("fault", FAULTS)
def test_a_password_that_is_no_good_is_told(tmp_path, fault):
    node_secret.make("shop", str(tmp_path))
    assert node_secret.fault("shop", str(tmp_path)) is None
    FAULTS[fault](tmp_path / "shop")
    assert node_secret.fault("shop", str(tmp_path)) == fault


NOT_AS_MADE = {
    "a line break after it": lambda text: text + b"\n",
    "a letter more": lambda text: text + b"a",
    "zeros": lambda text: bytes(len(text)),
    "no text": lambda text: b"\xff" * len(text),
    "nothing": lambda text: b"",
}


@pytest.mark.parametrize("spoil", NOT_AS_MADE.values(), ids=NOT_AS_MADE)
def test_only_what_was_made_here_is_a_password(tmp_path, spoil):
    node_secret.make("shop", str(tmp_path))
    file = tmp_path / "shop"
    file.write_bytes(spoil(file.read_bytes()))
    assert node_secret.read("shop", str(tmp_path)).reveal() == ""
    assert node_secret.configure(["shop"], str(tmp_path)) == {
        "shop": "new password, for it is not as it was made"
    }
    assert node_secret.faults(["shop"], str(tmp_path)) == {}


REFUSED = {
    "node_secret.make ''": "this node has no pool for a user ''; known are: shop_app",
    "node_secret.make shop_ap": "this node has no pool for a user 'shop_ap'; did you mean 'shop_app'?",
    "node_secret.list directory=/etc/passwd": "/etc/passwd is not a directory; passwords of this node",
    "node_secret.forget x directory=/etc/passwd": "Not a directory: '/etc/passwd/x'",
}


@pytest.mark.parametrize("call", REFUSED)
def test_what_a_password_cannot_be_kept_for_is_told(node, shop, call):
    node.minion.hold(shop)
    name, *arguments = shlex.split(call)
    out, err = node.minion.start("-m", str(ROOT), name, *arguments).wait()
    assert REFUSED[call] in err + out
    assert "Traceback" not in err + out
    assert not Path("/var/lib/pgpillar/secrets").exists()


def test_no_function_returns_a_password_of_the_node(running, shop):
    """Nor does any state, under test or not."""
    secrets = [running.secret("shop_app"), shop["users"]["shop_app"]["password"]]
    call = running.minion._caller.cmd
    given = {"directory": running.paths.secrets}
    returned = [
        call("node_secret.list", **given),
        call("node_secret.fault", "shop_app", **given),
        call("pgbouncer.show", "databases", sockets=running.paths.sockets, port=running.port),
        call("pgbouncer.pools", sockets=running.paths.sockets, port=running.port),
        call("pgbouncer.status", root=str(running.root)),
    ]
    shop["users"]["shop_app"]["run_as"] = "games"
    returned += [running.apply(shop, test=True), running.apply(shop)]
    running.minion.hold(shop)
    made = ("node_secret.make", "shop_app", f"directory={running.paths.secrets}")
    returned += running.minion.start("-m", str(ROOT), *made).wait()
    assert running.secret("shop_app") not in secrets
    secrets.append(running.secret("shop_app"))
    returned += [running.apply(shop, test=True), running.apply(shop)]
    assert returned[0] == ["shop_app"]
    assert not [secret for secret in secrets if secret in repr(returned)]
