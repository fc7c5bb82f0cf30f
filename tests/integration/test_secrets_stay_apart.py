"""Nobody gets a secret of a role that is not its own: masters by the files of conf/, and minions that try.

What leaks from a careless master is tried there as well, and must leak: or these tests would see nothing.
"""

import json
import os
import secrets
import shutil
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager
from pathlib import Path

import pytest
import yaml

REPO = Path(__file__).parents[2]
ATTACKER = Path(__file__).with_name("attacker.py")
ENVIRONMENTS = ("dev", "prod")
OWN = {  # whose passwords each minion is to see
    "db-admin-1": {"admin", "analyst", "shop", "shop_app", "wiki"},
    "reporting-1": {"analyst"},
    "shop-1": {"shop_app"},
    "wiki-1": {"wiki"},
    "stranger-1": set(),
}
VICTIM, ATTACKERS = "shop-1", ("reporting-1", "shop-1", "wiki-1", "stranger-1")
SECRETS = {
    (environment, user): f"{environment}-{user}-{secrets.token_hex(8)}"
    for environment in ENVIRONMENTS
    for user in OWN["db-admin-1"]
}
MINED, ANNOUNCED = f"mined-{secrets.token_hex(8)}", f"announced-{secrets.token_hex(8)}"
MINE = {"leak": MINED, "kept": MINED, "postgresql.main": ANNOUNCED}  # what the victim has there


# What a minion may try


def pillar(**asked):
    return ["pillar", [], asked]


def call(*arguments, **options):
    return ["call", arguments, options]


def request(**load):
    return ["request", [], load]


GUISE = {
    **dict.fromkeys(("id", "host", "fqdn", "nodename", "master"), VICTIM),
    **dict.fromkeys(("role", "roles"), "shop"),
    **dict.fromkeys(("environment", "pillarenv", "saltenv"), "prod"),
}
OTHERS = [
    {"tgt": "*", "tgt_type": "glob"},
    {"tgt": VICTIM, "tgt_type": "list"},
    {"tgt": f"L@{VICTIM} or G@role:shop", "tgt_type": "compound"},
    {"tgt": "postgresql:users:*", "tgt_type": "pillar"},
]
FOR_ADMINS = [  # what a master may let those do who administer
    {"cmd": "_mine_get", "tgt": "*", "fun": "kept"},
    {"cmd": "minion_runner", "fun": "pillar.show_pillar", "arg": [VICTIM]},
    {"cmd": "minion_publish", "fun": "pillar.raw", "arg": [], "ret": "", "tmo": 5, "tgt": VICTIM},
]
PLACES = [
    f"{way}{environment}/secrets/postgresql-users/{name}.sls"
    for way in (
        "",
        "/",
        "pillar/",
        "../pillar/",
        "_modules/../../pillar/",
        "_utils/pgpillar/../../../pillar/",
    )
    for environment in ENVIRONMENTS
    for name in ("all", "shop")
]
ATTACKS = {
    "its own pillar": [pillar(), call("pillar.raw"), call("pillar.items", unmask=True)],
    "grains of another": [pillar(grains=GUISE), pillar(grains={"role": "db-admin"})],
    "another environment": [
        *(pillar(pillarenv=environment) for environment in ENVIRONMENTS),
        *(pillar(saltenv=environment, grains=GUISE) for environment in ENVIRONMENTS),
        *(call("pillar.items", pillarenv=environment, unmask=True) for environment in ENVIRONMENTS),
    ],
    "values of its own in pillar": [
        pillar(pillar_override={"roles": ["db-admin"], "minions": {"*": ["db-admin"]}, **GUISE}),
        pillar(pillar_override={"include": ["secrets.postgresql-users.all"], "files": {"*": ["secrets.*"]}}),
        call("pillar.items", pillar={"include": ["secrets.postgresql-users.all"]}, unmask=True),
    ],
    "pillar from elsewhere": [
        pillar(ext={"cmd_yaml": "cat SRV/pillar/dev/secrets/postgresql-users/all.sls"}),
        call("pillar.ext", {"file_tree": {"root_dir": "SRV/pillar"}}, unmask=True),
    ],
    "the name of another": [
        ["disguised", ["db-admin-1", *envelope], asked]
        for envelope in ([], ["db-admin-1"], ["db-admin-1", 2])
        for asked in FOR_ADMINS
    ],
    "every file that is listed": [
        ["everything", [environment], {}] for environment in ("base", *ENVIRONMENTS)
    ],
    "files of pillar": [
        *(call("cp.get_file_str", f"salt://{place}") for place in PLACES),
        *(call("cp.get_file_str", f"salt://{place}", saltenv="prod") for place in PLACES[:8]),
    ],
    "files, by requests of its own": [
        request(cmd="_serve_file", path=place, loc=0, saltenv="base", gzip=None) for place in PLACES
    ],
    "the mine": [
        *(call("mine.get", to["tgt"], "leak", tgt_type=to["tgt_type"]) for to in OTHERS),
        *(request(cmd="_mine_get", fun=["leak", "postgresql.main"], **to) for to in OTHERS),
        *(request(cmd="_mine_get", fun="postgresql.main,leak", **to) for to in OTHERS),
    ],
    "other minions": [
        *(call("publish.full_data", to["tgt"], "pillar.raw", tgt_type=to["tgt_type"]) for to in OTHERS),
        *(request(cmd="minion_pub", fun="pillar.raw", arg=[], ret="", tmo=5, **to) for to in OTHERS),
    ],
    "the master": [
        call("publish.runner", "pillar.show_pillar", [VICTIM]),
        request(cmd="minion_runner", fun="pillar.show_pillar", arg=[VICTIM]),
        request(cmd="_master_opts"),
        request(cmd="_master_tops", opts={}, grains=GUISE),
    ],
}
HARMLESS = {"its own pillar", "values of its own in pillar"}  # wherever it is tried
CARELESS = """
file_roots: {base: [SRV, SRV/salt], prod: [SRV/pillar/prod]}
pillar_roots: {base: [SRV/careless/base, SRV/pillar/dev, SRV/pillar], prod: [SRV/careless/prod]}
peer: {.*: [.*]}
peer_run: {.*: [.*]}
on_demand_ext_pillar: [cmd_yaml, file_tree]
mine_get: {.*: [leak], db-admin-1: [kept]}
minimum_auth_version: 0
"""
CARELESS_TOPS = {
    "base": "base: {'role:shop': [{match: grain}, secrets.postgresql-users.shop]}",
    "prod": "prod: {'*': [everything]}",
}


