postgresql:
  databases:
    shop:
      owner: shop
      access: {shop_app: write, wiki_app: read}  # one's own database is open to whom one wants
      schemas:
        reporting: shop_reports
  groups:
    shop_reports: {}
  users:
    shop: {}
    shop_app: {connection_limit: 50, run_as: www-data, settings: {statement_timeout: 30s}}
  pools:
    shop: {database: shop, user: shop_app}
    bills: {database: billing, user: shop_app}
