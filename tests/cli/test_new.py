"""Edits that are made for a person: in the right files, whole or not at all, and without showing a secret."""

import difflib
import errno
import re
import shutil
import subprocess
from pathlib import Path

import pytest
import yaml
from pillar_repo import TESTS, Repo

from pgpillar_cli import edit

SERVER = "pillar/postgresql/server.sls"
DEV, PROD = (f"pillar/{env}/secrets/postgresql-users" for env in ("dev", "prod"))


def gpg(home, *arguments, **options):
    command = ["gpg", "--homedir", home, "--batch", "--quiet", "--armor", *arguments]
    return subprocess.run(command, check=True, capture_output=True, text=True, **options).stdout


@pytest.fixture(scope="module")
def keyring(tmp_path_factory):
    """The keyring of the master of prod."""
    home = tmp_path_factory.mktemp("gpg")
    home.chmod(0o700)
    gpg(home, "--passphrase", "", "--quick-generate-key", "prod", "future-default")
    yield home
    subprocess.run(["gpgconf", "--homedir", home, "--kill", "gpg-agent"], check=True)


class Fork(Repo):
    """A repo whose prod has a key of its own."""

    def __init__(self, root, keyring):
        super().__init__(root)
        self.keyring = keyring
        for name in ("pillar", "salt", "conf"):
            shutil.copytree(TESTS.parent / name, root / name, symlinks=True)
        self.keys = root / "conf/prod/keys"
        (self.keys / "example.asc").unlink()
        (self.keys / "master.asc").write_text(gpg(keyring, "--export"))

    def files(self):
        files = [path for path in self.root.rglob("*") if path.is_file() and not path.is_symlink()]
        return {str(path.relative_to(self.root)): path.read_text() for path in files}

    def yaml(self, file):
        return yaml.safe_load((self.root / file).read_text())

    def password(self, directory, file, user):
        """A password as a minion gets it."""
        found = self.yaml(f"{directory}/{file}.sls")["postgresql"]["users"][user]["password"]
        return gpg(self.keyring, "--decrypt", input=found) if directory == PROD else found

    def done(self, *arguments):
        """Run it, which must succeed and leave a right pillar. Returns the changed lines of each file."""
        before = self.files()
        done = self.run(*arguments)
        assert done.exit_code == 0, done.output
        assert self.findings() == []
        self.output, after = done.output, self.files()
        return {
            name: changes(before.get(name, ""), after[name])
            for name in after
            if after[name] != before.get(name)
        }

    def refused(self, *arguments):
        """Run it, which must fail and change nothing. Returns what it says."""
        before = self.files()
        done = self.run(*arguments)
        assert done.exit_code == 1
        assert self.files() == before
        return done.output


def changes(before, after):
    lines = difflib.unified_diff(before.splitlines(), after.splitlines(), n=0, lineterm="")
    return [line for line in lines if re.match(r"[+-](?![+-]{2} )", line)]


@pytest.fixture
def fork(tmp_path, keyring):
    return Fork(tmp_path, keyring)


def test_a_database_gets_its_owner_and_the_owner_a_password_in_each_environment(fork):
    changed = fork.done("new-database", "blog")
    assert set(changed) == {SERVER, f"{DEV}/all.sls", f"{PROD}/all.sls"}
    assert changed[SERVER] == ["+    blog: blog"]
    dev, prod = fork.password(DEV, "all", "blog"), fork.password(PROD, "all", "blog")
    assert changed[f"{DEV}/all.sls"] == [f"+    blog: {{password: {dev}}}"]
    assert dev != prod
    assert min(len(dev), len(prod)) >= 40


def test_an_owner_that_is_there_gets_no_other_password(fork):
    assert set(fork.done("new-database", "blog", "--owner", "wiki")) == {SERVER}
    assert set(fork.done("new-database", "archive", "--owner", "reports")) == {SERVER}  # a group


