"""A directory in the place of one of the machine's, seen by this thread and what it starts alone."""

import ctypes
import os
import subprocess
from contextlib import contextmanager

CLONE_NEWNS = 0x20000  # of unshare(2): a mount namespace of one's own


@contextmanager
def laid_over(place, directory):
    """``directory`` with all that ``place`` holds, seen there for as long as the block lasts."""
    subprocess.run(["cp", "--archive", f"{place}/.", directory], check=True)
    with seen_at(place, directory):
        yield


@contextmanager
def seen_at(place, directory):
    """``directory`` as it is, seen at ``place`` for as long as the block lasts."""
    home, root, here = os.open("/proc/thread-self/ns/mnt", 0), os.open("/", 0), os.getcwd()
    _call("unshare", CLONE_NEWNS)
    try:
        # In a chroot, / is no mount that could be told apart from the machine's
        subprocess.run(["mount", "--make-rprivate", "/"], check=False, capture_output=True)
        subprocess.run(["mount", "--bind", directory, place], check=True)
        yield
        subprocess.run(["umount", "--lazy", place], check=True)
    finally:
        _call("setns", home, CLONE_NEWNS)
        os.fchdir(root)
        os.chroot(".")  # to come back is to come to the machine's root, also from a chroot
        os.chdir(here)
        os.close(home)
        os.close(root)


def _call(name, *arguments):
    if getattr(ctypes.CDLL(None, use_errno=True), name)(*arguments):
        raise OSError(ctypes.get_errno(), os.strerror(ctypes.get_errno()), name)
