# First process of a turn, leader of its own session: announces itself and becomes the job.
read -r token script
printf '\036knify:%s start %s\n' "$token" $$
printf '\036knify:%s start %s\n' "$token" $$ >&2
unset token
exec /.knify/busybox sh "$script" </dev/null