def test_an_application_gets_its_role_its_files_and_its_states(fork):
    fork.done("new-database", "blog")
    options = ("--access", "blog=write", "--run-as", "blog", "--role", "blog", "--minion", "blog-*")
    changed = fork.done("new-user", "blog_app", *options)
    assert changed.pop("pillar/roles.yaml") == ["+blog-*: [blog]"]
    assert changed.pop("pillar/dev/top.sls") == ["+blog: [secrets.postgresql-users.blog]"]
    assert changed.pop("pillar/prod/top.sls") == ["+blog: [secrets.postgresql-users.blog]"]
    assert changed.pop("salt/top.sls") == ["+blog: [postgresql.client]"]
    assert changed.pop(SERVER) == [
        "-    blog: blog",
        "+    blog:",
        "+      owner: blog",
        "+      access: {blog_app: write}",
        "+    blog_app: {run_as: blog}",
    ]
    assert set(changed) == {f"{DEV}/blog.sls", f"{PROD}/blog.sls"}
    assert (fork.root / f"{PROD}/blog.sls").read_text().startswith("#!yaml|gpg\n")


def test_a_second_user_of_a_role_stands_beside_the_first(fork):
    options = ("--access", "wiki=read", "--role", "reporting", "--run-as", "jobs")
    changed = fork.done("new-user", "report_jobs", *options)
    assert set(changed) == {SERVER, f"{DEV}/reporting.sls", f"{PROD}/reporting.sls"}
    assert changed[SERVER] == [
        "-    wiki: wiki",
        "+    wiki:",
        "+      owner: wiki",
        "+      access: {report_jobs: read}",
        "+    report_jobs: {run_as: jobs}",
    ]


def test_what_is_missing_in_one_environment_is_added_there(fork):
    fork.add("dev/secrets/postgresql-users/all.sls", "    cron: {password: no-secret-in-dev-cron}\n")
    changed = fork.done("new-user", "cron", "--access", "shop=read")
    assert set(changed) == {SERVER, f"{PROD}/all.sls"}


def test_passwords_are_changed_where_they_stand(fork):
    before = fork.password(DEV, "wiki", "wiki")
    changed = fork.done("new-secret", "wiki", "shop")
    assert set(changed) == {
        f"{directory}/{file}.sls" for directory in (DEV, PROD) for file in ("wiki", "all")
    }
    assert fork.password(DEV, "wiki", "wiki") != before
    assert set(fork.done("new-secret", "wiki", "--env", "dev")) == {f"{DEV}/wiki.sls"}


def test_the_password_of_an_admin_can_be_given(fork):
    before = fork.files()
    command = ("new-secret", "--admin", "main", "--env", "prod", "--ask")
    done = fork.run(*command, input="from the provider\nfrom the provider\n")
    assert done.exit_code == 0
    (changed,) = {name for name, text in fork.files().items() if text != before[name]}
    admin = fork.yaml(changed)["postgresql"]["clusters"]["main"]["admin"]
    assert gpg(fork.keyring, "--decrypt", input=admin["password"]) == "from the provider"
    assert "from the provider" not in done.output


def test_no_password_is_shown(fork):
    fork.done("new-database", "blog")
    for directory in (DEV, PROD):
        assert fork.password(directory, "all", "blog") not in fork.output


def test_it_says_what_to_commit(fork):
    changed = fork.done("new-database", "blog")
    (command,) = re.findall("git add (.*)", fork.output)
    assert set(command.split()) == set(changed)


def test_everyone_whose_key_is_there_can_read_it(fork, tmp_path_factory):
    home = tmp_path_factory.mktemp("gpg")
    home.chmod(0o700)
    gpg(home, "--passphrase", "", "--quick-generate-key", "offline", "future-default")
    (fork.keys / "offline.asc").write_text(gpg(home, "--export"))
    fork.done("new-database", "blog")
    first, fork.keyring = fork.password(PROD, "all", "blog"), home
    assert fork.password(PROD, "all", "blog") == first
    subprocess.run(["gpgconf", "--homedir", home, "--kill", "gpg-agent"], check=True)


