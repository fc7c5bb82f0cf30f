postgresql:
  clusters:
    main:
      admin: {password: no-secret-in-dev}
