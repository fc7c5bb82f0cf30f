# What the CA signs: for each server a certificate of its own name and the service's, whatever it asks for.
# {% import_yaml "roles.yaml" as minions %}
# {% set service = "postgresql.example.internal" %}
mine_functions:
  pgpillar_ca:
    - mine_function: x509.get_pem_entries
    - /etc/pki/pgpillar/ca.crt
x509_signing_policies:
  # {% for minion, roles in minions.items() if "db-server" in roles %}
  '{{ minion }}':
    minions: '{{ minion }}'
    signing_private_key: /etc/pki/pgpillar/ca.key
    signing_cert: /etc/pki/pgpillar/ca.crt
    CN: '{{ service }}'
    subjectAltName: ['DNS:{{ service }}', 'DNS:{{ minion }}']
    basicConstraints: critical, CA:false
    keyUsage: critical, digitalSignature
    extendedKeyUsage: serverAuth
    days_valid: 90
# {% endfor %}