@pytest.mark.parametrize(
    "name", ["on", "yes", "123", "null", "a: b", "a #b", "ünï", "-", "~", "1e3", "2027-01-31"]
)
def test_a_name_stays_the_text_that_it_is(fork, name):
    fork.done("new-database", "--owner", "shop", "--", name)
    assert fork.yaml(SERVER)["postgresql"]["databases"][name] == "shop"


def test_a_file_keeps_its_style_and_its_comments(fork):
    text = (fork.root / SERVER).read_text()
    wide = "".join(re.sub("^ +", lambda found: found[0] * 2, line) for line in text.splitlines(keepends=True))
    fork.write(
        "postgresql/server.sls",
        wide.replace("    wiki: wiki\n", "    wiki: 'wiki'   # ours\n    # its end\n\n"),
    )
    assert fork.done("new-database", "blog", "--owner", "wiki") == {SERVER: ["+        blog: wiki"]}


def test_an_include_that_names_each_file_names_the_new_one(fork):
    names = ("reporting", "shop", "wiki")
    lines = "".join(f"  - secrets.postgresql-users.{name}\n" for name in names)
    for environment in ("dev", "prod"):
        fork.replace(
            f"{environment}/secrets/postgresql-users/all.sls", "  - secrets.postgresql-users.*\n", lines
        )
    options = ("--access", "shop=read", "--role", "blog", "--minion", "blog-1")
    changed = fork.done("new-user", "blog_app", *options)
    assert changed[f"{DEV}/all.sls"] == ["+  - secrets.postgresql-users.blog"]


# What cannot be


TWICE = [
    (("new-database", "wiki"), "database 'wiki' is there already, in pillar/postgresql/server.sls"),
    (
        ("new-user", "wiki", "--access", "shop=read"),
        "user 'wiki' is there already; for another password: pgpillar new-secret wiki",
    ),
]
UNKNOWN = [
    (
        ("new-user", "x", "--access", "shopp=read"),
        "there is no database 'shopp' in pillar/postgresql/server.sls; did you mean 'shop'?",
    ),
    (
        ("new-user", "x", "--access", "shop=read", "--minion", "shop-*"),
        "--minion says who has a role, so say which, with --role",
    ),
    (
        ("new-secret", "--admin", "wiki"),
        "no file of dev has a password of the admin of cluster 'wiki'; for a user, leave out --admin",
    ),
    (
        ("new-secret", "wikki"),
        "no file of dev has a password of user 'wikki'; for the admin of a cluster, add --admin",
    ),
    (
        ("new-user", "x", "--access", "shop=read", "--role", "blog"),
        "no minion has the role 'blog' yet; say which with --minion, by id or by a glob",
    ),
    (
        ("new-user", "x", "--access", "shop=read", "--role", "all"),
        "'all' is no name of a role; use letters, digits, '_' and '-'",
    ),
    (("new-user", "x"), "say what 'x' may do, with --access database=level or with --group group"),
]


@pytest.mark.parametrize(("command", "told"), TWICE + UNKNOWN)
def test_what_cannot_be_is_refused_in_a_sentence(fork, command, told):
    assert fork.refused(*command) == f"Error: {told}\n"


def test_a_name_is_shown_as_words_alone_and_once(fork):
    fork.done("new-user", "x\ny", "--access", "shop=read")
    assert r"password of x\ny" in fork.output
    fork.done("new-secret", "wiki", "wiki", "--env", "dev")
    assert fork.output.count("another password of wiki") == 1


def test_what_would_be_wrong_is_not_written(fork):
    told = fork.refused("new-database", "template1")
    assert "this would make pillar wrong, so nothing was written:" in told
    assert "- postgresql:databases:template1: the name is reserved by PostgreSQL; choose another name" in told


def test_what_was_wrong_before_is_in_nobodys_way(fork):
    fork.replace("postgresql/server.sls", "{connection_limit: 50}", "{connection_limt: 50}")
    assert fork.run("new-database", "blog").exit_code == 0


