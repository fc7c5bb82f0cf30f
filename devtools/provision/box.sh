#!/bin/bash
# Inside the root of a new box: what Vagrant asks of it, and what lets systemd start in a container.
# Usage: box.sh VAGRANTS_PUBLIC_KEY
set -euo pipefail

useradd --create-home --shell /bin/bash vagrant
install -d -m 0700 -o vagrant -g vagrant /home/vagrant/.ssh
install -m 0600 -o vagrant -g vagrant "$1" /home/vagrant/.ssh/authorized_keys
echo 'vagrant ALL=(ALL) NOPASSWD: ALL' > /etc/sudoers.d/vagrant
chmod 0440 /etc/sudoers.d/vagrant
rm -f /etc/ssh/ssh_host_* # each host makes its own

cat > /etc/systemd/system/ssh-host-keys.service <<'UNIT'
[Unit]
Description=Keys of this host
Before=ssh.service
ConditionPathExists=!/etc/ssh/ssh_host_ed25519_key

[Service]
Type=oneshot
ExecStart=/usr/bin/ssh-keygen -A

[Install]
WantedBy=multi-user.target
UNIT

# The container is given its address; networkd runs, for Vagrant asks it, and leaves that alone.
printf '[Match]\nName=eth0\n\n[Link]\nUnmanaged=yes\n' > /etc/systemd/network/10-eth0.network
systemctl enable --quiet ssh ssh-host-keys systemd-networkd
systemctl mask --quiet systemd-modules-load systemd-networkd-wait-online systemd-udevd
