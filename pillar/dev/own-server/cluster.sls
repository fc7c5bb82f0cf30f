# In dev the cluster is on a server of our own, whose certificate comes from a CA of our own.
# {% import_yaml "roles.yaml" as minions %}
postgresql:
  clusters:
    main:
      # {% for minion, roles in minions.items() if "ca" in roles %}
      ca_server: '{{ minion }}'
      # {% endfor %}
mine_functions:
  pgpillar_trust:
    - mine_function: pg_trust.announce
