# Edit this, run `make demo` again, and see the server follow.
postgresql:
  databases:
    wiki: wiki  # the short form: a database and its owner
    shop:
      owner: shop
      bootstrap: salt://shop/schema.sql  # run once, as the owner, when the database is new
      extensions: [citext]
      access: {shop_app: write}  # read, write or owner; here, or with a user or a group
      schemas:
        reporting: analyst  # a schema and its owner
