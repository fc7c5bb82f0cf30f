postgresql:
  users:
    analyst: {password: no-secret-in-dev-analyst}
