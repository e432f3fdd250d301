#!/bin/sh
# Starts Redis with its users: hashes of their passwords stand where users.acl has #NAME. The files
# of passwords are read here and nowhere else; neither process list nor environment has one.
set -eu
umask 077
hash() { printf %s "$(cat "/run/secrets/$1")" | sha256sum | cut -d' ' -f1; }
sed -e "s/#KNIFY/#$(hash redis_password)/" \
    -e "s/#FLOWER/#$(hash redis_flower_password)/" \
    -e "s/#OPERATOR/#$(hash redis_operator_password)/" \
    /etc/knify/users.acl > /run/redis/users.acl
# The wheel's server is built without jemalloc, with which a large store stays fast.
for library in /usr/lib/libjemalloc.so.2 /usr/lib/*/libjemalloc.so.2; do
    if [ -f "$library" ]; then export LD_PRELOAD="$library"; fi
done
exec valkey-server /etc/knify/redis.conf
