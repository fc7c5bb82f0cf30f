postgresql:
  users:
    wiki: {password: no-secret-in-dev-wiki}
