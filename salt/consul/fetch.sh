#!/bin/bash
# Fetch Debian's last package of Consul, which is in bullseye alone and runs on what came after: DIRECTORY/consul.deb
# Usage: fetch.sh DIRECTORY
set -euo pipefail
mkdir -p "$1/lists/partial" "$1/cache/archives/partial"
cd "$1"
if [ -e consul.deb ]; then exit; fi

# The mirror is the one that this machine's own apt uses; its lists are left alone
mirror() { apt-get indextargets --format '$(LABEL) $(REPO_URI)' 'Created-By: Packages' | sed -n 's/^Debian //p' | head -n 1; }
if [ -z "$(mirror)" ]; then apt-get -q update; fi
echo "deb [signed-by=/usr/share/keyrings/debian-archive-keyring.gpg] $(mirror) bullseye main" > sources.list
own=(-q -o "Dir::Etc::SourceList=$PWD/sources.list" -o Dir::Etc::SourceParts=/dev/null
  -o "Dir::State::Lists=$PWD/lists" -o "Dir::Cache=$PWD/cache" -o APT::Sandbox::User=root)
apt-get "${own[@]}" update
apt-get "${own[@]}" download consul
rm -r lists cache
mv consul_*.deb consul.deb
