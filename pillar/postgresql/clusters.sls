# Where the clusters are. What their admins' passwords are stands in secrets/postgresql-admin.sls.
postgresql:
  clusters:
    main:
      host: postgresql.example.internal  # the name that its certificate is verified against
      ca_file: /etc/ssl/certs/postgresql-ca.pem
      admin: {user: doadmin, database: defaultdb, minion: db-admin-1}
