postgresql:
  users:
    wiki_app: {password: no-secret-in-dev-wiki_app}
