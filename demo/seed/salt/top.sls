# Which minion gets which states
base:
  db-admin:
    - postgresql.admin
  app-*:
    - postgresql.client
