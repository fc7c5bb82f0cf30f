"""The pgbouncer of an app node whose / is a directory: for the demo and the benchmarks."""

import contextlib
import os
import pwd
import subprocess
from pathlib import Path

from devtools.embedded import Failed
from devtools.postgres import as_user, wait_for
from pgpillar import trial
from pgpillar.bouncer import BouncerError, Console
from pgpillar.paths import Paths

USER = "postgres"  # whom the states have it run as
PORT = 6432


class Bouncer:
    """It reads what the states wrote below ``root``. Whoever starts it need not stay to keep it running."""

    def __init__(self, root):
        self.paths = Paths(str(root))
        self.console = Console(self.paths.sockets, PORT, USER)

    @property
    def account(self):
        """As whom it runs; without root's rights, as whoever starts it."""
        return pwd.getpwuid(os.geteuid()) if os.geteuid() else pwd.getpwnam(USER)

    @property
    def running(self):
        """Whether it answers."""
        return self.console.is_up

    def make_room(self):
        """Make the directories that a system has before pgpillar comes to it."""
        for directory in (Path(self.paths.sockets), Path(self.paths.log).parent):
            directory.mkdir(parents=True, exist_ok=True)
            os.chown(directory, self.account.pw_uid, self.account.pw_gid)
        Path(self.paths.certs).mkdir(parents=True, exist_ok=True)

    def start(self):
        """Start it and wait until it answers."""
        # One that was killed leaves its number behind, which may be another process's by now
        Path(self.paths.pid).unlink(missing_ok=True)
        command = [trial.PROGRAM, "-d", "-q", f"{self.paths.pgbouncer}/pgbouncer.ini"]
        done = subprocess.run(
            command, cwd="/", env={}, stdin=subprocess.DEVNULL, capture_output=True, text=True, check=False,
            **as_user(self.account),
        )  # fmt: skip
        if done.returncode:
            raise Failed(f"pgbouncer does not start:\n{done.stderr}")
        wait_for(lambda: self.running, f"pgbouncer does not come up; see {self.paths.log}")

    def stop(self):
        """End it, if it runs, and wait until it is gone."""
        with contextlib.suppress(BouncerError):  # it closes the very connection that asks for it
            self.console.ask("SHUTDOWN")
        wait_for(lambda: not self.running, "pgbouncer does not end")