# A master, and minions


@pytest.fixture(scope="session")  # a worker may come back to this module
def srv(salt_root):
    """The repo as it is on a master, with passwords that can be told apart, and the key of prod beside it."""
    srv = salt_root / "srv"
    for name in ("conf", "pillar", "salt", "_modules", "_output", "_runners", "_states", "_utils"):
        shutil.copytree(REPO / name, srv / name, symlinks=True, ignore=shutil.ignore_patterns("__pycache__"))
    key = srv / "conf/prod/keys/example.asc"
    make_key(salt_root / "gpgkeys", key)
    for environment in ENVIRONMENTS:
        for file in (srv / "pillar" / environment / "secrets").rglob("*.sls"):
            fill(file, environment, key)
    yield srv
    subprocess.run(["gpgconf", "--homedir", salt_root / "gpgkeys", "--kill", "gpg-agent"], check=True)


def gpg(*arguments, **options):
    command = ["gpg", "--batch", "--quiet", "--armor", *arguments]
    return subprocess.run(command, check=True, capture_output=True, text=True, **options).stdout


def make_key(directory, public):
    directory.mkdir(mode=0o700)
    gpg("--homedir", directory, "--passphrase", "", "--quick-generate-key", "prod", "future-default")
    public.write_text(gpg("--homedir", directory, "--export"))


def fill(file, environment, key):
    """Put the passwords into a file that the tests look for."""
    content = yaml.safe_load(file.read_text())
    tree = content.get("postgresql", {})
    admin = {"admin": tree["clusters"]["main"]["admin"]} if "clusters" in tree else {}
    for user, entry in {**admin, **tree.get("users", {})}.items():
        entry["password"] = (
            SECRETS.get((environment, user)) or entry["password"]
        )  # of roles that are not here
        if environment == "prod":
            encrypt = ("--trust-model", "always", "--recipient-file", key, "--encrypt")
            entry["password"] = gpg(*encrypt, input=entry["password"])
    file.write_text(("#!yaml|gpg\n" if environment == "prod" else "") + yaml.safe_dump(content))


