# Runs a runbook's steps one after the other, inside the sandbox, by any POSIX shell.
# Its lines to Knify begin with the mark, which the steps do not know; all else is their output.
# bb, mark, here, workspace: set above by Knify.

cd "$workspace" || exit 1

uptime() { read -r up _ </proc/uptime && printf %s "$up"; }

missing() {
  echo "knify: this image has no $1, which this step needs: choose an image that has it" >&2
  return 127
}

run() { # LANGUAGE FILE
  case $1 in
    shell)
      if command -v bash >/dev/null 2>&1; then bash -e "$2"
      elif [ -x /bin/sh ]; then /bin/sh -e "$2"
      else "$bb" sh -e "$2"
      fi ;;
    python) if command -v python3 >/dev/null 2>&1; then python3 -u "$2"; else missing python3; fi ;;
    javascript) if command -v node >/dev/null 2>&1; then node "$2"; else missing node; fi ;;
  esac
}

say() { # FILE
  while IFS= read -r line; do printf '%s event %s\n' "$mark" "$line"; done <"$here/$1"
}

step() { # NUMBER LANGUAGE FILE stop|go
  say "$1.events"
  began=$(uptime)
  run "$2" "$here/$3" </dev/null
  code=$?
  printf '%s\n' "$mark" >&2
  printf '%s end %s %s %s %s\n' "$mark" "$1" "$code" "$began" "$(uptime)"
  if [ "$code" -ne 0 ] && [ "$4" = stop ]; then exit "$code"; fi
}
