# The CA file of each cluster whose CA is one of our own
tls.trust:
  pg_trust.configured:
    - root: {{ salt["config.get"]("pgpillar_root", "") | json }}
