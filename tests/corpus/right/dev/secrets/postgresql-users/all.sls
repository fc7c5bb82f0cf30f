include:
  - secrets.postgresql-users.*
postgresql:
  users:
    shop: {password: no-secret-in-dev-shop}
    analyst: {password: no-secret-in-dev-analyst}
