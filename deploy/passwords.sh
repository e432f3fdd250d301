#!/bin/sh
# Makes the files of secrets that docker-compose.yml and the quadlets hand to the parts, where they
# are missing, and closes the folders of yours. Run again at will. Those of vendors begin empty: put
# your keys in.
#   deploy/passwords.sh [FOLDER]
set -eu
folder=${1:-$(dirname "$0")/passwords}
mkdir -p "$folder"
# The folder keeps others out; in the containers, where its files are mounted one by one, they are
# read by users that are not root.
chmod 700 "$folder"
# What workers alone see. They are root and pass by owners; git makes folders that all may enter.
for name in secrets vault; do
    [ ! -d "$(dirname "$0")/$name" ] || chmod 700 "$(dirname "$0")/$name"
done
make() {
    [ -e "$folder/$1" ] || { (umask 077 && printf '%s\n' "$2" > "$folder/$1.new"); mv "$folder/$1.new" "$folder/$1"; }
    chmod 444 "$folder/$1"
}
random() { od -An -N24 -tx1 /dev/urandom | tr -d ' \n'; }
for name in redis_password redis_flower_password redis_operator_password redis_backup_password \
    backup_passphrase flower_password grafana_password metrics_token s3_access_key s3_secret_key; do
    make "$name" "$(random)"
done
for name in anthropic_api_key gemini_api_key openai_api_key cursor_api_key browserless_url; do
    make "$name" ""
done
