# pgbouncer with the pools of this node's users, each under a password that this node alone has
include:
  - postgresql.psycopg2

{% set root = salt["config.get"]("pgpillar_root", "") %}

{% if not root %}
pgbouncer installed:
  pkg.installed:
    - name: pgbouncer

# The package starts it on settings of its own, some of which no reload can change
pgbouncer stopped once it is installed:
  service.dead:
    - name: pgbouncer
    - onchanges:
      - pkg: pgbouncer installed
    - require_in:
      - pgbouncer: pgbouncer configured
{% endif %}

pgbouncer passwords:
  node_secret.present:
    - root: {{ root | json }}

pgbouncer configured:
  pgbouncer.configured:
    - root: {{ root | json }}
    - require:
      - node_secret: pgbouncer passwords

{% if not root %}
pgbouncer running:
  service.running:
    - name: pgbouncer
    - enable: true
    - require:
      - pgbouncer: pgbouncer configured
{% endif %}
