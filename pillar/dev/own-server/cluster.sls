# In dev the cluster is on a server of our own, whose certificate comes from a CA of our own.
postgresql:
  clusters:
    main:
      ca_server: salt-master
