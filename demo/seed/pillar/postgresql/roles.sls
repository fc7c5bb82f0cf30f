# Who there is. A user's password stands in secrets/postgresql-users.sls.
postgresql:
  groups:
    readers: {access: {shop: read}}
  users:
    wiki: {}
    shop: {}
    shop_app: {connection_limit: 20}
    analyst: {groups: [readers], settings: {statement_timeout: 30s}}
