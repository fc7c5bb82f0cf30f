"""A replica on a machine of its own: what is cut heals, and nothing is lost without being told."""

import json
import shutil
import stat
from pathlib import Path

import pytest

from pgpillar import files, lock, promotion, replication, server, upkeep
from pgpillar.paths import Paths
from pgpillar.pillar import PillarError
from pgpillar.upkeep import ServerError, Upkeep
from tests.functional.conftest import HOST
from tests.functional.leaks import PLANTED, Sampler, forms, found, is_open, plant
from tests.functional.machine import MINION, PASSWORD, USER, cut, machines
from tests.functional.minions import ROOT, Minion

ALONE = "insert into public.kept select 'alone' from generate_series(1, 3)"


@pytest.fixture(scope="module")
def lasting_machine():
    with machines() as made:
        yield made


@pytest.fixture
def machine(lasting_machine):
    """One whose server follows the other."""
    lasting_machine.replica().run()
    assert lasting_machine.fault() is None
    return lasting_machine


def rows(machine):
    return [row["row"] for row in machine.ask("select row from public.kept")]


def test_a_copy_that_is_cut_is_no_server(lasting_machine):
    machine = lasting_machine
    machine.empty()
    foretold = machine.replica().changes()
    with cut("pg_basebackup", machine.home.coming / "base"), pytest.raises(ServerError) as raised:
        machine.replica().run()
    assert str(raised.value) == "pg_basebackup was killed by SIGKILL"
    assert machine.home.coming.exists()
    assert machine.fault() == "there is no server here yet; highstate makes it"
    assert machine.replica().changes()["cluster"] == foretold["cluster"]
    machine.replica().run()
    assert machine.fault() is None
    assert rows(machine) == ["on both"]
    assert machine.replica().changes() == {}


def test_the_old_data_stay_until_new_ones_are_whole(machine):
    with cut("pg_basebackup", machine.home.coming / "base"), pytest.raises(ServerError, match="SIGKILL"):
        machine.returning().rebuild()
    assert machine.fault().startswith("it is down; highstate starts it")
    assert machine.replica().changes()["files"][str(machine.home.coming)] == "gone"
    machine.replica().run()
    assert not machine.home.coming.exists()
    assert rows(machine) == ["on both"]
    assert machine.returning().rebuild() == {"kept": None}
    assert machine.fault() is None
    assert {path.name for path in machine.home.data.parent.iterdir()} == {"main"}


def test_a_copy_that_somebody_makes_or_a_server_ran_in_is_left(machine):
    coming = machine.home.coming
    coming.mkdir()
    with lock.kept(coming):
        assert machine.replica().changes() == {}
    (coming / "postmaster.opts").touch()
    assert machine.replica().changes() == {}
    with pytest.raises(ServerError, match="is being written, or a server ran in it"):
        machine.returning().rebuild()
    (coming / "postmaster.opts").unlink()
    assert machine.replica().changes()["files"] == {str(coming): "gone"}
    machine.replica().run()
    assert machine.replica().changes() == {}


def test_the_program_that_writes_a_copy_holds_it_too(machine):
    machine.home.coming.mkdir()
    with lock.kept(machine.home.coming) as held:
        look = (
            "--host=/var/run/postgresql",
            f"--port={machine.port}",
            "-c",
            rf"\! readlink /proc/self/fd/{held}",
        )
        said = upkeep.run_as_server(machine.home.version, "psql", *look, keeps=[held])
    assert said.strip() == str(machine.home.coming)
    machine.home.coming.rmdir()


def test_one_that_follows_is_left_as_it_is_and_that_is_said(machine):
    note = upkeep.Live(machine.home).note
    before = note.read_text()
    told = machine.returning().rejoin(discard=False)
    assert told == {
        "rewound": False,
        "given_up": 0,
        "unchanged": f"it follows {HOST} (127.0.0.1) already",
    }
    assert note.read_text() == before, "it was restarted"


def test_what_was_committed_alone_is_told_before_it_is_given_up(machine):
    machine.part()
    machine.ask("create table public.alone ()")
    machine.ask(ALONE)
    with pytest.raises(ServerError, match=r"^2 transactions committed here, the first at 20") as raised:
        machine.returning().rejoin(discard=False)
    assert "nothing was done, and this server is down" in str(raised.value)
    machine.home.ctl("start")
    assert rows(machine) == ["on both", *["alone"] * 3]
    assert machine.returning().rejoin(discard=True) == {"rewound": True, "given_up": 2}
    assert machine.fault() is None
    assert rows(machine) == ["on both"]


def test_a_rewind_that_is_cut_is_told_with_its_remedy(machine):
    machine.part()
    machine.ask(ALONE)
    with cut("pg_rewind", machine.home.torn), pytest.raises(ServerError, match="pg_rewind was killed by"):
        machine.returning().rejoin(discard=True)
    for attempt in (
        machine.replica().changes,
        Upkeep(machine.wanted, machine.home).changes,  # where nobody says any more who was promoted
        lambda: machine.returning().rejoin(discard=True),
    ):
        with pytest.raises(ServerError) as raised:
            attempt()
        assert str(raised.value) == replication.TORN == machine.fault()
    kept = machine.returning().rebuild()["kept"]
    assert kept, "it was a primary"
    shutil.rmtree(kept)
    assert machine.fault() is None
    assert rows(machine) == ["on both"]


