# The key of this server, made here and never sent, with a certificate for it from the cluster's CA
postgresql.certificate directory:
  file.directory:
    - name: /etc/pgpillar/server
    - user: postgres
    - group: postgres
    - mode: '0700'
    - makedirs: true

postgresql.certificate signed:
  pg_server.certified:
    - require:
      - file: postgresql.certificate directory

postgresql.certificate readable:
  file.managed:
    - name: /etc/pgpillar/server/tls.pem
    - user: postgres
    - group: postgres
    - mode: '0600'
    - create: false
    - replace: false
    - require:
      - pg_server: postgresql.certificate signed
