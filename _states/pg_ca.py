"""
The certificate authorities of one's own
========================================

.. code-block:: yaml

    who signs, and who is trusted:
      pg_ca.configured: []
"""

from salt.exceptions import CommandExecutionError

__virtualname__ = "pg_ca"


def __virtual__():
    return __virtualname__


def configured(name, root=""):
    """
    Let the first of ``postgresql:authorities`` sign, and have all of them trusted.

    None signs that some node does not trust yet, and none is trusted no more that a server still has its
    certificate from: the state fails then, and says which nodes are to have a highstate first.

    root
        A directory that stands for /, in tests.
    """
    ret = {"name": name, "changes": {}, "result": True, "comment": "the authorities are as pillar wants them"}
    try:
        ret["changes"] = __salt__["pg_ca.plan"](root)
        if not ret["changes"]:
            return ret
        if __opts__["test"]:
            return {**ret, "result": None, "comment": "the authorities would be as pillar wants them"}
        __salt__["pg_ca.configure"](root)
        left = __salt__["pg_ca.plan"](root)
    except CommandExecutionError as error:
        return {**ret, "changes": {}, "result": False, "comment": str(error)}
    if left:
        return {**ret, "result": False, "comment": f"they are not as asked after the change: {left}"}
    return {**ret, "comment": "the authorities are now as pillar wants them"}
