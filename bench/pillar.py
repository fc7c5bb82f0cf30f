"""How long ``pgpillar check`` and ``plan`` take where pillar is large. Writes docs/benchmarks/pillar.csv.

    python -m bench.pillar

Two environments, so many roles with minions of their own, and for each database an owner, a writer and their
passwords, in prod encrypted. No server is asked. What is told is processor time.
"""

from __future__ import annotations

import base64
import csv
import hashlib
import os
import resource
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterable, Sequence
from pathlib import Path

from bench.minion import REPO

SIZES = ((200, 1), (2000, 1), (2000, 40))  # databases, and roles whose applications use them
USERS = "secrets/postgresql-users"
RIGHT = REPO / "tests" / "corpus" / "right"
TABLE = REPO / "docs" / "benchmarks" / "pillar.csv"
COMMANDS = {"check": ["check"], "plan": ["plan", "--base", "main"]}
PGPILLAR = "from pgpillar_cli.main import main; main()"


def main() -> None:
    rows = [("databases", "roles", *(f"{name}, seconds" for name in COMMANDS))]
    for size, roles in SIZES:
        with tempfile.TemporaryDirectory(prefix="pgpillar-bench-") as directory:
            place = Path(directory)
            _grow(place, size, roles)
            rows.append((size, roles, *(f"{_seconds(place, command):.1f}" for command in COMMANDS.values())))
    with TABLE.open("w", newline="") as file:
        csv.writer(file, lineterminator="\n").writerows(rows)


def _grow(place: Path, size: int, roles: int) -> None:
    """A repo with so many databases and roles more than the right pillar of the tests, and an edit of one."""
    pillar = shutil.copytree(RIGHT, place / "pillar")
    server, names = pillar / "postgresql/server.sls", [f"{number:04}" for number in range(size)]
    databases = "".join(
        f"    db{name}: {{owner: own{name}, access: {{app{name}: write}}}}\n" for name in names
    )
    server.write_text(server.read_text().replace("  databases:\n", f"  databases:\n{databases}"))
    _add_users(pillar, "all", [f"own{name}" for name in names])
    for number in range(roles):
        _add_role(pillar, f"role{number:02}", [f"app{name}" for name in names[number::roles]])
    git = ["git", "-C", place, "-c", "user.name=bench", "-c", "user.email=bench@example.org"]
    for command in (["init", "-q", "-b", "main"], ["add", "."], ["commit", "-q", "-m", "The base"]):
        subprocess.run([*git, *command], check=True)
    server.write_text(server.read_text().replace("access: {app0001: write}", "access: {app0001: read}"))


def _add_role(pillar: Path, role: str, users: Sequence[str]) -> None:
    """A role with minions, and a secrets file of its own in both environments."""
    _add(pillar / "roles.yaml", [f"{role}-*: [{role}]\n"])
    for environment, renderer in (("dev", ""), ("prod", "#!yaml|gpg\n")):
        top = pillar / environment / "top.sls"
        given = f"{role}: [secrets.postgresql-users.{role}]\n# {{% endload %}}"
        top.write_text(top.read_text().replace("# {% endload %}", given))
        secrets = pillar / environment / USERS / f"{role}.sls"
        secrets.write_text(f"{renderer}postgresql:\n  users:\n")
    _add_users(pillar, role, users)


def _add_users(pillar: Path, file: str, users: Sequence[str]) -> None:
    """Users in a secrets file that ends with others: in dev in the clear, in prod encrypted."""
    dev, prod = (pillar / environment / USERS / f"{file}.sls" for environment in ("dev", "prod"))
    _add(dev, (f"    {user}: {{password: {_text(user)}}}\n" for user in users))
    _add(prod, (f"    {user}:\n      password: |\n{_armor(user)}" for user in users))


def _add(file: Path, lines: Iterable[str]) -> None:
    file.write_text(file.read_text() + "".join(lines))


def _text(name: str) -> str:
    return hashlib.sha256(name.encode()).hexdigest()


def _armor(name: str) -> str:
    """What has the shape of an encrypted message, and is none."""
    digest = hashlib.sha512(name.encode()).digest()
    body = base64.encodebytes(b"\x84\x40" + digest + b"\xd2\x40" + digest).decode()
    lines = ["-----BEGIN PGP MESSAGE-----", "", *body.splitlines(), "-----END PGP MESSAGE-----"]
    return "".join(f"        {line}\n" if line else "\n" for line in lines)


def _seconds(place: Path, command: list[str]) -> float:
    path = os.pathsep.join(str(REPO / name) for name in ("_utils", "cli"))
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    run = [sys.executable, "-c", PGPILLAR, "-C", place, *command]
    subprocess.run(run, env=os.environ | {"PYTHONPATH": path}, stdout=subprocess.DEVNULL)
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    return after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime


if __name__ == "__main__":
    main()
