include:
  - secrets.postgresql-users.*
  - secrets.postgresql-owners.*
postgresql:
  users:
    auditor: {password: no-secret-in-dev-auditor}
