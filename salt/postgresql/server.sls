# Debian's PostgreSQL, with one cluster, as pillar wants it
include:
  - postgresql.psycopg2
  - postgresql.certificate

postgresql.server without a cluster of Debian's:
  file.managed:
    - name: /etc/postgresql-common/createcluster.d/pgpillar.conf
    - contents: create_main_cluster = false
    - makedirs: true

postgresql.server installed:
  pkg.installed:
    - name: postgresql
    - require:
      - file: postgresql.server without a cluster of Debian's
    - require_in:
      - file: postgresql.certificate directory

postgresql.server configured:
  pg_server.configured:
    - require:
      - pkg: postgresql.server installed
      - file: postgresql.certificate readable

postgresql.server announced:
  pg_server.announced:
    - require:
      - pg_server: postgresql.server configured

postgresql.server starts with the machine:
  service.enabled:
    - name: postgresql
    - require:
      - pg_server: postgresql.server configured
