# Which node sees which files. Only the one that administers the cluster sees everybody's password.
base:
  db-admin-1:
    - postgresql.*
    - secrets.postgresql-admin
    - secrets.postgresql-users.*