class Site:
    """A master (that of dev, that of prod, or a careless one), its minions, and what these got."""

    def __init__(self, salt_factories, name, srv, keys):
        self.srv, self.answers, self.minions = srv, {}, {}
        self.attackers = ATTACKERS if name in ENVIRONMENTS else ATTACKERS[-1:]
        self.master = salt_factories.salt_master_daemon(f"{name}-master")
        configure(Path(self.master.config_dir) / "master.d", name, srv, keys)

    def minion(self, name):
        if name not in self.minions:
            role = name.rpartition("-")[0]
            overrides = {"pillarenv": "base", "grains": {"role": role}}
            self.minions[name] = self.master.salt_minion_daemon(name, overrides=overrides)
        return self.minions[name]

    @contextmanager
    def started(self):
        with self.master.started(), self.minion(VICTIM).started():
            self.ask(VICTIM, [call("mine.send", *said, mine_function="test.echo") for said in MINE.items()])
            yield self

    def got(self, name):
        """What an attacker got by each attack, as texts. They attack all at once."""
        if not self.answers:
            with ThreadPoolExecutor() as pool:
                self.answers = dict(
                    zip(self.attackers, pool.map(self._attacked, self.attackers), strict=True)
                )
        return self.answers[name]

    def _attacked(self, name):
        answers = iter(self.ask(name, [one for tries in ATTACKS.values() for one in tries]))
        return {attack: [next(answers) for _ in tries] for attack, tries in ATTACKS.items()}

    def ask(self, name, tries):
        command = [sys.executable, ATTACKER, self.minion(name).config_file]
        asked = json.dumps(tries).replace("SRV", str(self.srv))
        done = subprocess.run(command, input=asked, capture_output=True, text=True, timeout=300)
        assert done.returncode == 0, done.stderr
        return [json.dumps(answer) for answer in json.loads(done.stdout)]


@pytest.fixture(scope="session")
def sites(salt_factories, srv, salt_root):
    """Return a function that gives the running master of that name, with its minions."""
    with ExitStack() as stack:
        running = {}

        def get(name):
            if name not in running:
                site = Site(salt_factories, name, srv, salt_root / "gpgkeys")
                running[name] = stack.enter_context(site.started())
            return running[name]

        yield get


def configure(directory, name, srv, keys):
    """Put the files of conf/ in place, as they are but for the places that they name."""
    directory.mkdir()
    texts = {"careless.conf": CARELESS.replace("SRV", "/srv/pgpillar")}
    if name in ENVIRONMENTS:
        texts = {file: (REPO / "conf/master" / file).read_text() for file in ("common.conf", f"{name}.conf")}
    else:
        write_careless_tops(srv)
    for file, text in texts.items():
        text = text.replace("/srv/pgpillar", str(srv)).replace("/etc/salt/gpgkeys", str(keys))
        (directory / file).write_text(text)


def write_careless_tops(srv):
    for environment, top in CARELESS_TOPS.items():
        (srv / "careless" / environment).mkdir(parents=True)
        (srv / "careless" / environment / "top.sls").write_text(top)
    shutil.copytree(srv / "pillar/dev/secrets/postgresql-users", srv / "careless/prod/everything")
    (srv / "careless/prod/everything/init.sls").write_text("include: [everything.shop, everything.wiki]")


def seen(answers):
    """Whose passwords stand in the answers, by environment."""
    return {who for who, secret in SECRETS.items() if any(secret in answer for answer in answers)}


# What comes of it


@pytest.mark.parametrize("minion", OWN)
@pytest.mark.parametrize("environment", ENVIRONMENTS)
def test_each_minion_sees_the_passwords_of_its_own_roles(sites, environment, minion):
    for answer in sites(environment).ask(minion, ATTACKS["its own pillar"]):
        assert seen([answer]) == {(environment, user) for user in OWN[minion]}


@pytest.mark.parametrize("attack", ATTACKS)
@pytest.mark.parametrize("minion", ATTACKERS)
@pytest.mark.parametrize("environment", ENVIRONMENTS)
def test_nobody_gets_what_is_not_its_own(sites, environment, minion, attack):
    answers = sites(environment).got(minion)[attack]
    assert seen(answers) <= {(environment, user) for user in OWN[minion]}
    assert not [answer for answer in answers if MINED in answer]


def test_the_mine_still_tells_where_servers_are(sites):
    (answer,) = sites("prod").ask("wiki-1", [call("mine.get", [VICTIM], ["postgresql.main"], "list")])
    assert ANNOUNCED in answer


def test_who_comes_with_another_key_is_nobody(sites):
    (answer,) = sites("prod").ask(ATTACKERS[-1], [["with_another_key", [VICTIM], {}]])
    assert json.loads(answer) == f"SystemExit: {os.EX_NOPERM}"


@pytest.mark.parametrize("attack", sorted(ATTACKS.keys() - HARMLESS))
def test_a_careless_master_would_be_seen(sites, attack):
    answers = sites("careless").got(ATTACKERS[-1])[attack]
    assert seen(answers) or any(MINED in answer for answer in answers)
