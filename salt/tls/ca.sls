# The certificate authorities of one's own. Their keys stay here; others ask this minion to sign, by its signing policies.
{% set root = salt["config.get"]("pgpillar_root", "") %}
{% set place = root ~ "/etc/pki/pgpillar" %}
{% for name in salt["pg_ca.names"]() %}
tls.ca directory of {{ name }}:
  file.directory:
    - name: {{ place }}/{{ name }}
    - mode: '0755'
    - makedirs: true

tls.ca key of {{ name }}:
  x509.private_key_managed:
    - name: {{ place }}/{{ name }}/ca.key
    - algo: ec
    - mode: '0600'
    - require:
      - file: tls.ca directory of {{ name }}

tls.ca certificate of {{ name }}:
  x509.certificate_managed:
    - name: {{ place }}/{{ name }}/ca.crt
    - signing_private_key: {{ place }}/{{ name }}/ca.key
    - CN: pgpillar internal CA {{ name }}
    - basicConstraints: critical, CA:true, pathlen:0
    - keyUsage: critical, keyCertSign, cRLSign
    - subjectKeyIdentifier: hash
    - days_valid: 3650
    - days_remaining: 365
    - require:
      - x509: tls.ca key of {{ name }}
    - require_in:
      - pg_ca: tls.ca configured
{% endfor %}

tls.ca configured:
  pg_ca.configured:
    - root: {{ root | json }}
