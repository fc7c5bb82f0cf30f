"""Programs of other releases of Debian, beside this machine's own: each runs on libraries of its own.

A release has one pgbouncer, and one PostgreSQL's clients. Those of another are fetched by apt, which checks
them as ever, and kept outside of the checkout; nothing of them is installed.
"""

import platform
import subprocess
import tempfile
from pathlib import Path

from devtools import box, embedded
from devtools.embedded import Failed

SUITES = {**box.SUITES, "14": "forky"}  # 14 is Debian's next, and its packages change until it is out
KEYRING = "/usr/share/keyrings/debian-archive-keyring.gpg"

PACKAGES = {
    "pgbouncer": ["usr/sbin/pgbouncer"],
    "postgresql-client-18": [f"usr/lib/postgresql/18/bin/{name}" for name in ("pg_dump", "pg_restore")],
}  # what is run of each

# Linux names a process after the file that it was started from, which here is the loader
RUN = """\
#!/bin/sh
exec {loader} --library-path {libraries} --argv0 "$0" {program} "$@"
"""


def others(*more):
    """The releases that pgpillar is for, and these, but the one that is installed here."""
    return sorted({*box.SUITES, *more} - {platform.freedesktop_os_release().get("VERSION_ID")})


def fetched(debian, package):
    """Return the directory that stands for /: there the package's programs are where a release has them."""
    place = embedded.cache("debian") / f"{debian}-{package}"
    if not place.exists():
        embedded.open_to_all(place.parent)
        with tempfile.TemporaryDirectory(dir=place.parent, prefix=".fetch-") as private:
            _download(SUITES[debian], package, Path(private))
            _install(package, Path(private), place)
    return place / "programs"


def _download(suite, package, private):
    """Have apt bring the package with all that it needs, as if nothing were installed here."""
    run(*apt(suite, private), "install", "--download-only", "--no-install-recommends", package)


def apt(suite, private, kinds=("deb",)):
    """Return an apt-get that knows the suite alone, and keeps all that it has in ``private``."""
    (private / "status").touch()
    for name in ("lists/partial", "cache/archives/partial"):
        (private / name).mkdir(parents=True)
    sources = [f"{kind} [signed-by={KEYRING}] {_mirror()} {suite} main\n" for kind in kinds]
    (private / "sources.list").write_text("".join(sources))
    own = {
        "Dir::Etc::SourceList": private / "sources.list",
        "Dir::Etc::SourceParts": "/dev/null",
        "Dir::State::Lists": private / "lists",
        "Dir::State::status": private / "status",
        "Dir::Cache": private / "cache",
        "APT::Sandbox::User": "root",
    }
    command = ["apt-get", "-q", "-y", *(f"--option={name}={value}" for name, value in own.items())]
    run(*command, "update")
    return command


def _mirror():
    """Where this machine's own apt finds Debian."""
    if not box.debian_mirrors():
        run("apt-get", "-q", "update")
    if not (mirrors := box.debian_mirrors()):
        raise Failed("this machine's apt knows no mirror of Debian")
    return mirrors[0]


def _install(package, private, place):
    """Unpack what was downloaded, and put it in place in one step."""
    built = private / "built"
    built.mkdir(mode=0o755)
    for archive in (private / "cache/archives").glob("*.deb"):
        run("dpkg", "--extract", archive, built / "root")
    (loader,) = (path for path in built.glob("root/**/ld-linux-*.so.*") if not path.is_symlink())
    for path in PACKAGES[package]:
        _write_program(path, built, place, loader.relative_to(built))
    try:
        built.rename(place)
    except OSError:  # another process was first
        if not place.exists():
            raise


def _write_program(path, built, place, loader):
    script, link = built / "programs" / path, built / "loaders" / Path(path).name
    for file in (script, link):
        file.parent.mkdir(parents=True, exist_ok=True)
    link.symlink_to(place / loader)
    libraries = {place / loader.parent, place / "root/usr/lib" / loader.parent.name}
    script.write_text(
        RUN.format(
            loader=place / link.relative_to(built),
            libraries=":".join(map(str, sorted(libraries))),
            program=place / "root" / path,
        )
    )
    script.chmod(0o755)


def run(*command, **options):
    """Run a program of Debian's; the exception holds what the program printed."""
    try:
        done = subprocess.run(command, **options, capture_output=True, text=True)
    except FileNotFoundError:
        raise Failed(f"there is no {command[0]} here, which fetches programs of Debian's") from None
    if done.returncode:
        raise Failed(f"{command[0]} failed: {_reason(done.stderr or done.stdout)}")


def _reason(output):
    """Return all errors of apt (the last does not say what is missing), or another program's last line."""
    lines = output.strip().splitlines()
    return "; ".join([line[3:] for line in lines if line.startswith("E: ")] or lines[-1:])
