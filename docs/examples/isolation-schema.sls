# A schema for each service in one database: who may read several can join their tables.
# The passwords of users and admin stand in secrets files.
postgresql:
  clusters:
    main:
      host: postgresql.example.internal
      ca_file: /etc/ssl/certs/postgresql-ca.pem
      admin: {user: doadmin, database: defaultdb, minion: db-admin-1}
  databases:
    platform:
      owner: platform
      schemas:
        shop:
          owner: shop
          access: {shop_app: write, analyst: read}
        wiki:
          owner: wiki
          access: {wiki_app: write, analyst: read}
  groups:
    platform: {}
  users:
    shop: {settings: {search_path: shop}}
    shop_app: {settings: {search_path: shop}}
    wiki: {settings: {search_path: wiki}}
    wiki_app: {settings: {search_path: wiki}}
    analyst: {}
