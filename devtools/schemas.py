"""Schemas that others wrote, for the tests to converge: PostgreSQL's own and those of applications.

They are fetched by the person who runs the tests, into a cache outside of the checkout.
"""

import re
import subprocess
import sys
import tempfile
from pathlib import Path

from devtools import debian, embedded
from devtools.embedded import Failed

SUITES = {15: "bookworm", 17: "trixie"}  # whose source package holds this major version
MODULES = ("src/test/regress/regress.c", "contrib/spi/refint.c", "contrib/spi/autoinc.c")


def regression_tests(major):
    """Return a directory with the SQL of PostgreSQL's regression tests, and their modules compiled in lib."""
    if major not in SUITES:
        raise Failed(f"no Debian has the sources of PostgreSQL {major}; choose one of {sorted(SUITES)}")
    return _fetched(f"regression-{major}", lambda built: _unpack_regression_tests(major, built))


def _unpack_regression_tests(major, built):
    sources, headers = _download_sources(major, built.parent)
    wanted = ["--wildcards", "*/src/test/regress", "*/contrib/spi"]
    debian.run("tar", "-xjf", sources, "-C", built, "--strip-components=1", "--no-same-owner", *wanted)
    debian.run("dpkg", "--extract", headers, built / "headers")
    (built / "lib").mkdir()
    for module in MODULES:
        _compile(built / module, built / f"headers/usr/include/postgresql/{major}/server", built / "lib")


def _download_sources(major, private):
    """Have apt bring PostgreSQL's sources and the headers of its server, and return both files."""
    apt = debian.apt(SUITES[major], private, ["deb", "deb-src"])
    debian.run(*apt, "source", "--download-only", f"postgresql-{major}", cwd=private)
    debian.run(*apt, "download", f"postgresql-server-dev-{major}", cwd=private)
    return next(private.glob("*.orig.tar.bz2")), next(private.glob("*.deb"))


def _compile(source, headers, directory):
    module = directory / f"{source.stem}.so"
    debian.run("gcc", "-shared", "-fPIC", f"-I{headers}", "-o", module, source)


def installed(install, packages):
    """Return a directory with these packages, installed by ``install``: ``python`` or ``node``."""
    name = re.sub("[^a-z0-9.-]+", "-", "+".join(packages))
    return _fetched(name, lambda built: install(packages, built))


def python(packages, built):
    """Install packages of PyPI's: run them as ``bin/python -m``, for scripts do not follow when it moves."""
    _run(sys.executable, "-m", "venv", built)
    _run(built / "bin/python", "-m", "pip", "install", "--quiet", "--no-cache-dir", *packages)


def node(packages, built):
    """Install packages of npm's, and Node.js where this machine has none."""
    options = [
        "--silent",
        "--no-audit",
        "--no-fund",
        "--ignore-scripts",
        "--cache",
        built.parent / "npm-cache",
    ]
    command = [*embedded.npm(built), "install", *options, *packages]
    _run(*command, cwd=built, env=embedded.npm_environment(built.parent))


def _fetched(name, make):
    """Return the place of this name in the cache, made whole in one step where it is missing."""
    place = embedded.cache("schemas") / name
    if not place.exists():
        embedded.open_to_all(place.parent)
        with tempfile.TemporaryDirectory(dir=place.parent, prefix=".fetch-") as private:
            built = Path(private) / "built"
            built.mkdir(mode=0o755)
            make(built)
            _put(built, place)
    return place


def _put(built, place):
    try:
        built.rename(place)
    except OSError:  # another process was first
        if not place.exists():
            raise


def _run(*command, **options):
    done = subprocess.run(command, check=False, capture_output=True, text=True, **options)
    if done.returncode:
        raise Failed(f"{Path(command[0]).name} failed: {(done.stdout + done.stderr).strip()[-2000:]}")
