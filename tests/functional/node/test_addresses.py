"""A name that is verified and an address that is dialled, by the hosts file that pgbouncer really reads."""

import pytest

from devtools.postgres import HBA
from tests.functional.conftest import HOST
from tests.functional.minions import restarted

pytestmark = pytest.mark.every_pgbouncer


@pytest.fixture
def led(own_etc, shop):
    """A node whose hosts file alone knows the server's name; gives that file."""
    file = own_etc.root / "etc/hosts"
    file.write_text("127.0.0.1 localhost\n")
    shop["clusters"]["main"] |= {"host": HOST, "hostaddr": "127.0.0.1"}
    assert own_etc.converge(shop)["pgbouncer.configured"]["addresses"] == {HOST: "new"}
    own_etc.start()
    return file


LED = f"# pgpillar: begin\n127.0.0.1 {HOST}\n# pgpillar: end\n127.0.0.1 localhost\n"


def test_an_address_to_dial_stands_in_the_hosts_file(led, node, shop):
    assert led.read_text() == LED
    assert node.query("select ssl from pg_stat_ssl where pid = pg_backend_pid()") == [(True,)]
    assert node.converge(shop) == {}


def test_bytes_of_others_in_the_hosts_file_stay(led, node, shop):
    others = b"127.0.0.1 localhost # B\xfcro\r\n"
    led.write_bytes(others)
    assert node.converge(shop)["pgbouncer.configured"] == {"addresses": {HOST: "new"}}
    assert led.read_bytes().endswith(others)
    del shop["clusters"]["main"]["hostaddr"]
    led.write_bytes(led.read_bytes() + f"127.0.0.1 {HOST}\n".encode())
    node.converge(shop)
    assert led.read_bytes().startswith(others)


def test_an_address_where_no_server_is_stays_out(led, node, shop):
    shop["clusters"]["main"]["hostaddr"] = "127.0.0.9"
    assert "pool 'shop'" in node.refused(shop)
    assert led.read_text() == LED


@pytest.fixture
def twofold(cluster):
    """A second address of the server."""
    cluster.server.hba((*HBA, "hostssl all all 127.0.0.2/32 scram-sha-256"))
    with restarted(cluster.server, listen_addresses="127.0.0.1,127.0.0.2"):
        yield "127.0.0.2"
    cluster.server.hba()


def test_an_address_goes_back_with_what_it_came_with(led, twofold, node, shop):
    """The server is there as well, and the setting beside it does not work."""
    shop["clusters"]["main"]["hostaddr"] = twofold
    shop["pgbouncer"] = {"settings": {"pool_mode": "sometimes"}}
    assert "pool_mode" in node.refused(shop)
    assert led.read_text() == LED


def test_a_name_that_needs_no_address_any_more_is_left_to_others(led, node, shop):
    others = f"127.0.0.1 localhost {HOST}\n"
    led.write_text(LED.replace("127.0.0.1 localhost\n", others))
    del shop["clusters"]["main"]["hostaddr"]
    assert node.converge(shop)["pgbouncer.configured"] == {"addresses": {HOST: "gone"}}
    assert led.read_text() == others
    assert node.query("select 1") == [(1,)]


def test_an_address_of_a_name_that_refuses_is_told(own_etc, shop):
    """No version goes on to the next one: each looks the name up for every login, and takes the first."""
    (own_etc.root / "etc/hosts").write_text(f"127.0.0.9 {HOST}\n127.0.0.1 {HOST}\n")
    shop["clusters"]["main"]["host"] = HOST
    refuses = f"connect failed at 127.0.0.9:{shop['clusters']['main']['port']}"
    said = own_etc.refused(shop)
    assert f"pool 'shop': pgbouncer came no further than: {refuses}; " in said
    assert "give the one to dial in hostaddr" in said


def test_a_name_that_is_not_in_the_certificate_stays_out_whatever_its_address(own_etc, shop):
    shop["clusters"]["main"] |= {"host": "other.example.internal", "hostaddr": "127.0.0.1"}
    assert "does not match host name" in own_etc.refused(shop)


def server_of(node):
    ((address,),) = node.query("select host(inet_server_addr())")
    return address


def test_a_new_address_reaches_the_pools_at_work(led, twofold, node, shop):
    """Each time at once, however soon it comes after another, and no client sees an error."""
    with node.steady_client() as errors:
        for address in (twofold, "127.0.0.1", twofold):
            shop["clusters"]["main"]["hostaddr"] = address
            assert node.converge(shop)["pgbouncer.configured"]["addresses"][HOST].endswith(f" → {address}")
            assert server_of(node) == address
    assert errors == []


def test_what_a_run_that_was_cut_left_at_the_old_address_is_led_on(led, twofold, node, shop):
    assert server_of(node) == "127.0.0.1"
    led.write_text(LED.replace("127.0.0.1 post", f"{twofold} post"))
    shop["clusters"]["main"]["hostaddr"] = twofold
    assert node.converge(shop)["pgbouncer.configured"] == {"running": "reloaded"}
    assert server_of(node) == twofold
    assert node.converge(shop) == {}
