"""The demo's pillar: copied from demo/seed where it is not there yet, and from then on a person's to edit."""

import json
import os
import secrets
import shutil
from pathlib import Path

from devtools import tls

SEED = Path(__file__).parent / "seed"
WHERE = "postgresql/clusters.sls"
ADMIN_SECRET = "secrets/postgresql-admin.sls"
USER_SECRETS = "secrets/postgresql-users.sls"
APPLICATION_SECRETS = "secrets/postgresql-applications.sls"
USERS = {
    USER_SECRETS: ("only the minion that administers the cluster sees this", ("wiki", "shop", "analyst")),
    APPLICATION_SECRETS: ("the app nodes see this as well", ("shop_app",)),
}

CLUSTERS = """\
# Written by the demo when it makes its server or has to move it to another port.
postgresql:
  clusters:
    main:
      host: 127.0.0.1  # what the certificate is verified against
      port: {port}
      ca_file: {ca}
      dumps: {dumps}
"""
ADMIN = """\
# Written by the demo: the password that its server was made with.
postgresql:
  clusters:
    main:
      admin: {{user: postgres, password: {password}}}
"""
PASSWORDS = """\
# Made of random bytes by the demo. A new user needs a line in such a file; {readers}.
postgresql:
  users:
{lines}"""


def seed(place):
    """Copy what is missing as a whole: the pillar, its secrets, the states beside the repo's own."""
    for tree in ("pillar", "salt"):
        if not Path(place, tree).exists():
            _copy(SEED / tree, Path(place, tree))
    for name, (readers, users) in USERS.items():
        lines = "".join(f"    {user}: {{password: {secrets.token_urlsafe(18)}}}\n" for user in users)
        _keep(place, name, PASSWORDS.format(readers=readers, lines=lines))


def _copy(source, target):
    """Nothing half copied is ever found under the final name."""
    shutil.rmtree(f"{target}.new", ignore_errors=True)
    shutil.copytree(source, f"{target}.new")
    os.rename(f"{target}.new", target)


def forget_server(place):
    """Take out what pillar says of a server that is about to be another one."""
    for name in (WHERE, ADMIN_SECRET):
        Path(place, "pillar", name).unlink(missing_ok=True)


def tell_of(place, server):
    """Say in pillar where the server is, unless that is said already: what a person made of it stays."""
    ca, dumps = json.dumps(str(server.ca)), json.dumps(f"{place}/dumps")
    _keep(place, WHERE, CLUSTERS.format(port=server.port, ca=ca, dumps=dumps))
    _keep(place, ADMIN_SECRET, ADMIN.format(password=json.dumps(server.password)))


def _keep(place, name, text):
    path = Path(place, "pillar", name)
    if not path.exists():
        path.parent.mkdir(mode=0o700, exist_ok=True)
        tls.write(path, text.encode(), 0o600)
