# Which minion sees which files. One administers the cluster and sees them all; an app node sees the secrets of
# its applications alone.
base:
  db-admin:
    - postgresql.*
    - secrets.*
  app-*:
    - postgresql.*
    - secrets.postgresql-applications
