# Puts a repository into /workspace, which it empties first: run again, it begins anew.
# Variables: REPO_URL, REPO_BRANCH, REPO_COMMIT, REPO_SUBPATH, REPO_PROTOCOLS. Its last line says which
# commit it is. Exit codes: 3 when it would fail again, 1 when it might not.
bb=/.knify/busybox

say() { echo "$*" >&2; }

# Nothing that a repository or an image brings along decides what git does here.
ours() {
    command git -c core.hooksPath=/dev/null -c core.fsmonitor=false -c submodule.recurse=false \
        -c http.followRedirects=false -c http.lowSpeedLimit=1 -c http.lowSpeedTime=60 \
        -c credential.helper= -c advice.detachedHead=false -c gc.auto=0 "$@"
}
export GIT_ALLOW_PROTOCOL="$REPO_PROTOCOLS" GIT_CONFIG_NOSYSTEM=1 GIT_CONFIG_GLOBAL=/dev/null
export GIT_TERMINAL_PROMPT=0 GIT_ASKPASS= SSH_ASKPASS= GIT_LFS_SKIP_SMUDGE=1 LC_ALL=C
unset GIT_DIR GIT_WORK_TREE GIT_INDEX_FILE GIT_OBJECT_DIRECTORY GIT_TEMPLATE_DIR GIT_SSL_NO_VERIFY

command -v git >/dev/null || { say "its image has no git"; exit 3; }
cd / || exit 1
$bb find /workspace -mindepth 1 -maxdepth 1 -exec "$bb" rm -rf {} + || exit 1

set -- clone --quiet --no-checkout --single-branch --no-recurse-submodules --template=
[ -z "$REPO_BRANCH" ] || set -- "$@" "--branch=$REPO_BRANCH"
ours "$@" -- "$REPO_URL" /workspace || exit 1
cd /workspace || exit 1

if [ -n "$REPO_COMMIT" ]; then
    ours cat-file -e "$REPO_COMMIT^{commit}" 2>/dev/null ||
        ours fetch --quiet --no-tags --no-recurse-submodules origin "$REPO_COMMIT" || exit 1
fi
commit=$(ours rev-parse --verify --quiet "${REPO_COMMIT:-HEAD}^{commit}") || {
    say "it has no such commit, or none at all"
    exit 3
}
ours reset --quiet --hard "$commit" || exit 1

if [ -n "$REPO_SUBPATH" ]; then
    inside=$(cd -P "./$REPO_SUBPATH" 2>/dev/null && pwd -P)
    case $inside/ in
    /workspace/*) ;;
    *) say "it has no folder $REPO_SUBPATH"; exit 3 ;;
    esac
fi
echo "commit $commit"
