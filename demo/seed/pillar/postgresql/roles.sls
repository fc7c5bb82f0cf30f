# Who there is. Their passwords stand in secrets/; whose an app node sees, has its pools there.
postgresql:
  groups:
    readers: {access: {shop: read}}
  users:
    wiki: {}
    shop: {}
    shop_app: {connection_limit: 20, run_as: www-data}  # the system user of its application
    analyst: {groups: [readers], settings: {statement_timeout: 30s}}
