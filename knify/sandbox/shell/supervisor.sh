# The main process of every sandbox: runs one turn at a time, as it is told through a pipe.
# `read` takes a pipe byte by byte, so it never swallows what follows a line.
# Replies and events are lines that carry the turn's secret: RS knify:TOKEN WORDS.
bb=/.knify/busybox
started=$HOME/.knify/started

say() { printf '\036knify:%s\n' "$*"; }
both() { say "$@"; say "$@" >&5; }

# Everything after `head` must be read in any case, else it would be taken for commands.
untar() { # DIR SIZE
    $bb head -c "$2" | {
        $bb mkdir -p "$1" && $bb tar -x -o -f - -C "$1"
        status=$?
        $bb cat >/dev/null
        exit $status
    }
}

put() { # MODE SIZE PATH
    $bb head -c "$2" | {
        $bb mkdir -p "${3%/*}" && umask 077 && $bb cat >"$3" && $bb chmod "$1" "$3"
        status=$?
        $bb cat >/dev/null
        exit $status
    }
}

begin() { # TOKEN ID EXECUTION SCRIPT
    if (set -C && : >"$started/$3") 2>/dev/null; then
        say "$1 reply $2 ok"
        echo "$1 $4" >&4
    elif [ -e "$started/$3" ]; then
        say "$1 reply $2 already"
    else
        say "$1 reply $2 failed"
    fi
}

answer() { # TOKEN ID STATUS
    if [ "$3" = 0 ]; then say "$1 reply $2 ok"; else say "$1 reply $2 failed"; fi
}

# The job runs in the foreground of the main loop: a background child of a shell without job
# control ignores SIGINT for ever, and so would all that the job starts.
commands() {
    while read -r verb token id a b c; do
        case $verb in
        mark) both "$token mark $id" ;;
        untar) untar "$a" "$b"; answer "$token" "$id" $? ;;
        put) put "$a" "$b" "$c"; answer "$token" "$id" $? ;;
        run) begin "$token" "$id" "$a" "$b" ;;
        signal) kill -"$a" -"$b" 2>/dev/null; answer "$token" "$id" $? ;;
        esac
    done
    kill -9 $$ # cannot happen while fd 3 is open for writing too
}

umask 022
$bb mkdir -p "$started"
# conmon closes stdin for good when its first client hangs up. So stdin only says hello; orders
# come through a pipe of our own, fd 3, which each owner opens through /proc on the host.
cd /run/knify && $bb rm -f .orders .queue && $bb mkfifo -m 600 .orders .queue
exec 3<>.orders 4<>.queue 5>&2 2>/dev/null # the shell itself would say `Killed`
$bb rm -f .orders .queue
cd /workspace
read -r verb token id
exec </dev/null
both "$token mark $id"

while :; do
    commands <&3 &
    read -r token script <&4
    # By stdin, not argv: /proc shows arguments to the job.
    echo "$token $script" | $bb setsid $bb sh /.knify/launch.sh 2>&5 3<&- 4<&- 5<&-
    code=$?
    kill -9 -1 2>/dev/null # whatever the job left behind; spares this shell and init
    wait
    both "$token exit $code"
done
