# For the minion that administers: the users of every role, and below them those that no role has.
include:
  - secrets.postgresql-users.*
postgresql:
  users:
    shop: {password: no-secret-in-dev-shop}
