postgresql:
  users:
    shop: {password: no-secret-in-dev-shop}
    shop_app: {password: no-secret-in-dev-shop_app}
