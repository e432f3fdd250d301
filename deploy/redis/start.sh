#!/bin/sh
# Starts Redis with its users: hashes of their passwords stand where users.acl has #NAME. The files
# of passwords are read here and nowhere else; neither process list nor environment has one.
set -eu
umask 077
hash() { printf %s "$(cat "/run/secrets/$1")" | sha256sum | cut -d' ' -f1; }
sed -e "s/#KNIFY/#$(hash redis_password)/" \
    -e "s/#FLOWER/#$(hash redis_flower_password)/" \
    -e "s/#BACKUP/#$(hash redis_backup_password)/" \
    -e "s/#OPERATOR/#$(hash redis_operator_password)/" \
    /etc/knify/users.acl > /run/redis/users.acl
# Bounded below what the container may take, else what the machine has: full, it refuses and says so.
# At that limit itself the kernel kills it, and it would load the same data and be killed again. The
# rest is for pages copied while the file of writes is made anew, for buffers, gaps between objects.
memory=$(($(sed -n 's/^MemTotal: *\([0-9]*\) kB$/\1/p' /proc/meminfo) * 1024))
for file in /sys/fs/cgroup/memory.max /sys/fs/cgroup/memory/memory.limit_in_bytes; do
    limit=$(cat "$file" 2>/dev/null || echo max)  # without one: `max`, or more than there is
    if [ "$limit" != max ] && [ "$limit" -lt "$memory" ]; then memory=$limit; fi
done
# The wheel's server is built without jemalloc, with which a large store stays fast.
for library in /usr/lib/libjemalloc.so.2 /usr/lib/*/libjemalloc.so.2; do
    if [ -f "$library" ]; then export LD_PRELOAD="$library"; fi
done
exec valkey-server /etc/knify/redis.conf --maxmemory "$((memory / 100 * 60))"