def test_a_file_with_jinja_is_left_to_people(fork):
    fork.add("postgresql/server.sls", "{% if true %}\n{% endif %}\n")
    told = fork.refused("new-database", "blog")
    assert told == f"Error: {SERVER} is no YAML by itself (Jinja perhaps); edit it by hand\n"


def test_nothing_is_encrypted_for_nobody(fork):
    (fork.keys / "master.asc").unlink()
    told = fork.refused("new-database", "blog")
    assert told == "Error: conf/prod/keys has no key to encrypt for; export that of the master of prod\n"


def test_a_key_that_is_none_is_named(fork):
    (fork.keys / "master.asc").write_text("no key\n")
    assert "gpg cannot encrypt for master.asc: " in fork.refused("new-database", "blog")


def test_a_machine_without_gpg(fork, monkeypatch):
    monkeypatch.setenv("PATH", "")
    told = fork.refused("new-database", "blog")
    assert told == "Error: gpg is not installed, which encrypts passwords; install gnupg\n"


def test_a_file_that_nothing_decrypts_gets_no_encrypted_password(fork):
    fork.replace("prod/secrets/postgresql-users/all.sls", "#!yaml|gpg\n", "")
    assert "would hold an encrypted password that nothing decrypts" in fork.refused("new-database", "blog")


def test_a_message_that_gpg_left_beside_the_keys_is_none(fork):
    (fork.keys / "master.asc.asc").write_text("-----BEGIN PGP MESSAGE-----\n")
    assert fork.done("new-database", "blog")


def test_a_pool_that_would_be_called_as_another_can_be_named(fork):
    options = ("--access", "shop=read", "--role", "shop")
    said = fork.refused("new-user", "shop_worker", *options)
    assert "would both have a pool called 'shop'" in said
    assert "for example: --pool shop_worker" in said
    changed = fork.done("new-user", "shop_worker", *options, "--pool", "jobs")
    assert "+    jobs: {database: shop, user: shop_worker}" in changed[SERVER]


def test_a_pool_is_of_one_database(fork):
    told = fork.refused("new-user", "x", "--access", "shop=read", "--access", "wiki=read", "--pool", "jobs")
    assert told == "Error: a pool is of one database; say which for 'jobs', with one --access\n"


def test_a_file_that_is_a_link_is_edited_where_it_stands(fork):
    (fork.root / "shared").mkdir()
    (fork.root / SERVER).rename(fork.root / "shared/server.sls")
    (fork.root / SERVER).symlink_to("../../shared/server.sls")
    assert fork.done("new-database", "blog", "--owner", "wiki") == {"shared/server.sls": ["+    blog: wiki"]}
    assert (fork.root / SERVER).is_symlink()


def test_a_checkout_that_one_may_only_read(fork, monkeypatch):
    def write_text(path, text):
        if path.is_relative_to(fork.root):
            raise PermissionError(errno.EACCES, "Permission denied", str(path))
        path.write_bytes(text.encode())

    monkeypatch.setattr(Path, "write_text", write_text)
    told = fork.refused("new-database", "blog")
    assert re.fullmatch(r"Error: /.*\.sls\.new: Permission denied\n", told)


@pytest.mark.parametrize("fails", ["all.sls", "server.sls"])
def test_what_cannot_be_written_whole_is_not_written(fork, monkeypatch, fails):
    def replace(new, path):
        if path.name == fails:
            raise OSError(errno.ENOSPC, "No space left on device", str(new), None, str(path))
        new.rename(path)

    monkeypatch.setattr(edit.os, "replace", replace)
    assert "No space left on device" in fork.refused("new-database", "blog")


def test_a_file_that_is_rendered_by_jinja_before_it_is_decrypted_is_fine(fork):
    fork.replace("prod/secrets/postgresql-users/all.sls", "#!yaml|gpg\n", "#!jinja|yaml|gpg\n")
    assert fork.done("new-database", "blog")[f"{PROD}/all.sls"]
