# The agents of Consul on the hosts of the Vagrantfile, and the one that leads them.
consul:
  leader: salt-master
