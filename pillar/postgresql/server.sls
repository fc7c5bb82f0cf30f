# What the clusters hold. The users' passwords stand in secrets/postgresql-users/.
postgresql:
  databases:
    wiki: wiki
    shop:
      owner: shop
      extensions: [citext]
      access: {shop_app: write}
      schemas:
        reporting: reports
  groups:
    readers: {access: {shop: read}}
    reports: {}
  users:
    shop_app: {connection_limit: 50}
    analyst: {groups: [readers, reports]}
