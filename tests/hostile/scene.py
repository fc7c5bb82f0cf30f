"""A cluster that two bystanders share with an attacker, and what must hold whatever the attacker does.

The attacker's functions call a trap. The trap writes to the server's log which role runs it, since a rollback
removes no line of the log, and it tries to make the attacker a superuser.
"""

import re
import secrets
import threading
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing, contextmanager, suppress

import psycopg2

from devtools.postgres import wait_for
from pgpillar import connect, observe, strangers
from pgpillar.model import BOOTSTRAP_LOGIN

SCRIPT = "salt://shop/schema.sql"
LATIN = "latin"  # a database in which every byte of a name is a character
BYSTANDERS = ("books", "wiki")  # databases that stay from one attack to the next, for they take long to make
IMPATIENT = {"lock_timeout": 1, "wait_for_others": 1, "statement_timeout": 20}

# Each of these gives an admin's session that only switched its role the admin's rights back
ESCAPES = ("reset role", "reset session authorization", "set session authorization default")
TRAP = """
    create function {schema}.trap() returns boolean language plpgsql as $trap$
    declare escape text;
    begin
        raise log 'trap: % % %', current_user, session_user, pg_catalog.current_setting('is_superuser');
        foreach escape in array array[{escapes}] loop
            begin
                execute escape;
                raise log 'trap: % % %', current_user, session_user,
                    pg_catalog.current_setting('is_superuser');
                raise exception 'back to the role that it was';
            exception when others then null;
            end;
        end loop;
        begin
            execute 'alter role mallory superuser';
        exception when others then null;
        end;
        return true;
    end $trap$;
    create function {schema}.trap_trigger() returns trigger language plpgsql as
        $trap$ begin perform {schema}.trap(); return null; end $trap$;
    create function {schema}.trap_text(anyelement) returns text language plpgsql immutable as
        $trap$ begin perform {schema}.trap(); return 'trapped'; end $trap$;
"""

NO_MESSAGE_HOLDS = re.compile(r"Traceback|psycopg2|\b[A-Z]\w+(Error|Exception)\b|object at 0x")


def trap(schema="public"):
    """The statements that create the trap and its wrappers in a schema."""
    return TRAP.format(schema=schema, escapes=", ".join(f"'{one}'" for one in ESCAPES))


