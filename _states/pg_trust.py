"""
Whom this node trusts
=====================

.. code-block:: yaml

    the CAs of our clusters:
      pg_trust.configured: []
"""

from salt.exceptions import CommandExecutionError

__virtualname__ = "pg_trust"


def __virtual__():
    return __virtualname__


def configured(name, root=""):
    """
    Keep the ``ca_file`` of each cluster that has a ``ca_server`` as that says in the Salt mine.

    Where it has said nothing, the file stays as it is, with a warning; where there is no file either, it
    fails.

    root
        A directory that stands for /, in tests.
    """
    ret = {"name": name, "changes": {}, "result": True, "comment": "every CA file is as its CA says"}
    try:
        if missing := __salt__["pg_trust.missing"](root):
            return {**ret, "result": False, "comment": f"{', '.join(missing)}: {_unheard(root)}"}
        ret["changes"] = __salt__["pg_trust.plan"](root)
        if ret["changes"] and __opts__["test"]:
            return {**ret, "result": None, "comment": "CA files would be as their CAs say"}
        if ret["changes"]:
            __salt__["pg_trust.configure"](root)
            ret["comment"] = "every CA file is now as its CA says"
        left = __salt__["pg_trust.plan"](root)
    except CommandExecutionError as error:
        return {**ret, "changes": {}, "result": False, "comment": str(error)}
    if left:
        return {**ret, "result": False, "comment": f"CA files are not as asked after the change: {left}"}
    return {**ret, "warnings": [_unheard(root)]} if __salt__["pg_trust.unheard"](root) else ret


def _unheard(root):
    silent = ", ".join(__salt__["pg_trust.unheard"](root))
    return f"{silent} has not announced its CA: apply tls.ca there, then mine.update"
