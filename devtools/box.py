"""Build the box that the hosts are made from under LXC: a small Debian that boots, with Salt as it is pinned.

    python -m devtools.box [12 | 13]

It is built once for each recipe, kept outside of the checkout, and given to Vagrant as pgpillar/debian-13.
"""

import argparse
import glob
import hashlib
import io
import json
import os
import shutil
import subprocess
import tarfile
import tempfile
from pathlib import Path

from devtools.set_up import step

ROOT = Path(__file__).resolve().parent.parent
PROVISION = ROOT / "devtools" / "provision"
PINS = ROOT / "requirements" / "runtime.txt"
PARTS = ("box.sh", "salt.sh", "lxc-template")
CACHE = Path("/var/cache/pgpillar/boxes")
CONTAINERS = Path("/var/lib/lxc")
SUITES = {"12": "bookworm", "13": "trixie"}
PACKAGES = (
    "ca-certificates", "dbus", "iproute2", "iptables", "openssh-server", "procps", "python3", "python3-venv",
    "sudo", "systemd", "systemd-sysv",
)  # fmt: skip
VAGRANT_KEYS = "/usr/share/rubygems-integration/all/gems/vagrant-*/keys/vagrant.pub"
BRIDGE = "10.0.3.1"  # where lxc-net answers DNS
SYSTEM_CAS = "/etc/ssl/certs/ca-certificates.crt"

LXC = """\
lxc.arch = linux64
lxc.include = /usr/share/lxc/config/common.conf
lxc.environment = SYSTEMD_CGROUP_ENABLE_LEGACY_FORCE=1
lxc.mount.auto = proc:mixed sys:ro cgroup:mixed
lxc.apparmor.profile = unconfined
lxc.net.0.type = veth
lxc.net.0.link = lxcbr0
lxc.net.0.flags = up
"""


def main(arguments: list[str] | None = None) -> None:
    parser = argparse.ArgumentParser(prog="python -m devtools.box", description=__doc__.partition("\n")[0])
    parser.add_argument("debian", nargs="?", choices=SUITES, default="13")
    give_to_vagrant(parser.parse_args(arguments).debian)


def give_to_vagrant(debian: str) -> None:
    """See that Vagrant has the box of this recipe, and that its root is there too: a cache may be emptied."""
    recipe = fingerprint(debian)
    place = CACHE / f"debian-{debian}-{recipe}"
    if not place.exists():
        build(debian, recipe, place)
    add = ["vagrant", "box", "add", "--force", "--provider", "lxc", "--name", name(debian), place / "box"]
    if known(debian) != recipe:
        step("giving it to Vagrant", add)


def name(debian: str) -> str:
    return f"pgpillar/debian-{debian}"


def known(debian: str) -> str | None:
    """The recipe of the box that Vagrant has."""
    home = Path(os.environ.get("VAGRANT_HOME") or Path.home() / ".vagrant.d")
    recipe = home / "boxes" / name(debian).replace("/", "-VAGRANTSLASH-") / "0" / "lxc" / "recipe"
    return recipe.read_text() if recipe.exists() else None


def fingerprint(debian: str) -> str:
    """What makes a box another one."""
    parts = [Path(__file__), *(PROVISION / name for name in PARTS), PINS, authorities()]
    digest = hashlib.sha256(debian.encode())
    for part in parts:
        digest.update(part.read_bytes())
    return digest.hexdigest()[:20]


def authorities() -> Path:
    """The CAs that this machine trusts: a host meets the same registries by the same way."""
    return Path(os.environ.get("SSL_CERT_FILE") or os.environ.get("PIP_CERT") or SYSTEM_CAS)


def build(debian: str, recipe: str, place: Path) -> None:
    """Make a root, which every container of it has below its own, and the box that tells Vagrant of it."""
    CACHE.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=CACHE, prefix=".build-", ignore_cleanup_errors=True) as private:
        root = Path(private, "rootfs")
        debootstrap(SUITES[debian], root)
        furnish(root)
        wrap(Path(private), place, recipe)
        Path(private).rename(place)
    if not any(CONTAINERS.glob("pgpillar-*")):  # or it may be below one of them
        for older in set(CACHE.glob(f"debian-{debian}-*")) - {place}:
            shutil.rmtree(older)


def debootstrap(suite: str, root: Path) -> None:
    mirrors = debian_mirrors()
    include = f"--include={','.join(PACKAGES)}"
    command = ["debootstrap", "--variant=minbase", include, suite, root, *mirrors[:1]]
    step(f"unpacking Debian's {suite}", command)
    suites = (suite, f"{suite}-updates"), (f"{suite}-security",)
    lines = [f"deb {mirror} {one} main\n" for mirror, of in zip(mirrors, suites, strict=False) for one in of]
    if lines:
        (root / "etc/apt/sources.list").write_text("".join(lines))


def debian_mirrors() -> list[str]:
    """Where this machine's own apt finds Debian, and its security updates."""
    command = ["apt-get", "indextargets", "--format", "$(LABEL) $(REPO_URI)", "Created-By: Packages"]
    told = subprocess.run(command, capture_output=True, text=True, check=True).stdout
    found = dict(reversed([line.split(" ", 1) for line in told.splitlines()]))
    return [found[label] for label in ("Debian", "Debian-Security") if label in found]


def furnish(root: Path) -> None:
    """What the packages do not bring: trust, Salt, and what Vagrant wants."""
    shutil.copy(authorities(), root / SYSTEM_CAS.lstrip("/"))
    (root / "etc/pip.conf").write_text(f"[global]\ncert = {SYSTEM_CAS}\n")
    shutil.copy("/etc/resolv.conf", root / "etc/resolv.conf")
    brought = shutil.copytree(PROVISION, root / "tmp/provision")
    for file in (PINS, *glob.glob(VAGRANT_KEYS)):
        shutil.copy(file, brought)
    inside(root, "preparing it for Vagrant", "box.sh", "vagrant.pub")
    inside(root, "installing Salt in it", "salt.sh", PINS.name)
    shutil.rmtree(brought)
    (root / "etc/resolv.conf").write_text(f"nameserver {BRIDGE}\n")
    for package in (root / "var/cache/apt/archives").glob("*.deb"):
        package.unlink()


def inside(root: Path, title: str, script: str, argument: str) -> None:
    """Run one of the scripts in the root. It gets none of this machine's settings."""
    clean = ["env", "-i", "HOME=/root", "LANG=C.UTF-8", "PATH=/usr/sbin:/usr/bin:/sbin:/bin"]
    enter = ["unshare", "--mount", "sh", "-ec", 'mount -t proc proc "$0/proc"; exec chroot "$0" "$@"', root]
    step(title, [*clean, *enter, "sh", "-c", f"cd /tmp/provision && ./{script} {argument}"])


def wrap(private: Path, place: Path, recipe: str) -> None:
    """A box is a tar of what it is and how a container is made of it; the root itself stays where it is."""
    private.chmod(0o755)
    files = {
        "metadata.json": json.dumps({"provider": "lxc", "version": "1.0.0"}),
        "lxc-config": LXC,
        "lxc-template": (PROVISION / "lxc-template").read_text(),
        "root": str(place / "rootfs"),
        "recipe": recipe,
        "rootfs.tar.gz": "",  # vagrant-lxc wants to see one
    }
    with tarfile.open(private / "box", "w") as bundle:
        for name, text in files.items():
            about = tarfile.TarInfo(name)
            about.size, about.mode = len(text.encode()), 0o755
            bundle.addfile(about, io.BytesIO(text.encode()))


if __name__ == "__main__":
    main()