class Scene:
    """One attack: the cluster before it, the attacker's sessions, and the checks after it."""

    def __init__(self, cluster, major):
        self.cluster, self.server, self.major = cluster, cluster.server, major
        self.admin, self.admin_database = cluster.admin["user"], cluster.admin["database"]
        self.hosted = self.admin != cluster.server.superuser
        self.suspects = {"mallory", "stranger", BOOTSTRAP_LOGIN}
        cluster.endpoint.update(IMPATIENT)
        for name in BYSTANDERS:
            self.founder(f"alter database {name} owner to {self.admin}", "postgres")
        self._mark = self._log_size()

    # What pillar holds

    def pillar(self, databases=None, users=(), groups=None, **shop):
        """The attacker's database stands between those of two bystanders in the order of names."""
        bystanders = {"books": {"owner": "amy", "access": {"bob": "read"}}, "wiki": "zoe"}
        ours = {"shop": {"owner": "mallory", "access": {"app": "write"}, **shop}}
        names = ["amy", "zoe", "bob", "app", "mallory", "carol"]
        people = {name: {} for name in names} | dict(users)
        return {
            "databases": {**bystanders, **ours, **(databases or {})},
            "users": people,
            "groups": groups or {},
        }

    def begins(self, **pillar):
        """Converge before the attack."""
        self.cluster.converge(**self.pillar(**pillar))
        return self

    # What attackers do

    def sql(self, statement, user="mallory", dbname="shop", **more):
        """Run statements in a session of the attacker's own."""
        return self.cluster.query(statement, user=user, dbname=dbname, **more)

    def founder(self, statement, dbname="shop", **more):
        """Run a statement as the superuser."""
        return self.cluster.query(statement, dbname=dbname, **more)

    def session(self, user="mallory", dbname="shop", **more):
        """A session of the attacker's; the block closes it."""
        return closing(
            self.server.connect(
                user=user, password=self.cluster.passwords[user], dbname=dbname, over="tls", **more
            )
        )

    @contextmanager
    def holding(self, *statements, user="mallory", dbname="shop"):
        """The attacker has run these in a transaction that it does not end."""
        with self.session(user, dbname) as session, session.cursor() as cursor:
            for statement in statements:
                cursor.execute(statement)
            yield session

    @contextmanager
    def repeating(self, act):
        """The attacker does this again and again, and ignores errors."""
        over = threading.Event()

        def repeat():
            while not over.is_set():
                with suppress(psycopg2.Error):
                    act()

        thread = threading.Thread(target=repeat)
        thread.start()
        try:
            yield
        finally:
            over.set()
            thread.join()

    def stranger(self, *databases, options=""):
        """A login role that pillar does not name, and that may connect there."""
        password = self.cluster.passwords.setdefault("stranger", secrets.token_urlsafe(12))
        self.founder(f"create role stranger login {options} password '{password}'", "postgres")
        for name in databases:
            self.founder(f"grant connect on database {name} to stranger", "postgres")
        return "stranger"

    @contextmanager
    def run_beside(self, **pillar):
        """A run in another thread. Its outcome is known when the block has ended."""
        with ThreadPoolExecutor(1) as pool:
            yield pool.submit(self.cluster.attempt, **self.pillar(**pillar))

    def wait_for_a_waiter(self, running):
        """Until a session waits for a lock, or there is nobody left to wait for."""
        waiting = "select 1 from pg_locks where not granted"
        wait_for(lambda: running.done() or self.founder(waiting, "postgres"), "nobody waits for a lock", 20)

    # What must hold

    def endures(self, where="database 'shop'", naming=(), **pillar):
        """A plan, a list of what is unmanaged and a run beside the attack: one thing may fail, ``where``.

        Its message then names ``naming``.
        """
        self.drift()
        self.looks(**pillar)
        outcome = self.cluster.attempt(**self.pillar(**pillar))
        self.nobody_gained()
        failures = outcome.failures
        assert set(failures) <= {where}, failures
        for place, message in failures.items():
            assert not NO_MESSAGE_HOLDS.search(message), message
            assert all(name in f"{place}: {message}" for name in naming), message
        self.bystanders_converged()
        return outcome

    def fails(self, **more):
        """It endures the attack, and one thing does fail."""
        outcome = self.endures(**more)
        assert outcome.failures
        return outcome

    def looks(self, **pillar):
        """The plan and the list of unmanaged things raise nothing."""
        self.cluster.preview(**self.pillar(**pillar))
        self.unmanaged(**pillar)

    def forecast(self, **pillar):
        return self.cluster.forecast(**self.pillar(**pillar))

    def unmanaged(self, **pillar):
        declared = self.cluster.declared(**self.pillar(**pillar))
        with connect.gateway(declared.endpoint) as gateway:
            found = observe.survey(gateway, declared.cluster)
            return strangers.unmanaged(found, declared.cluster, gateway.endpoint.database)

    def drift(self):
        """Give every bystander a difference that the run has to remove."""
        for role in ("amy", "zoe"):
            self.founder(f"alter role {role} connection limit 3", "postgres")
        for database in ("books", "wiki"):
            self.founder(f"grant connect on database {database} to public", "postgres")

    def bystanders_converged(self):
        limits = self.founder(
            "select rolname, rolconnlimit from pg_roles where rolname in ('amy', 'zoe') order by 1",
            "postgres",
        )
        open_ones = self.founder(
            "select datname from pg_database, aclexplode(datacl)"
            " where grantee = 0 and datname in ('books', 'wiki')",
            "postgres",
        )
        assert (limits, open_ones) == ([("amy", -1), ("zoe", -1)], [])

    def nobody_gained(self):
        """Only the attacker ran the trap, and no role became a superuser."""
        assert {who for who in self.trapped() if not self._is_harmless(*who)} == set()
        mighty = self.founder(
            "select rolname from pg_roles where rolsuper and oid <> 10",
            "postgres",
        )
        assert mighty == []

    def trapped(self):
        """(current user, session user, is_superuser) of each that ran the trap."""
        return self.logged(r"trap: (\S+) (\S+) (on|off)\s*$")

    def logged(self, pattern):
        """What the server has logged of this since the attack began."""
        with open(self.server.log, "rb") as log:
            log.seek(self._mark)
            return re.findall(pattern, log.read().decode("latin-1"), re.M)

    def _is_harmless(self, current, session, mighty):
        return {current, session} <= self.suspects and mighty == "off"

    def _log_size(self):
        return self.server.log.stat().st_size

    def heals(self, **pillar):
        """After the attack one run succeeds, and the next one changes nothing."""
        declared = self.pillar(**pillar)
        self.cluster.converge(**declared)
        assert self.cluster.converge(**declared) == {}
        self.nobody_gained()
        self.bystanders_converged()

    def withstands(self, naming=(), where="database 'shop'", healed=None, **pillar):
        """It endures the attack, and heals after it."""
        outcome = self.endures(where=where, naming=naming, **pillar)
        self.heals(**{**pillar, **(healed or {})})
        return outcome

    def bootstraps(self, script, schema="public", **pillar):
        """The script runs in a new database. If it fails, a harmless script heals."""
        self.cluster.converge(**_without_shop(self.pillar(**pillar)))
        self.cluster.scripts[SCRIPT] = trap(schema) + script
        outcome = self.endures(naming=[SCRIPT], bootstrap=SCRIPT, **pillar)
        if outcome.failures:
            self.cluster.scripts[SCRIPT] = "create table orders (id int)"
        self.heals(bootstrap=SCRIPT, **pillar)
        return outcome


