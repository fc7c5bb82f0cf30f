"""The texts that pgbouncer reads, and what is told of their differences."""

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from pgpillar import node, pgbouncer, scram
from pgpillar.model import Place, Secret
from pgpillar.pgbouncer import CA, FILES, HBA, INI, USERLIST, Home

HOME = Home("/etc/pgbouncer/generations/x", "/run/postgresql", "/var/log/pgbouncer.log", "/run/pid", 6432)
SERVER = Place("db.example.internal", 5432)
CHARACTERS = st.characters(blacklist_categories=("Cs", "Cc", "Zl", "Zp")) | st.sampled_from("'\"\\")
LINE = st.text(CHARACTERS, min_size=1, max_size=20)


def a_node(pools=None, settings=None, **users):
    """A node with a pool for each user, of the user's name, unless others are named."""
    users = users or {"shop": "real"}
    return node.read(
        {
            "clusters": {"main": {"host": SERVER.host}},
            "databases": {name: name for name in users},
            "users": {name: {"password": password} for name, password in users.items()},
            "pools": pools or {},
            "pgbouncer": {"settings": settings or {}},
        }
    )


def texts(wanted=None, own=None, server=SERVER, cas=("CA",), hide=False, home=HOME):
    wanted = wanted or a_node()
    own = own or {user: Secret(f"own of {user}") for user in wanted.clients}
    return pgbouncer.texts(wanted, dict.fromkeys(wanted.pools, server), own, cas, home, hide)


def test_the_files_of_a_node():
    pools = {"jobs": {"database": "shop", "user": "shop", "mode": "session", "size": 5}}
    made = texts(a_node(pools, {"max_client_conn": 50}))
    assert set(made) == set(FILES)
    assert made[INI] == (
        "[databases]\n"
        "jobs = host='db.example.internal' port='5432' dbname='shop' user='shop' password='real'"
        " pool_mode='session' pool_size='5'\n"
        "\n"
        "[pgbouncer]\n"
        "auth_type = hba\n"
        "dns_max_ttl = 0\n"
        "auth_file = /etc/pgbouncer/generations/x/userlist.txt\n"
        "auth_hba_file = /etc/pgbouncer/generations/x/hba.conf\n"
        "listen_port = 6432\n"
        "unix_socket_dir = /run/postgresql\n"
        "logfile = /var/log/pgbouncer.log\n"
        "pidfile = /run/pid\n"
        "server_tls_sslmode = verify-full\n"
        "server_tls_ca_file = /etc/pgbouncer/generations/x/ca.pem\n"
        "default_pool_size = 20\n"
        "ignore_startup_parameters = extra_float_digits\n"
        "listen_addr = 127.0.0.1\n"
        "log_connections = 0\n"
        "log_disconnections = 0\n"
        "max_client_conn = 50\n"
        "pool_mode = transaction\n"
        "server_login_retry = 1\n"
    )
    assert made[USERLIST] == '"shop" "own of shop"\n'
    assert made[HBA] == (
        'local "jobs" "shop" scram-sha-256\n'
        'host "jobs" "shop" 127.0.0.1/32 scram-sha-256\n'
        'host "jobs" "shop" ::1/128 scram-sha-256\n'
    )


def test_a_scratch_instance_listens_on_its_socket_alone():
    made = texts(home=HOME._replace(listens=False))
    assert "\nlisten_addr = \n" in made[INI]
    assert "host" not in made[HBA]


def test_a_pool_without_address_leads_to_the_verified_name():
    assert "host='db.example.internal'" in texts(server=SERVER._replace(hostaddr="192.0.2.1"))[INI]


@given(LINE)
@example('say ""x"')
def test_a_quoted_name_is_read_back(name):
    text = pgbouncer.quoted(name)
    assert (text[0], text[-1]) == ('"', '"')
    assert unquoted(text, '"') == name


@given(LINE)
@example("it''s'")
def test_a_literal_is_read_back(value):
    assert unquoted(pgbouncer.literal(value), "'") == value


