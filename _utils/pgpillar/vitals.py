"""What a running server says of itself, of those that follow it, and of whom it follows."""

from __future__ import annotations

from contextlib import closing

import psycopg2
from psycopg2.extras import RealDictCursor

from pgpillar.connect import ClusterError, Gateway, explained

SERVER = """
select case when pg_is_in_recovery() then 'replica' else 'primary' end as role,
       current_setting('server_version') as version,
       (select system_identifier::text from pg_control_system()) as system,
       case when pg_is_in_recovery()
            then coalesce((select received_tli from pg_stat_wal_receiver),
                          (select timeline_id from pg_control_checkpoint()))
            else ('x' || substr(pg_walfile_name(pg_current_wal_lsn()), 1, 8))::bit(32)::int
       end as timeline,
       case when pg_is_in_recovery() then pg_last_wal_replay_lsn() else pg_current_wal_lsn() end::text as lsn
"""
# A replica that has applied all it received is behind by no time, however long nobody has written anything
FOLLOWING = """
select coalesce(status, 'not connected') as state, sender_host as primary_host, sender_port as primary_port,
       slot_name as slot,
       case when pg_last_wal_receive_lsn() = pg_last_wal_replay_lsn() and status = 'streaming' then 0
            else extract(epoch from now() - pg_last_xact_replay_timestamp()) end::float8 as lag_seconds
from (select) as one left join pg_stat_wal_receiver on true
"""
REPLICAS = """
select application_name as name, host(client_addr) as address, state, sync_state,
       pg_wal_lsn_diff(pg_current_wal_lsn(), replay_lsn)::bigint as lag_bytes,
       coalesce(extract(epoch from replay_lag), 0)::float8 as lag_seconds
from pg_stat_replication order by application_name, client_addr
"""
SLOTS = """
select slot_name as name, active, wal_status,
       pg_wal_lsn_diff(pg_current_wal_lsn(), restart_lsn)::bigint as kept_bytes
from pg_replication_slots order by slot_name
"""


def of(gateway: Gateway) -> dict[str, object]:
    """Its role, timeline and place in the log; a primary's replicas and slots; what a replica follows."""
    with closing(gateway.open()) as connection, connection.cursor(cursor_factory=RealDictCursor) as cursor:

        def ask(query: str) -> list[dict]:
            cursor.execute(query)
            return [dict(row) for row in cursor.fetchall()]

        try:
            (server,) = ask(SERVER)
            if server["role"] == "replica":
                return {**server, "following": ask(FOLLOWING)[0]}
            return {**server, "replicas": ask(REPLICAS), "slots": ask(SLOTS)}
        except psycopg2.Error as error:
            raise ClusterError(f"cannot ask {gateway.endpoint.host}: {explained(error)}") from None
