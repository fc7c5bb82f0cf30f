# For servers of our own alone: by it one reads all that another holds.
postgresql:
  users:
    replicator: {password: no-secret-in-dev-replicator}