def unquoted(text, quote):
    """By pgbouncer's rule: a doubled quote is one, a single one ends."""
    found, at = "", 1
    while text[at : at + 2] == quote * 2 or text[at] != quote:
        found += text[at]
        at += 2 if text[at] == quote else 1
    assert at == len(text) - 1
    return found


def test_verifiers_hide_the_password_and_are_the_same_each_time():
    own = {"shop": Secret("sesame")}
    text = texts(own=own, hide=True)[USERLIST]
    assert "sesame" not in text
    name, kept = text.strip().split(" ")
    assert (name, scram.is_verifier(kept.strip('"'))) == ('"shop"', True)
    assert scram.fits("sesame", kept.strip('"'))
    assert texts(own=own, hide=True)[USERLIST] == text


def test_a_bundle_holds_each_authority_once():
    assert pgbouncer.bundle(["B\n", "A", "B"]) == "A\nB\n"


def test_a_fingerprint_is_of_all_files():
    made = texts()
    others = [{**made, name: made[name] + "#"} for name in FILES]
    assert len({pgbouncer.fingerprint(one) for one in [made, *others]}) == len(FILES) + 1


# What is told of a difference

OTHER_HOME = HOME._replace(files="/etc/pgbouncer/generations/y")
BEFORE = texts(a_node(shop="real", wiki="real"))
DIFFERENCES = {
    "nothing": (BEFORE, {}),
    "nothing but the generation": (texts(a_node(shop="real", wiki="real"), home=OTHER_HOME), {}),
    "a new pool": (
        texts(a_node(shop="real", wiki="real", blog="real")),
        {"pools": {"blog": "new"}, "users": {"blog": "new"}, "files": {HBA: "new"}},
    ),
    "a pool goes": (
        texts(a_node(shop="real")),
        {"pools": {"wiki": "gone"}, "users": {"wiki": "gone"}, "files": {HBA: "new"}},
    ),
    "the real password": (texts(a_node(shop="real", wiki="new one")), {"pools": {"wiki": "password"}}),
    "the server": (
        texts(a_node(shop="real", wiki="real"), server=Place("b.example.internal", 5433)),
        {
            "pools": dict.fromkeys(
                ("shop", "wiki"), "host db.example.internal → b.example.internal, port 5432 → 5433"
            )
        },
    ),
    "this node's password": (
        texts(a_node(shop="real", wiki="real"), own={"shop": Secret("x"), "wiki": Secret("own of wiki")}),
        {"users": {"shop": "new password"}},
    ),
    "a setting": (
        texts(a_node(settings={"pool_mode": "session", "tcp_keepalive": 0}, shop="real", wiki="real")),
        {"settings": {"pool_mode": "transaction → session", "tcp_keepalive": "new"}},
    ),
    "a CA": (texts(a_node(shop="real", wiki="real"), cas=["other"]), {"files": {CA: "new"}}),
}


@pytest.mark.parametrize(("after", "told"), DIFFERENCES.values(), ids=DIFFERENCES)
def test_what_changes_is_told(after, told):
    assert pgbouncer.difference(BEFORE, after) == told


def test_all_is_new_where_there_was_nothing():
    told = pgbouncer.difference({}, texts())
    assert told["pools"] == {"shop": "new"}
    assert told["files"] == {HBA: "new", CA: "new"}
    assert set(told["settings"].values()) == {"new"}


SECRET = st.text(CHARACTERS, min_size=5, max_size=20).map(lambda text: f"~{text}~")


@given(*([SECRET] * 4), st.booleans(), st.booleans())
def test_no_difference_tells_a_secret(real, own, new_real, new_own, hid, hide):
    before = texts(a_node(shop=real), {"shop": Secret(own)}, hide=hid)
    after = texts(a_node(shop=new_real), {"shop": Secret(new_own)}, hide=hide)
    told = repr(pgbouncer.difference(before, after))
    assert "~" not in told
    assert "SCRAM" not in told


@given(SECRET, SECRET)
def test_a_changed_password_is_always_seen(one, other):
    changed = pgbouncer.difference(texts(a_node(shop=one)), texts(a_node(shop=other)))
    assert changed == ({} if one == other else {"pools": {"shop": "password"}})


# What is tried, and what is opened anew

