"""Real applications on the files that a node gives them, as docs/howto/app-node.rst shows it."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.functional.node.test_files import variables

SQLALCHEMY = """
import os
from sqlalchemy import create_engine, text
from sqlalchemy.pool import NullPool

unprepared = {"prepare_threshold": None}
engine = create_engine(os.environ["DATABASE_URL"], poolclass=NullPool, connect_args=unprepared)
with engine.begin() as connection:
    connection.execute(text("insert into notes (text) values (:text)"), {"text": "tea"})
    row = connection.execute(text("select current_user, text from notes")).one()
print(*row)
"""

PSYCOPG = """
import psycopg

connection = psycopg.connect("service=shop", prepare_threshold=None)
print(connection.execute("select current_user").fetchone()[0])
"""

DJANGO = """
import os
import django
from django.conf import settings

settings.configure(INSTALLED_APPS=[], DATABASES={{"default": {database}}})
django.setup()

from django.db import connection, models, transaction

class Note(models.Model):
    id = models.AutoField(primary_key=True)
    text = models.TextField()

    class Meta:
        app_label = "notes"
        db_table = "notes"

with transaction.atomic():
    Note.objects.create(text="tea")
with connection.cursor() as cursor:
    cursor.execute("select current_user, ssl from pg_stat_ssl where pid = pg_backend_pid()")
    user, ssl = cursor.fetchone()
print(user, *(note.text for note in Note.objects.iterator()), ssl)
"""

THROUGH_THE_POOL = """{
    "ENGINE": "django.db.backends.postgresql",
    "HOST": os.environ["DB_HOST"],
    "PORT": os.environ["DB_PORT"],
    "NAME": os.environ["DB_NAME"],
    "USER": os.environ["DB_USER"],
    "PASSWORD": os.environ["DB_PASSWORD"],
    "DISABLE_SERVER_SIDE_CURSORS": True,
}"""

WITHOUT_THE_POOL = """{
    "ENGINE": "django.db.backends.postgresql",
    "OPTIONS": {"service": "shop-direct"},
}"""


@pytest.fixture
def shop(shop, cluster):
    """A shop with a table that its application may write to, whose application may bypass the pool."""
    cluster.query("create table notes (id serial primary key, text text)", dbname="shop", user="shop")
    shop["users"]["shop_app"]["direct"] = True
    return shop


@pytest.fixture
def environment(running):
    """The variables of a way, as a shell takes them from its file."""

    def read(way):
        directory = Path(running.paths.clients) / "shop_app"
        script = ["sh", "-c", 'set -a; . "$0"; exec env -0', str(directory / f"{way}.env")]
        file = {"PATH": os.environ["PATH"], "PGSERVICEFILE": str(directory / "pg_service.conf")}
        return variables(subprocess.run(script, env=file, capture_output=True, check=True).stdout)

    return read


def printed(program, environment):
    done = subprocess.run([sys.executable, "-c", program], env=environment, capture_output=True, text=True)
    assert done.stderr == ""
    return done.stdout.split()


@pytest.mark.parametrize("way", ["shop", "shop-direct"])
def test_sqlalchemy(environment, way):
    assert printed(SQLALCHEMY, environment(way)) == ["shop_app", "tea"]


def test_django_through_the_pool(environment):
    assert printed(DJANGO.format(database=THROUGH_THE_POOL), environment("shop")) == [
        "shop_app",
        "tea",
        "True",
    ]


def test_django_without_the_pool(environment):
    given = {name: value for name, value in environment("shop").items() if name in ("PATH", "PGSERVICEFILE")}
    assert printed(DJANGO.format(database=WITHOUT_THE_POOL), given) == ["shop_app", "tea", "True"]


def test_psycopg(environment):
    assert printed(PSYCOPG, {"PGSERVICEFILE": environment("shop")["PGSERVICEFILE"]}) == ["shop_app"]


def test_what_the_howto_shows_is_what_is_tested():
    page = Path(__file__).parents[3].joinpath("docs/howto/app-node.rst").read_text()
    tested = "".join((SQLALCHEMY + PSYCOPG).split())
    shown = "".join(page.split())
    assert "".join(THROUGH_THE_POOL.split()) in shown
    assert "".join(WITHOUT_THE_POOL.split()) in shown
    for line in ("create_engine(", "unprepared = ", "psycopg.connect("):
        (one,) = [text for text in page.splitlines() if line in text]
        assert "".join(one.partition("  #")[0].split()) in tested
