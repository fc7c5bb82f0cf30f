# pgbouncer with the pools of this node's users, each under a password that this node alone has
include:
  - postgresql.psycopg2

{% set root = salt["config.get"]("pgpillar_root", "") %}

{% if not root %}
pgbouncer installed:
  pkg.installed:
    - name: pgbouncer

# The package starts it on settings of its own, some of which no reload can change
pgbouncer stopped on the settings of its package:
  service.dead:
    - name: pgbouncer
    - onlyif:
      - fun: pgbouncer.is_as_packaged
    - require:
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
# After what is above, and whatever became of it: on the old files rather than not at all, but never on the package's
pgbouncer running:
  service.running:
    - name: pgbouncer
    - enable: true
    {%- if not opts["test"] %}
    - onlyif:
      - fun: file.contains
        path: /etc/pgbouncer/pgbouncer.ini
        text: /etc/pgbouncer/live/
    {%- endif %}
{% endif %}
