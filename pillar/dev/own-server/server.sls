# The server that holds the cluster. Who may come in follows from the cluster's databases and users.
postgresql:
  server:
    networks: [10.0.3.0/24, 192.168.56.0/24]  # of the hosts of the Vagrantfile
    memory: 512
