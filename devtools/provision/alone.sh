#!/bin/bash
# Where there is no master, this server converges itself, on the checkout and with a certificate authority of its own.
# Usage: alone.sh MASTER
set -euo pipefail
# A master that is brought up in parallel is a host with sshd long before its daemon answers
if timeout 10 bash -c "until : < /dev/tcp/$1/22; do sleep 1; done" 2> /dev/null; then exit; fi

echo "there is no $1: this host makes itself"
salt-call --local --config-dir=/srv/pgpillar/devtools/provision/alone --log-level=error \
  --retcode-passthrough --state-output=mixed --state-verbose=false state.highstate
