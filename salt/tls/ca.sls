# The certificate authority of one's own. Its key stays here; others ask this minion to sign, by its signing policies.
{% set place = "/etc/pki/pgpillar" %}
tls.ca directory:
  file.directory:
    - name: {{ place }}
    - mode: '0755'
    - makedirs: true

tls.ca key:
  x509.private_key_managed:
    - name: {{ place }}/ca.key
    - algo: ec
    - mode: '0600'
    - require:
      - file: tls.ca directory

tls.ca certificate:
  x509.certificate_managed:
    - name: {{ place }}/ca.crt
    - signing_private_key: {{ place }}/ca.key
    - CN: pgpillar internal CA
    - basicConstraints: critical, CA:true, pathlen:0
    - keyUsage: critical, keyCertSign, cRLSign
    - subjectKeyIdentifier: hash
    - days_valid: 3650
    - days_remaining: 365
    - require:
      - x509: tls.ca key
