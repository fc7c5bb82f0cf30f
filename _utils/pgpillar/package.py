"""What a package of the system put there."""

from __future__ import annotations

import subprocess
from hashlib import md5
from pathlib import Path


def is_untouched(package: str, file: Path) -> bool:
    """Whether a file of settings is there as its package brought it, by the sum that dpkg keeps of it."""
    if not file.exists():
        return False
    ask = ["dpkg-query", "--show", "--showformat=${Conffiles}", package]
    told = subprocess.run(ask, capture_output=True, text=True, check=False).stdout
    return f"/{file.name} {md5(file.read_bytes(), usedforsecurity=False).hexdigest()}" in told