def _without_shop(declared):
    return {
        **declared,
        "databases": {name: it for name, it in declared["databases"].items() if name != "shop"},
    }


# A clean server, whatever the last attack left on it


def wipe(server):
    """End every session and prepared transaction, and drop all that initdb did not make."""
    with closing(server.connect()) as session:
        session.autocommit = True
        _run(session, _END_ALL)
        prepared = _run(session, "select gid, database from pg_prepared_xacts")
        _make_what_stays(session)
    for gid, database in prepared:
        server.query(f"rollback prepared '{gid}'", dbname=database)
    with _latin(server) as session:
        for database in _names(session, "datname", "pg_database", STAYING):
            _run(session, f"alter database {database} is_template false")
            _run(session, f"drop database {database} with (force)")
    for name in ("postgres", "template1", LATIN, *BYSTANDERS):
        with closing(server.connect(dbname=name)) as session:
            session.autocommit = True
            _run(session, _DISOWN)
            _run(session, _DROP_ROUTINES)
            _run(session, f"alter database {name} reset all")
    with _latin(server) as session:
        for role in _names(session, "rolname", "pg_roles where oid >= 16384", ()):
            _run(session, f"drop role {role}")


STAYING = ("postgres", "template0", "template1", LATIN, *BYSTANDERS)
_END_ALL = """
    select pg_terminate_backend(pid) from pg_stat_activity
    where pid <> pg_backend_pid() and backend_type = 'client backend'"""


def _for_each(rows, kind, statement):
    """One by one, on the server: a name may be no text of this database."""
    return f"""
        do $$ declare one {kind}; begin
            for one in {rows} loop
                execute format('{statement}', one);
            end loop;
        end $$"""


_DISOWN = _for_each("select rolname from pg_roles where oid >= 16384", "name", "drop owned by %I")
# Those of the superuser, whose own DROP OWNED would take the server's
_DROP_ROUTINES = _for_each(
    "select oid from pg_proc where oid >= 16384", "regprocedure", "drop routine %s cascade"
)


def _make_what_stays(session):
    there = {name for (name,) in _run(session, "select datname from pg_database where datname ~ '^[a-z]+$'")}
    if LATIN not in there:
        _run(session, f"create database {LATIN} encoding 'LATIN1' locale 'C' template template0")
    for name in BYSTANDERS:
        if name not in there:
            _run(session, f"create database {name}")
        _run(session, f"alter database {name} owner to postgres")
    for name in (LATIN, *BYSTANDERS):
        _run(session, f"revoke all on database {name} from public")


@contextmanager
def _latin(server):
    with closing(server.connect(dbname=LATIN, client_encoding="LATIN1")) as session:
        session.autocommit = True
        yield session


def _names(session, column, table, but):
    found = [name for (name,) in _run(session, f"select {column} from {table}")]
    return [quoted(name) for name in found if name not in but]


def quoted(name):
    """By hand: psycopg2 quotes as if every connection spoke UTF-8."""
    return '"' + name.replace('"', '""') + '"'


def _run(session, statement):
    with session.cursor() as cursor:
        cursor.execute(statement)
        return cursor.fetchall() if cursor.description else []
