# As postgresql.server; but where there is no server yet, it is copied from the primary of its cluster
include:
  - postgresql.server
  - tls.trust

extend:
  postgresql.server configured:
    pg_server:
      - as_replica: true
      - require:
        - sls: tls.trust
