# A database for each service on one cluster: no query reaches from one into another.
# The passwords of users and admin stand in secrets files.
postgresql:
  clusters:
    main:
      host: postgresql.example.internal
      ca_file: /etc/ssl/certs/postgresql-ca.pem
      admin: {user: doadmin, database: defaultdb, minion: db-admin-1}
  databases:
    shop:
      owner: shop
      access: {shop_app: write}
    wiki:
      owner: wiki
      access: {wiki_app: write}
  users:
    shop: {}
    shop_app: {}
    wiki: {}
    wiki_app: {}
