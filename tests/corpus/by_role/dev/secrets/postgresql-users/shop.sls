postgresql:
  users:
    shop_app: {password: no-secret-in-dev-shop_app}
