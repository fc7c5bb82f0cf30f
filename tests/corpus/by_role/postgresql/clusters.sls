postgresql:
  clusters:
    main:
      host: postgresql.example.internal
      ca_file: /etc/ssl/certs/postgresql-ca.pem
      admin: {user: doadmin, database: defaultdb, minion: db-admin-1}
