"""A process that acts as another system user, as an application that was taken over would."""

import os
import pwd
import signal
import traceback
from contextlib import contextmanager

DONE, REFUSED, BROKEN = 0, 3, 4


def do(user, attack, *arguments):
    """Run an attack as a system user, to its end; whether the system let it."""
    _, status = os.waitpid(_started(user, lambda: attack(*arguments)), 0)
    assert os.waitstatus_to_exitcode(status) in (DONE, REFUSED), "the attack itself is broken"
    return os.waitstatus_to_exitcode(status) == DONE


@contextmanager
def doing(user, attack, *arguments):
    """An attack that goes on, again and again, for as long as the block lasts."""

    def again(tell):
        attack(*arguments)
        tell()
        while True:
            attack(*arguments)

    with _at_work(user, again):
        yield


@contextmanager
def holding(user, attack, *arguments):
    """An attack that takes hold of something, for as long as the block lasts."""

    def hold(tell):
        with contextmanager(attack)(*arguments):
            tell()
            signal.pause()

    with _at_work(user, hold):
        yield


@contextmanager
def _at_work(user, act):
    reading, writing = os.pipe()
    process = _started(user, lambda: act(lambda: os.write(writing, b".")))
    os.close(writing)
    try:
        assert os.read(reading, 1), "the attack itself is broken, or was refused"
        yield
    finally:
        os.close(reading)
        os.kill(process, signal.SIGKILL)
        os.waitpid(process, 0)


def _started(user, act):
    process = os.fork()
    if not process:
        os._exit(_ended(user, act))
    return process


def _ended(user, act):
    account = pwd.getpwnam(user)
    try:
        os.setgroups([])
        os.setgid(account.pw_gid)
        os.setuid(account.pw_uid)
        os.chdir("/")
        act()
    except PermissionError:
        return REFUSED
    except BaseException:
        traceback.print_exc()
        return BROKEN
    return DONE
