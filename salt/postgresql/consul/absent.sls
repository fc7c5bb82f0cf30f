# This server is no longer in Consul, and nothing answers its checks
postgresql.consul absent:
  pg_consul.absent: []

postgresql.consul says nothing:
  service.dead:
    - name: pgpillar-role.socket
    - enable: false
    - require:
      - pg_consul: postgresql.consul absent

postgresql.consul without files:
  file.absent:
    - names:
      - /etc/systemd/system/pgpillar-role.socket
      - /etc/systemd/system/pgpillar-role@.service
      - /usr/local/lib/pgpillar/say-role
    - require:
      - service: postgresql.consul says nothing
