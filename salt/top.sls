base:
  '*':
    - postgresql.admin
