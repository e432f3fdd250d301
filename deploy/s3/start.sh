#!/bin/sh
# SeaweedFS with one bucket and one account, whose two halves are files.
set -eu
AWS_ACCESS_KEY_ID=$(cat /run/secrets/s3_access_key)
AWS_SECRET_ACCESS_KEY=$(cat /run/secrets/s3_secret_key)
export AWS_ACCESS_KEY_ID AWS_SECRET_ACCESS_KEY HOME=/tmp TMPDIR=/tmp
# The container's own address: the parts of SeaweedFS find each other by it.
address=$(awk -v name="$(cat /etc/hostname)" '$2 == name || $3 == name { print $1; exit }' /etc/hosts)
exec weed -logtostderr mini -dir=/data -ip="${address:-127.0.0.1}" -ip.bind=0.0.0.0 -bucket=knify \
    -s3.port.iceberg=0 -s3.port.lance=0 -admin.ui=false -webdav=false -master.telemetry=false
