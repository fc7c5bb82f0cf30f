"""Servers for attacks: one of each major version, wiped before each test."""

import contextlib
import threading
from pathlib import Path

import pytest

from devtools import debian, postgres
from pgpillar import connect, dump
from tests.functional.conftest import Cluster, cluster, default_major, make_hosted, server, servers  # noqa: F401
from tests.functional.node.conftest import make_node, node, pgbouncer, shop  # noqa: F401
from tests.hostile.scene import Scene, wipe

MAJORS = (13, 15, 16, 17, 18)
HOSTED = (15, 18)
FEW = (
    13,
    18,
)  # without --every-major: the first of these that an attack is for, and the last as a hosted admin
PATIENCE = 120  # seconds after which pgpillar's sessions are ended, so that a test fails and does not hang
SETTINGS = {"max_prepared_transactions": 2, "max_connections": 50}


def pytest_generate_tests(metafunc):
    """An attack meets several major versions, and a hosted admin by the rules of 15 and those of 16 on."""
    if "scene" in metafunc.fixturenames:
        first = getattr(metafunc.function, "first_major", 0)
        admins = getattr(metafunc.function, "admins", ("superuser", "hosted"))
        majors = _majors(metafunc.config, first)
        cases = [(major, admin) for admin in admins for major in majors[admin] if major >= first]
        metafunc.parametrize(
            "scene", cases, indirect=True, ids=[f"{major}-{admin}" for major, admin in cases]
        )


def _majors(config, first):
    """Which major versions an attack meets, by the kind of admin."""
    only = config.getoption("--major")
    if only:
        return {"superuser": [only], "hosted": [only] if only >= HOSTED[0] else []}
    if config.getoption("--every-major"):
        return {"superuser": MAJORS, "hosted": HOSTED}
    return {"superuser": [major for major in FEW if major >= first][:1], "hosted": [FEW[-1]]}


@pytest.fixture(scope="session")
def hostile_servers():
    """Running servers by major version, each started when it is first asked for."""
    with contextlib.ExitStack() as stack:
        running = {}

        def get(major):
            if major not in running:
                running[major] = stack.enter_context(postgres.temporary(major, SETTINGS))
            return running[major]

        yield get


@pytest.fixture
def scene(request, hostile_servers):
    """A cluster with bystanders and an attacker, administered by a superuser or by a hosted admin."""
    major, admin = request.param
    running = hostile_servers(major)
    wipe(running)
    seen = make_hosted(running) if admin == "hosted" else Cluster(running)
    with _patience(running):
        yield Scene(seen, major)


@pytest.fixture
def dumper(scene, monkeypatch, tmp_path):
    """A directory for dumps, and a pg_dump that is as new as the server."""
    scene.cluster.endpoint["dumps"] = str(tmp_path)
    with contextlib.suppress(connect.ClusterError):
        return dump.program_for(scene.major)
    programs = debian.fetched("14", "postgresql-client-18")
    monkeypatch.setattr(dump, "PROGRAMS", f"{programs}{dump.PROGRAMS}")
    return dump.program_for(scene.major)


class SlowDumper:
    """A pg_dump that begins when the test says so."""

    def __init__(self, program, directory):
        self.started, self.goes = directory / "started", directory / "goes"
        real = Path(program)
        programs = directory / real.parent.parent.name / "bin"
        programs.mkdir(parents=True)
        (programs / "pg_restore").symlink_to(real.with_name("pg_restore"))
        waiting = f"touch {self.started}; until [ -e {self.goes} ]; do sleep 0.1; done"
        (programs / "pg_dump").write_text(f'#!/bin/sh\n{waiting}\nexec {real} "$@"\n')
        (programs / "pg_dump").chmod(0o755)
        self.programs = str(directory / "*/bin/pg_dump")

    def wait_for_start(self, running):
        postgres.wait_for(lambda: running.done() or self.started.exists(), "pg_dump was not started")

    def go(self):
        self.goes.touch()


@pytest.fixture
def slow_dumper(dumper, monkeypatch, tmp_path_factory):
    slow = SlowDumper(dumper, tmp_path_factory.mktemp("slow"))
    monkeypatch.setattr(dump, "PROGRAMS", slow.programs)
    return slow


@contextlib.contextmanager
def _patience(running):
    timer = threading.Timer(PATIENCE, _end_pgpillar, [running])
    timer.start()
    try:
        yield
    finally:
        timer.cancel()


def _end_pgpillar(running):
    running.query(
        "select pg_terminate_backend(pid) from pg_stat_activity where application_name like 'pgpillar%'"
    )
