postgresql:
  users:
    shop: {password: no-secret-in-dev-shop}
