postgresql:
  databases:
    wiki: wiki
    shop:
      owner: shop
      extensions: [citext]
      access: {shop_app: write}
      schemas:
        reporting: reports
    old: {owner: shop, state: quarantined}
  groups:
    readers: {access: {shop: read}}
    reports: {}
  users:
    shop_app: {connection_limit: 50}
    analyst: {groups: [readers, reports], valid_until: 2030-01-31}
  pools:
    shop: {database: shop, user: shop_app, size: 10}
