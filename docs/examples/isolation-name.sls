# One name on several clusters: pillar, pools and files call the databases apart; each server calls its own shop.
# The passwords of users and admins stand in secrets files.
postgresql:
  clusters:
    eu:
      host: eu-db.example.internal
      ca_file: /etc/ssl/certs/postgresql-ca.pem
      admin: {user: doadmin, database: defaultdb, minion: db-admin-1}
    us:
      host: us-db.example.internal
      ca_file: /etc/ssl/certs/postgresql-ca.pem
      admin: {user: doadmin, database: defaultdb, minion: db-admin-1}
  databases:
    shop_eu:
      name: shop
      cluster: eu
      owner: shop
      access: {shop_eu_app: write}
    shop_us:
      name: shop
      cluster: us
      owner: shop
      access: {shop_us_app: write}
  users:
    shop: {}
    shop_eu_app: {}
    shop_us_app: {}
