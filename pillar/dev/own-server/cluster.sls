# In dev the cluster is on servers of our own, whose certificates come from a CA of our own.
# {% import_yaml "roles.yaml" as minions %}
postgresql:
  clusters:
    main:
      # {% for minion, roles in minions.items() if "ca" in roles %}
      ca_server: '{{ minion }}'
      # {% endfor %}
      discovery: mine
      minions:
        # {% for minion, roles in minions.items() if "db-server" in roles or "db-replica" in roles %}
        - '{{ minion }}'
        # {% endfor %}
  pools:
    shop: {database: shop, user: shop_app}
    shop_ro: {database: shop, user: shop_app, target: replica}
mine_functions:
  pgpillar_trust:
    - mine_function: pg_trust.announce
