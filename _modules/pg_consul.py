"""
What this PostgreSQL server is to Consul
========================================

The server is registered with the local agent twice: as the primary and as a replica of its cluster. Of the
two the agent's check lets pass what the server says it is, so that a promotion shows within seconds.
"""

from contextlib import contextmanager

from salt.exceptions import CommandExecutionError

import pgpillar

pgpillar.make_way_for_new_code()

from pgpillar import consul, pillar  # noqa: E402
from pgpillar.model import told_as  # noqa: E402

__virtualname__ = "pg_consul"

CHECK = "http://127.0.0.1:8432"  # where pgpillar-role.socket listens


def __virtual__():
    return __virtualname__


def services(cluster=None):
    """
    The servers that Consul knows for a cluster, in either role, and whether each passes its check.

    cluster
        Its name in pillar; the one that this minion is a server of, if left out.

    CLI Example:

    .. code-block:: bash

        salt postgresql-primary pg_consul.services
    """
    with _agent(cluster) as agent:
        return [one._asdict() for one in agent.services()]


def plan(cluster=None, address="", check=CHECK):
    """
    Which of the two services the agent does not have as ``register`` would have it.

    CLI Example:

    .. code-block:: bash

        salt postgresql-primary pg_consul.plan
    """
    with _agent(cluster) as agent:
        return agent.faults(_definitions(agent, address, check))


def port(cluster=None):
    """
    The port of this server.

    CLI Example:

    .. code-block:: bash

        salt postgresql-primary pg_consul.port
    """
    with _agent(cluster) as agent:
        return agent.endpoint.port


def register(cluster=None, address="", check=CHECK):
    """
    Tell the local agent of this server.

    cluster
        Its name in pillar; the one that this minion is the server of, if left out.

    address
        The address to dial; that of the agent, if left out.

    check
        The URL that says what the server is; the state ``postgresql.consul`` sees to one.

    CLI Example:

    .. code-block:: bash

        salt postgresql-primary pg_consul.register
    """
    with _agent(cluster) as agent:
        agent.register(_definitions(agent, address, check))
    return True


def known(cluster=None):
    """
    Which of its two services the local agent knows.

    CLI Example:

    .. code-block:: bash

        salt postgresql-primary pg_consul.known
    """
    with _agent(cluster) as agent:
        return agent.known(consul.ids(agent.about.service))


def deregister(cluster=None):
    """
    Have the local agent forget this server.

    CLI Example:

    .. code-block:: bash

        salt postgresql-primary pg_consul.deregister
    """
    with _agent(cluster) as agent:
        agent.deregister(agent.known(consul.ids(agent.about.service)))
    return True


def _definitions(agent, address, check):
    itself = consul.Itself(agent.cluster, __grains__["id"], agent.endpoint.port, address, check)
    return consul.definitions(agent.about.service, itself)


@contextmanager
def _agent(cluster):
    with told_as(CommandExecutionError):
        name, endpoint = pillar.one_cluster(__pillar__.get("postgresql", {}), cluster)
        yield consul.Agent(name, endpoint, __salt__["http.query"])
