"""Check that no file names a package registry's host or a path of the machine it was written on.

    git ls-files | python3 devtools/check_names.py

What is installed comes from wherever the user's own pip, apt and npm are told to look.
"""

import re
import sys
from collections.abc import Iterator
from pathlib import Path

FORBIDDEN = {
    "names a registry's host": re.compile(
        r"\b(?:pypi|pythonhosted|npmjs)\.(?:org|com)\b|\b(?:deb|security|snapshot)\.debian\.org\b"
    ),
    "chooses a registry": re.compile(r"--(?:extra-)?(?:index-url|find-links)\b(?!$)[= ]|--registry[= ]"),
    "names a path of one machine": re.compile(r"(?<![\w.*}<>$-])/(?:root|work|opt/wheels|home/[a-z]+/src)/"),
}


def main(paths: list[str]) -> None:
    files = [Path(path) for path in paths if not Path(path).is_symlink() and Path(path).is_file()]
    sys.exit("\n".join(fault for path in files for fault in check(path)) or 0)


def check(path: Path) -> Iterator[str]:
    """Yield one line for each place in the file that names what it must not."""
    for number, line in enumerate(path.read_text(errors="replace").splitlines(), start=1):
        for fault, pattern in FORBIDDEN.items():
            if pattern.search(line):
                yield f"{path}:{number}: {fault}: {line.strip()}"


if __name__ == "__main__":
    main(sys.stdin.read().splitlines())