def test_a_password_that_no_password_file_can_hold_is_refused(lasting_machine):
    tree = lasting_machine.tree()
    tree["users"][USER]["password"] = f"two\nlines:{PASSWORD}"
    with pytest.raises(PillarError, match="is not a password in one line of text") as raised:
        server.read(tree, 512)
    assert PASSWORD not in str(raised.value)


def test_the_password_is_in_one_file_that_the_server_alone_reads(lasting_machine):
    machine = lasting_machine
    machine.empty()
    with Sampler(open_files) as sampler:
        plant(Path("/etc/postgresql-common/planted"))
        told = [machine.replica().changes(), machine.replica().run(), machine.fault()]
        machine.part()
        machine.ask(ALONE)
        told += [machine.fault("db-2"), machine.returning().rejoin(discard=True), machine.fault()]
    assert told[-1] is None, "it came in with that password"
    for planted in PLANTED:
        assert any(planted.encode() in seen for seen in sampler.seen)
    assert any(b"pg_rewind" in seen for seen in sampler.seen), "it is where we look"
    places = {seen: seen for seen in sampler.seen} | {"told": repr(told).encode()}
    assert found(forms(PASSWORD), places) == set()
    files = [path for place in HELD for path in Path(place).rglob("*") if path.is_file()]
    held = {str(path): path.read_bytes() for path in files}
    assert str(machine.home.log) in held
    passfile = Path(Paths().replication_passfile)
    assert found(forms(PASSWORD.replace(":", "\\:")) | forms(PASSWORD), held) <= {str(passfile)}
    assert stat.S_IMODE(passfile.stat().st_mode) == 0o600
    assert passfile.owner() == "postgres"


HELD = ("/etc/postgresql", "/etc/pgpillar", "/var/log/postgresql", "/var/lib/postgresql")


def open_files():
    places = (*map(Path, HELD), Path("/etc/postgresql-common"))
    return [path for place in places if is_open(place) for path in place.rglob("*") if is_open(path)]


class Primary:
    """One that was a replica, and its minion, which has the state of replicas and is its own CA."""

    STATE = ("state.apply", "postgresql.replica", "exclude=[{id: postgresql.server starts with the machine}]")

    def __init__(self, machine, directory):
        self.machine, self.pair = machine, Path(Paths().server_certificate)
        signs = f"{Paths().authorities}/signs/ca"
        policy = {"signing_private_key": f"{signs}.key", "signing_cert": f"{signs}.crt", "days_valid": 90}
        policy |= {"subjectAltName": [f"DNS:{HOST}", f"DNS:{MINION}"], "not_after": None}
        options = {"x509_signing_policies": {MINION: policy}, "module_dirs": [str(ROOT)]}
        self.minion = Minion(directory, id=MINION, **options)
        tree = machine.tree()
        del tree["clusters"]["main"]["ca"]
        tree["clusters"]["main"] |= {"ca_server": MINION, "ca_file": "/etc/ssl/certs/postgresql-ca.pem"}
        self.minion.hold({**tree, "authorities": ["ca-1"]})
        self.call("state.apply", "tls.ca")

    def call(self, *arguments):
        """What salt-call made of states, by each; none may have failed."""
        out, err = self.minion.start(*arguments).wait()
        returned = json.loads(out)["local"]
        assert isinstance(returned, dict), err + out
        assert all(state["result"] is not False for state in returned.values()), returned
        return {name.split("_|-")[1]: one["changes"] for name, one in returned.items() if one["changes"]}


@pytest.fixture
def primary(machine, tmp_path):
    promotion.promote(machine.home, machine.wanted)
    made = Primary(machine, tmp_path)
    before = made.pair.read_text()
    yield made
    files.write(made.pair, before, upkeep.PRIVATE)
    machine.empty()


def test_the_state_of_a_replica_leaves_the_data_of_a_primary_alone(primary):
    machine = primary.machine
    machine.ask(ALONE)
    before, place = rows(machine), machine.home.data.stat().st_ino
    machine.stop()
    changes = primary.call(*primary.STATE)["postgresql.server configured"]
    assert (changes["server"], changes["settings"]["primary_conninfo"]) == ("started", "gone")
    assert not {"cluster", "slot"} & changes.keys()
    assert rows(machine) == before
    assert machine.ask("select pg_is_in_recovery() as it") == [{"it": False}]
    assert machine.home.data.stat().st_ino == place
    assert {path.name for path in machine.home.data.parent.iterdir()} == {"main"}

    # A certificate that is due: the preview tells that the server will show another
    primary.pair.write_text("cut")
    preview = primary.call(*primary.STATE, "test=True")
    assert preview["postgresql.server configured"] == {"server": "reloaded"}
    assert primary.call(*primary.STATE) == preview
    assert primary.call(*primary.STATE) == {}
