# Every cluster that this minion administers, as pillar wants it
include:
  - postgresql.psycopg2

{% for cluster in salt["pg_access.clusters"]() %}
{{ ("postgresql.admin " ~ cluster) | json }}:
  pg_access.converged:
    - name: {{ cluster | json }}
{% else %}
postgresql.admin:
  pg_access.converged:
    - name: ""
{% endfor %}
