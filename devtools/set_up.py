"""Make this machine ready for a target of the Makefile: missing Debian packages first, then ``.venv``.

    python3 devtools/set_up.py run | dev | demo | test | hosts | schemas

Needs nothing but Debian's own python3. When everything is in place it says nothing and does nothing.
"""

import argparse
import contextlib
import fcntl
import glob
import hashlib
import importlib.util
import json
import os
import shutil
import signal
import subprocess
import sys
import sysconfig
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
REQUIREMENTS = ROOT / "requirements"
VENV = ROOT / ".venv"
STAMP = VENV / "made-of.json"
LOG = VENV / "set-up.log"
OLDEST_PYTHON = (3, 11)


@dataclass(frozen=True)
class Package:
    purpose: str
    present: Callable[[], object]


VAGRANT_LXC = Path("/usr/share/vagrant-plugins/plugins.d/vagrant-lxc.json")

PACKAGES = {
    "python3-venv": Package("to build .venv", lambda: importlib.util.find_spec("ensurepip")),
    "postgresql": Package("for a private server", lambda: glob.glob("/usr/lib/postgresql/*/bin/initdb")),
    "pgbouncer": Package("for a private pooler", lambda: glob.glob("/usr/sbin/pgbouncer")),
    "postgresql-postgis": Package(
        "for schemas with places", lambda: glob.glob("/usr/share/postgresql/*/extension/postgis.control")
    ),
    "gcc": Package("for the modules of PostgreSQL's tests", lambda: shutil.which("gcc")),
    "libc6-dev": Package("to compile them", lambda: glob.glob("/usr/include/stdio.h")),
    "gnupg": Package("to encrypt passwords", lambda: shutil.which("gpg")),
    "vagrant": Package("to bring up hosts", lambda: shutil.which("vagrant")),
    "vagrant-lxc": Package("to have Vagrant use containers", VAGRANT_LXC.exists),
    "lxc": Package("to run them", lambda: glob.glob("/usr/bin/lxc-start")),
    "dnsmasq-base": Package("to answer their DNS", lambda: glob.glob("/usr/sbin/dnsmasq")),
    "iptables": Package("to let them out", lambda: glob.glob("/usr/sbin/iptables")),
    "iproute2": Package("to make their network", lambda: glob.glob("/sbin/ip")),
    "sudo": Package("which Vagrant calls", lambda: glob.glob("/usr/bin/sudo")),
    "debootstrap": Package("to make their box", lambda: glob.glob("/usr/sbin/debootstrap")),
}
HOSTS = ("vagrant", "vagrant-lxc", "lxc", "dnsmasq-base", "iptables", "iproute2", "sudo", "debootstrap")
SCHEMAS = ("postgresql", "postgresql-postgis", "gcc", "libc6-dev")


@dataclass(frozen=True)
class Level:
    pins: tuple[str, ...]
    packages: tuple[str, ...]


LEVELS = {
    "run": Level(("runtime.txt",), ()),
    "dev": Level(("runtime.txt", "cli.txt", "dev.txt"), ()),
    "demo": Level(("runtime.txt",), ("postgresql", "pgbouncer")),
    "test": Level(("runtime.txt", "cli.txt", "dev.txt"), ("postgresql", "pgbouncer", "gnupg")),
    "hosts": Level(("runtime.txt",), HOSTS),
    "schemas": Level(("runtime.txt", "cli.txt", "dev.txt"), SCHEMAS),
}

COMMAND = f"""#!{VENV}/bin/python -I
import sys

sys.path[:0] = ["{ROOT}/_utils", "{ROOT}/cli"]
from pgpillar_cli.main import main

main()
"""

# While packages go in, nothing may start (invoke-rc.d asks this script) and Debian's own cluster is not made.
POLICY = Path("/usr/sbin/policy-rc.d")
NO_MAIN_CLUSTER = Path("/etc/postgresql-common/createcluster.d/pgpillar-set-up.conf")
HELD_STILL = {
    POLICY: "#!/bin/sh\n# Left by an interrupted set-up of pgpillar; may be removed.\nexit 101\n",
    NO_MAIN_CLUSTER: "create_main_cluster = false\n",
}


def main(argv: list[str]) -> None:
    if sys.version_info < OLDEST_PYTHON:
        fail(f"{sys.executable} is older than Python {'.'.join(map(str, OLDEST_PYTHON))}")
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("level", choices=LEVELS)
    level = LEVELS[parser.parse_args(argv).level]
    with one_at_a_time():
        packages = level.packages
        if not venv_fits(level.pins):
            shutil.rmtree(VENV, ignore_errors=True)
            packages = ("python3-venv", *packages)
        install_packages(packages)
        fill_venv(level.pins)


@contextlib.contextmanager
def one_at_a_time():
    """Let two makes in two terminals take turns."""
    directory = os.open(REQUIREMENTS, os.O_RDONLY)
    try:
        fcntl.flock(directory, fcntl.LOCK_EX)
        yield
    finally:
        os.close(directory)


