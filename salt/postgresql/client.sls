# What the applications of this node connect with, readable by each application's own system user
include:
  - pgbouncer

{% set root = salt["config.get"]("pgpillar_root", "") %}

{% if not root %}
postgresql.client installed:
  pkg.installed:
    - name: postgresql-client
{% endif %}

postgresql.client configured:
  pg_client.configured:
    - root: {{ root | json }}
    - require:
      - pgbouncer: pgbouncer configured
