# Every cluster that this minion administers, as pillar wants it
include:
  - postgresql.psycopg2

{% for cluster in salt["pg_access.clusters"]() %}
postgresql.admin {{ cluster | json }}:
  pg_access.converged:
    - name: {{ cluster | json }}
{% else %}
postgresql.admin no cluster:
  test.fail_without_changes:
    - comment: pillar has no cluster in postgresql:clusters that this minion administers
{% endfor %}
