# The key of this server, made here and never sent, and a certificate for it from the cluster's CA
{% set place = "/etc/pgpillar/server" %}
{% set authority = pillar["postgresql"]["clusters"].values() | map(attribute="ca_server", default="") | select | first %}
postgresql.certificate directory:
  file.directory:
    - name: {{ place }}
    - user: postgres
    - group: postgres
    - mode: '0700'
    - makedirs: true

postgresql.certificate key:
  x509.private_key_managed:
    - name: {{ place }}/tls.key
    - algo: ec
    - user: postgres
    - group: postgres
    - mode: '0600'
    - require:
      - file: postgresql.certificate directory

postgresql.certificate signed:
  x509.certificate_managed:
    - name: {{ place }}/tls.crt
    {%- if authority != grains["id"] %}
    - ca_server: {{ authority | json }}
    {%- endif %}
    - signing_policy: {{ grains["id"] | json }}
    - private_key: {{ place }}/tls.key
    - days_remaining: 30
    - user: postgres
    - group: postgres
    - mode: '0644'
    - require:
      - x509: postgresql.certificate key
