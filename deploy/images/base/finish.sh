#!/bin/sh
# Runs as root inside the new root file system, whichever way it was made.
set -eu

# One home for every job. A sandbox's volume is mounted over it, /workspace and /run/knify.
if ! getent passwd 1000 >/dev/null; then
    useradd --uid 1000 --user-group --create-home --shell /bin/bash agent
elif ! id agent >/dev/null 2>&1; then
    # Some public images bring a user 1000 of their own.
    owner=$(getent passwd 1000 | cut -d: -f1)
    groupmod --new-name agent "$(id -gn "$owner")"
    usermod --login agent --home /home/agent --move-home --shell /bin/bash "$owner"
fi
mkdir -p /home/agent /workspace /run/knify
chown 1000:1000 /home/agent /workspace /run/knify

# `python` is what many scripts call it.
[ -e /usr/bin/python ] || ln -s python3 /usr/bin/python

# The operator's private CAs, if there are any.
if ls /usr/local/share/ca-certificates/*.crt >/dev/null 2>&1; then
    update-ca-certificates >/dev/null
fi
rm -rf /var/lib/apt/lists/* /var/cache/apt/*.bin /var/cache/debconf/*-old /var/log/*.log \
    /var/log/apt /var/cache/ldconfig/aux-cache
