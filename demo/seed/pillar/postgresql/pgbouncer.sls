# How the pgbouncers of the app nodes are set. These two share a machine, and so could not share a port.
postgresql:
  pgbouncer:
    settings: {listen_addr: ''}
