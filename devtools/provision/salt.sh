#!/bin/bash
# Salt as it is pinned, in /opt/salt, with its services; they start where devtools/provision/join.sh says so.
# Usage: salt.sh REQUIREMENTS. Where these pins are installed already, it does nothing.
set -euo pipefail
pins=$1 place=/opt/salt

if ! cmp --silent "$pins" $place/made-of.txt; then
  rm -rf $place
  if [ ! -e /usr/share/doc/python3-venv ]; then
    apt-get update -q
    DEBIAN_FRONTEND=noninteractive apt-get install -q -y --no-install-recommends python3-venv
  fi
  python3 -m venv $place
  $place/bin/python -m pip install --quiet --no-cache-dir --no-deps --no-input --disable-pip-version-check -r "$pins"
  cp "$pins" $place/made-of.txt
fi

for program in salt salt-call salt-key salt-run salt-master salt-minion; do
  ln -sf $place/bin/$program /usr/local/bin/$program
done

for daemon in master minion; do
  cat > /etc/systemd/system/salt-$daemon.service <<UNIT
[Unit]
Description=Salt $daemon
After=network.target

[Service]
Type=notify
NotifyAccess=all
ExecStart=$place/bin/salt-$daemon
KillMode=mixed
Restart=on-failure
LimitNOFILE=100000

[Install]
WantedBy=multi-user.target
UNIT
done