def install_packages(names: tuple[str, ...]) -> None:
    """Install those of the packages that are missing, and leave no service of theirs behind."""
    missing = [name for name in names if not PACKAGES[name].present()]
    if not missing:
        return
    refuse_without_apt(" ".join(missing))
    purposes = ", ".join(f"{name} ({PACKAGES[name].purpose})" for name in missing)
    try:
        with held_still():
            step("reading Debian's package lists", ["apt-get", "update"], must_succeed=False)
            step(f"installing {purposes}", [*APT_INSTALL, *missing])
    finally:
        if "pgbouncer" in missing and PACKAGES["pgbouncer"].present():
            step("keeping pgbouncer's service off", ["update-rc.d", "pgbouncer", "disable"])


APT_INSTALL = ["apt-get", "install", "-y", "--no-install-recommends", "-o", "DPkg::Lock::Timeout=120"]


def refuse_without_apt(names: str) -> None:
    if not shutil.which("apt-get"):
        fail(f"install these first (Debian's names; there is no apt-get here): {names}")
    if os.geteuid():
        fail(f"some packages are missing; as root:\n\n    apt-get install --no-install-recommends {names}\n")


@contextlib.contextmanager
def held_still():
    """Let no service start, and no cluster be made, by a package that is installed meanwhile."""
    ours = {path: text for path, text in HELD_STILL.items() if not path.exists() or path.read_text() == text}
    made = [path.parent for path in ours if not path.parent.exists()]
    try:
        for path, text in ours.items():
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(text)
            path.chmod(0o755)
        yield
    finally:
        for path in ours:
            path.unlink(missing_ok=True)
        for directory in made:
            with contextlib.suppress(OSError):
                directory.rmdir()


def venv_fits(pins: tuple[str, ...]) -> bool:
    """Return whether what ``.venv`` was made of still holds; it may lack some of the pinned files."""
    made = read_stamp()
    return bool(made) and all(made.get(key, value) == value for key, value in fingerprint(pins).items())


def fill_venv(pins: tuple[str, ...]) -> None:
    """Make ``.venv`` where it is missing, and install the pinned files that it lacks."""
    made = read_stamp()
    if not made:
        step(f"making .venv from {sys.executable}", [sys.executable, "-m", "venv", VENV])
    missing = [name for name in pins if name not in made]
    for name in missing:
        packages = sum("==" in line for line in (REQUIREMENTS / name).read_text().splitlines())
        step(f"installing the {packages} Python packages of {name}", [*PIP_INSTALL, REQUIREMENTS / name])
    if missing:
        STAMP.write_text(json.dumps(made | fingerprint(pins), indent=1))
    if "cli.txt" in pins:
        write_command(VENV / "bin" / "pgpillar")


def write_command(path: Path) -> None:
    """Let ``.venv/bin/pgpillar`` run what stands in the repo."""
    path.parent.mkdir(exist_ok=True)
    path.write_text(COMMAND)
    path.chmod(0o755)


# The pinned files name every package there is to install, so pip has nothing to resolve; a cache would
# be left outside of the repo.
PIP = [VENV / "bin/python", "-m", "pip", "--no-input", "--disable-pip-version-check"]
PIP_INSTALL = [*PIP, "install", "--no-cache-dir", "--no-deps", "--progress-bar", "off", "-r"]


def fingerprint(pins: tuple[str, ...]) -> dict[str, str]:
    """What makes a venv another one: its pins, its Python, its place (scripts carry it)."""
    digests = {name: hashlib.sha256((REQUIREMENTS / name).read_bytes()).hexdigest() for name in pins}
    return {"python": sysconfig.get_python_version(), "place": str(VENV)} | digests


def read_stamp() -> dict[str, str]:
    try:
        return json.loads(STAMP.read_text())
    except (FileNotFoundError, ValueError):
        return {}


def step(title: str, command: list, must_succeed: bool = True) -> None:
    """Run the command, show its title and its seconds, and keep what it says in the log."""
    VENV.mkdir(exist_ok=True)
    with LOG.open("ab") as log:
        log.write(f"\n== {title}\n".encode())
        log.flush()
        start = time.monotonic()
        process = subprocess.Popen(
            command, stdin=subprocess.DEVNULL, stdout=log, stderr=subprocess.STDOUT, env=ENVIRONMENT
        )
        try:
            show_until_done(title, process, start)
        except KeyboardInterrupt:
            print("interrupted", flush=True)
            process.wait()  # packages that go in must be done before services may start again
            raise
    if process.returncode and must_succeed:
        print("", *LOG.read_text(errors="replace").splitlines()[-15:], "", sep="\n", file=sys.stderr)
        fail(f"{title}: failed, see above; the whole log is {LOG}")


ENVIRONMENT = os.environ | {
    "DEBIAN_FRONTEND": "noninteractive",
    "PATH": f"{os.environ.get('PATH', '/usr/bin:/bin')}:/usr/sbin:/sbin",
}


def show_until_done(title: str, process: subprocess.Popen, start: float) -> None:
    print(f"{title} ... ", end="", flush=True)
    while process.poll() is None:
        with contextlib.suppress(subprocess.TimeoutExpired):
            process.wait(timeout=1)
        if sys.stdout.isatty():
            print(f"\r{title} ... {time.monotonic() - start:.0f} s", end="", flush=True)
    if sys.stdout.isatty():
        print(f"\r{title} ... ", end="")
    print(f"{time.monotonic() - start:.1f} s", flush=True)


def fail(sentence: str) -> None:
    sys.exit(f"set-up: {sentence}")


if __name__ == "__main__":
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    try:
        main(sys.argv[1:])
    except KeyboardInterrupt:
        fail("interrupted; the next run takes it up again")
