"""Bring up the hosts of the Vagrantfile under LXC and converge them, or end them and all that came with them.

python -m devtools.hosts check | up [HOST...] | clean
"""

import argparse
import os
import platform
import shutil
import subprocess
import sys
from pathlib import Path

from devtools import box
from devtools.set_up import VAGRANT_LXC, step

ROOT = Path(__file__).resolve().parent.parent
STATE = ROOT / ".vagrant"
NETWORK = "/usr/libexec/lxc/lxc-net"  # Debian's own script, which needs no systemd
NETWORK_IS_UP = Path("/run/lxc/network_up")
DNSMASQ = Path("/run/lxc/dnsmasq.pid")  # whom the hosts ask for names
MADE_BY_US = STATE / "lxc-net"  # there if the network was started for these hosts
SERVICE = STATE / "pg_service.conf"  # written by the Vagrantfile
MASTER, PRIMARY = "salt-master", "postgresql-primary"
PATH = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"


class Failed(Exception):
    """The hosts cannot be had; the message says why and what to do."""


def main(arguments: list[str] | None = None) -> None:
    verbs = {"check": refuse_where_impossible, "up": up, "clean": clean}
    parser = argparse.ArgumentParser(prog="python -m devtools.hosts", description=__doc__.partition("\n")[0])
    parser.add_argument("verb", choices=verbs)
    parser.add_argument("hosts", nargs="*", metavar="HOST", help="these alone, and no other")
    asked = parser.parse_args(arguments)
    try:
        verbs[asked.verb](*asked.hosts)
    except Failed as failure:
        sys.exit(f"hosts: {failure}")


def up(*names: str) -> None:
    """Bring up every host, and converge it; or some of them, for which the master does nothing."""
    refuse_where_impossible()
    for debian in box.SUITES:
        box.give_to_vagrant(debian)
    start_network()
    title = f"bringing up {', '.join(names)}" if names else "bringing up the hosts, and converging them"
    step(title, ["vagrant", "up", "--provider=lxc", *names])
    if SERVICE.exists():
        print(f"for applications: PGSERVICEFILE={SERVICE}, service=postgresql; users: pillar/dev/secrets")


def refuse_where_impossible() -> None:
    if reason := why_not():
        raise Failed(reason)


def why_not() -> str | None:
    """Why there can be no containers here, if so."""
    if os.geteuid():
        return "LXC makes its network as root: run this as root"
    if not VAGRANT_LXC.exists() and platform.freedesktop_os_release().get("VERSION_ID") != "12":
        return "vagrant-lxc is missing, which only Debian 12 has; elsewhere, use VirtualBox or libvirt"
    if subprocess.run(["unshare", "--mount", "--pid", "--fork", "true"], capture_output=True).returncode:
        return "this machine lets nobody make namespaces, which containers need"
    if not any(Path("/sys/fs/cgroup").glob("*")):
        return "there are no cgroups here, which containers need"
    if not (STATE / "machines").exists() and (others := sorted(box.CONTAINERS.glob("pgpillar-*"))):
        return f"{others[0].name} is a host of another checkout; run `make hosts-clean` there"
    return None


def start_network() -> None:
    if NETWORK_IS_UP.exists() and gives_names():
        return
    if NETWORK_IS_UP.exists():
        step("ending a network that gives no names any more", [NETWORK, "stop"])
    STATE.mkdir(exist_ok=True)
    MADE_BY_US.touch()
    step("starting their network", [NETWORK, "start"])


def gives_names() -> bool:
    """Whether its dnsmasq is there, without which apt in a host waits for ever."""
    try:
        return Path("/proc", DNSMASQ.read_text().strip(), "comm").read_text() == "dnsmasq\n"
    except OSError:
        return False


def on(host: str, *command: str) -> list[str]:
    """The command that runs another one on a host, as root."""
    clean = [
        "--clear-env",
        "--set-var",
        f"PATH={PATH}",
        "--set-var",
        "LANG=C.UTF-8",
        "--set-var",
        "HOME=/root",
    ]
    return ["lxc-attach", "--name", f"pgpillar-{host}", *clean, "--", *command]


def clean() -> None:
    """End the hosts, and their network where it was made for them."""
    if not STATE.exists():
        return
    listed = subprocess.run(
        ["lxc-ls", "--running", "-1", "--filter=^pgpillar-"], capture_output=True, text=True
    )
    for container in listed.stdout.split():  # what is thrown away need not end well
        subprocess.run(["lxc-stop", "--kill", "--name", container])
    step("ending the hosts", ["vagrant", "destroy", "--force"])
    if MADE_BY_US.exists() and NETWORK_IS_UP.exists():
        step("ending their network", [NETWORK, "stop"])
    shutil.rmtree(STATE)


if __name__ == "__main__":
    main()
