postgresql:
  databases:
    billing:
      owner: auditor
      access: {shop_app: read}  # a privileged file grants to whom it wants
  users:
    auditor: {groups: [pg_monitor, wiki_readers], attributes: [createdb]}
