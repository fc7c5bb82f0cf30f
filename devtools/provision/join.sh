#!/bin/bash
# Make this host one of those of the Vagrantfile: their names, its keys, and the daemons of Salt that it runs.
# Usage: join.sh NAME MASTER "ADDRESS NAME"... with the keys in ./brought
set -euo pipefail
name=$1 master=$2
shift 2
brought=~vagrant/brought pki=/etc/salt/pki
begin='# hosts of the Vagrantfile' end='# end of the hosts'

sed -i "/^$begin/,/^$end/d; /^127\.0\.1\.1/d" /etc/hosts # a host's own name is the address others reach it by
printf '%s\n' "$begin" "$@" "$end" >> /etc/hosts

install -d /etc/salt/minion.d /etc/salt/master.d
install -d -m 0700 $pki/minion $pki/master/minions
take() { if [ -e "$brought/$1" ]; then install -m "$2" "$brought/$1" "$pki/$3"; fi; }
take minion.pem 0400 minion/
take minion.pub 0644 minion/
take minion_master.pub 0644 minion/
take master.pem 0400 master/
take master.pub 0644 master/
if [ -d $brought/minions ]; then
  install -m 0644 $brought/minions/* $pki/master/minions/
  # A new host may have asked before its key was here
  for key in $brought/minions/*; do rm -f $pki/master/minions_pre/"${key##*/}"; done
fi
rm -rf $brought

printf 'id: %s\nmaster: %s\n' "$name" "$master" > /etc/salt/minion.d/vagrant.conf

# The daemon asks for the master for ever; a person's salt-call says after a while that nobody answers
install -d /etc/salt/call
printf 'include: /etc/salt/minion.d/*.conf\nmaster_tries: 1\nauth_tries: 3\n' > /etc/salt/call/minion
install -m 0755 /dev/stdin /usr/local/bin/salt-call <<'CALL'
#!/bin/sh
exec /opt/salt/bin/salt-call --config-dir=/etc/salt/call "$@"
CALL

if [ "$name" = "$master" ]; then
  cp /srv/pgpillar/devtools/provision/master.conf /etc/salt/master.d/vagrant.conf
  systemctl enable --quiet --now salt-master
fi
systemctl enable --quiet salt-minion
systemctl restart --no-block salt-minion # it waits for the master by itself
