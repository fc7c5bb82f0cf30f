# What the CA signs: for each server a certificate of its own name and the service's, whatever it asks for.
# {% import_yaml "roles.yaml" as minions %}
# {% set service = "postgresql.example.internal" %}
postgresql:
  authorities: [ca-1]  # the first signs, all are trusted: see docs/howto/certificates.rst
mine_functions:
  pgpillar_ca:
    - mine_function: pg_ca.announce
x509_signing_policies:
  # {% for minion, roles in minions.items() if "db-server" in roles or "db-replica" in roles %}
  '{{ minion }}':
    minions: '{{ minion }}'
    signing_private_key: /etc/pki/pgpillar/signs/ca.key
    signing_cert: /etc/pki/pgpillar/signs/ca.crt
    CN: '{{ service }}'
    subjectAltName: ['DNS:{{ service }}', 'DNS:{{ minion }}']
    basicConstraints: critical, CA:false
    keyUsage: critical, digitalSignature
    extendedKeyUsage: serverAuth
    authorityKeyIdentifier: keyid:always
    days_valid: 90
    not_after:  # nothing: no server may ask for longer
# {% endfor %}
