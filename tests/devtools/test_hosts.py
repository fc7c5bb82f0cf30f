"""The hosts get a network that gives them names, also where an older one was left half."""

import subprocess

import pytest

from devtools import hosts


@pytest.fixture
def network(tmp_path, monkeypatch):
    """What was asked of the network's script. ``tmp_path`` holds what that leaves in /run."""
    asked = []
    for name, value in {
        "step": lambda title, command: asked.append(command[1]),
        "STATE": tmp_path,
        "MADE_BY_US": tmp_path / "made",
        "NETWORK_IS_UP": tmp_path / "network_up",
        "DNSMASQ": tmp_path / "dnsmasq.pid",
    }.items():
        monkeypatch.setattr(hosts, name, value)
    return asked


@pytest.fixture
def dnsmasq():
    """A process of that name."""
    sleeping = subprocess.Popen(
        ["bash", "-c", "printf dnsmasq > /proc/self/comm; echo; read"], stdin=-1, stdout=-1
    )
    sleeping.stdout.readline()
    yield sleeping
    sleeping.communicate()


def test_it_is_started_where_there_is_none(network):
    hosts.start_network()
    assert network == ["start"]


def test_one_that_gives_names_is_left(network, dnsmasq, tmp_path):
    (tmp_path / "network_up").touch()
    (tmp_path / "dnsmasq.pid").write_text(f"{dnsmasq.pid}\n")
    hosts.start_network()
    assert network == []
    assert not (tmp_path / "made").exists()


@pytest.mark.parametrize("pid", ["1", "4194999", ""])
def test_one_that_was_left_without_its_dnsmasq_is_made_anew(network, tmp_path, pid):
    (tmp_path / "network_up").touch()
    (tmp_path / "dnsmasq.pid").write_text(pid)
    hosts.start_network()
    assert network == ["stop", "start"]
