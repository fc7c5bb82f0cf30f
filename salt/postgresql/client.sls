# What the applications of this node connect with, readable by each application's own system user
include:
  - pgbouncer

postgresql.client configured:
  pg_client.configured:
    - root: {{ salt["config.get"]("pgpillar_root", "") | json }}
    - require:
      - pgbouncer: pgbouncer configured
