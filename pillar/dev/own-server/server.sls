# A server of the cluster. Who may come in follows from the cluster's databases and users.
mine_functions:
  postgresql.main:
    - mine_function: pg_server.announce
    - cluster: main
postgresql:
  server:
    networks: [10.0.3.0/24, 192.168.56.0/24]  # of the hosts of the Vagrantfile
    memory: 512
    replication: replicator
  users:
    replicator: {attributes: [replication]}