TWO = {"shop": "real", "wiki": "real"}
TRIED = {
    "nothing": (a_node(**TWO), {}, []),
    "one real password": (a_node(shop="new", wiki="real"), {}, ["shop"]),
    "one of this node": (
        a_node(**TWO),
        {"own": {"shop": Secret("x"), "wiki": Secret("own of wiki")}},
        ["shop"],
    ),
    "a new pool": (a_node(**TWO, blog="real"), {}, ["blog"]),
    "a pool that goes": (a_node(shop="real"), {}, []),
    "a setting": (a_node(settings={"max_client_conn": 5}, **TWO), {}, ["shop", "wiki"]),
    "a CA": (a_node(**TWO), {"cas": ["other"]}, ["shop", "wiki"]),
    "the server of all": (a_node(**TWO), {"server": Place("b")}, ["shop", "wiki"]),
}


@pytest.mark.parametrize(("wanted", "more", "names"), TRIED.values(), ids=TRIED)
def test_what_is_touched_is_tried(wanted, more, names):
    tried = pgbouncer.changed_pools(BEFORE, texts(wanted, **more), wanted)
    assert [pool.name for pool in tried] == names


def test_all_is_tried_where_there_was_nothing():
    wanted = a_node(**TWO)
    assert [pool.name for pool in pgbouncer.changed_pools({}, texts(wanted), wanted)] == ["shop", "wiki"]


def test_a_pool_whose_name_begins_like_another_is_not_taken_for_it():
    before = texts(a_node(shop="real", shop_ro="real"))
    after = a_node(shop="real", shop_ro="new")
    assert [pool.name for pool in pgbouncer.changed_pools(before, texts(after), after)] == ["shop_ro"]


def test_connections_of_pools_that_lead_elsewhere_are_opened_anew():
    after = texts(a_node(shop="new", wiki="real", blog="real"))
    assert pgbouncer.moved_pools(BEFORE, after) == ["shop"]
    assert pgbouncer.moved_pools(BEFORE, BEFORE) == []


# What the console shows

ROW = {"name": "shop", "host": "db.example.internal", "port": 5432, "database": "shop", "force_user": "shop"}
CONSOLE = {"pgbouncer": {"name": "pgbouncer"}, "shop": {**ROW, "pool_mode": None, "pool_size": 20}}


def deviations(databases=None, settings=None, wanted=None):
    wanted = wanted or a_node()
    shown = pgbouncer.settings_of(wanted, HOME)
    return pgbouncer.deviations(
        wanted, {"shop": SERVER}, HOME, {**CONSOLE, **(databases or {})}, {**shown, **(settings or {})}
    )


def test_what_is_in_force_as_written_deviates_in_nothing():
    assert deviations() == []


def test_a_number_may_be_shown_in_another_way():
    assert deviations(settings={"server_login_retry": "1.0"}) == []


SHOWN = {
    "another host": (
        {"databases": {"shop": {**ROW, "host": "x"}}},
        ["pool 'shop' has host 'x', not 'db.example.internal'"],
    ),
    "another user": (
        {"databases": {"shop": {**ROW, "force_user": "wiki"}}},
        ["pool 'shop' has force_user 'wiki', not 'shop'"],
    ),
    "a pool too many": ({"databases": {"old": ROW}}, ["pool 'old' is still there"]),
    "a setting": ({"settings": {"pool_mode": "session"}}, ["pool_mode is 'session', not 'transaction'"]),
    "no setting": ({"settings": {"dns_max_ttl": None}}, ["dns_max_ttl is None, not '0'"]),
    "another generation": (
        {"settings": {"auth_file": "/old"}},
        ["auth_file is '/old', not '/etc/pgbouncer/generations/x/userlist.txt'"],
    ),
    "a size": (
        {
            "wanted": a_node({"shop": {"database": "shop", "user": "shop", "size": 5}}),
        },
        ["pool 'shop' has pool_size 20, not 5"],
    ),
}


@pytest.mark.parametrize(("given", "faults"), SHOWN.values(), ids=SHOWN)
def test_what_the_console_shows_is_compared(given, faults):
    assert deviations(**given) == faults
