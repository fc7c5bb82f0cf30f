# A cluster for each service: they share neither roles nor memory nor backups.
# The passwords of users and admins stand in secrets files.
postgresql:
  clusters:
    shop:
      host: shop-db.example.internal
      ca_file: /etc/ssl/certs/postgresql-ca.pem
      admin: {user: doadmin, database: defaultdb, minion: db-admin-1}
    wiki:
      host: wiki-db.example.internal
      ca_file: /etc/ssl/certs/postgresql-ca.pem
      admin: {user: doadmin, database: defaultdb, minion: db-admin-1}
  databases:
    shop:
      cluster: shop
      owner: shop
      access: {shop_app: write}
    wiki:
      cluster: wiki
      owner: wiki
      access: {wiki_app: write}
  users:
    shop: {}
    shop_app: {}
    wiki: {}
    wiki_app: {}
