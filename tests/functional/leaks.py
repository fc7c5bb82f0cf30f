"""What a leak looks like, and where to look for it."""

import base64
import hashlib
import json
import os
import stat
import subprocess
import threading
import urllib.parse
from contextlib import suppress
from pathlib import Path

from pgpillar.scram import _VERIFIER

# Settings of a server that says all it can
LOUD = {
    "log_statement": "all",
    "log_min_duration_statement": "0",
    "log_min_error_statement": "debug5",
    "log_connections": "on",
    "log_lock_waits": "on",
    "deadlock_timeout": "100ms",
    "shared_preload_libraries": "pg_stat_statements",
    "max_prepared_transactions": "1",
}


def forms(secret):
    """The shapes in which a secret's bytes might turn up."""
    raw = secret.encode()
    shapes = [
        secret,
        json.dumps(secret)[1:-1],
        json.dumps(secret, ensure_ascii=False)[1:-1],
        repr(secret)[1:-1],
    ]
    shapes += [secret.replace("'", "''"), secret.replace("\\", "\\\\").replace("'", "''")]
    shapes += [urllib.parse.quote(secret, safe=""), urllib.parse.quote_plus(secret), raw.hex()]
    shapes += [base64.b64encode(raw).decode().rstrip("="), base64.urlsafe_b64encode(raw).decode().rstrip("=")]
    shapes += [hashlib.md5(raw + user.encode()).hexdigest() for user in ("shop", "app", "chief")]
    return {shape.encode() for shape in shapes}


def parts(verifier):
    """The parts of a verifier that let somebody guess, or pretend to be the server."""
    _, _, stored, server = _VERIFIER.match(verifier).groups()
    return {stored.encode(), server.encode()}


ANY_VERIFIER = b"SCRAM-SHA-256$4096:"


def found(needles, places):
    """Where any needle is: the places, each with what it holds."""
    return {place for place, content in places.items() if any(needle in content for needle in needles)}


class Sampler:
    """Reads every process's command line and environment, and the files that it is given, over and over."""

    def __init__(self, files):
        self.files, self.seen, self.stop = files, set(), threading.Event()

    def __enter__(self):
        self.thread = threading.Thread(target=self._watch)
        self.thread.start()
        return self

    def __exit__(self, *_):
        self.stop.set()
        self.thread.join()

    def _watch(self):
        while not self.stop.wait(0.02):
            for process in filter(str.isdigit, os.listdir("/proc")):
                self._read(f"/proc/{process}/cmdline")
                self._read(f"/proc/{process}/environ")
            with suppress(OSError):  # a directory went while it was listed
                for path in self.files():
                    self._read(path)

    def _read(self, path):
        with suppress(OSError):  # it is gone, or a directory
            self.seen.add(Path(path).read_bytes())


PLANTED = "pl4nted in a command line", "pl4nted in an environment", "pl4nted in a file"


def plant(file):
    """What a sampler must see; else it would see no leak either."""
    argument, variable, content = PLANTED
    file.write_text(content)
    subprocess.run(["sh", "-c", "sleep 0.3; true", argument], env={"PLANTED": variable}, check=True)
    file.unlink()


def is_open(path):
    """Whether anybody may read a file, or look into a directory, and get to it."""
    with suppress(OSError):  # it is gone
        wanted = stat.S_IXOTH if path.is_dir() else stat.S_IROTH
        return _allows(path, wanted) and all(_allows(place, stat.S_IXOTH) for place in path.parents)
    return False


def _allows(path, wanted):
    return bool(path.stat().st_mode & wanted)
