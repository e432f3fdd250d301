# Prints what has become of /workspace since a commit, as a patch that `git apply` takes.
# Variables: PATCH_START, PATCH_SKIPPED (names of folders that are no work of anybody's). Exit code 3: there
# is none to be had. The repository's own settings, hooks, filters and index are not looked at: a
# repository of ours borrows its objects.
bb=/.knify/busybox
work=/run/knify/patch

command -v git >/dev/null || { echo "its image has no git" >&2; exit 3; }
unset GIT_CONFIG_COUNT GIT_EXTERNAL_DIFF GIT_DIFF_OPTS GIT_OBJECT_DIRECTORY GIT_TEMPLATE_DIR
export GIT_CONFIG_NOSYSTEM=1 GIT_CONFIG_GLOBAL=/dev/null GIT_TERMINAL_PROMPT=0 LC_ALL=C
export GIT_ALLOW_PROTOCOL=none GIT_OPTIONAL_LOCKS=0

cd / && $bb rm -rf "$work" && $bb mkdir -p "$work" || exit 1
export GIT_DIR="$work/git" GIT_INDEX_FILE="$work/index"
format=sha1
[ ${#PATCH_START} = 40 ] || format=sha256
git init --quiet --bare --template= --object-format="$format" "$GIT_DIR" >&2 || exit 1
export GIT_WORK_TREE=/workspace GIT_ALTERNATE_OBJECT_DIRECTORIES=/workspace/.git/objects
for name in $PATCH_SKIPPED; do echo "$name/"; done >"$work/skipped"

ours() {
    git -c core.bare=false -c core.hooksPath=/dev/null -c core.fsmonitor=false \
        -c core.excludesFile="$work/skipped" -c advice.addEmbeddedRepo=false -c core.safecrlf=false \
        "$@"
}

cd /workspace || exit 1
ours cat-file -e "$PATCH_START^{tree}" 2>/dev/null || {
    echo "the commit that it began with is gone from its repository" >&2
    exit 3
}
ours read-tree "$PATCH_START" && ours add --intent-to-add --ignore-errors . >&2
ours diff --binary --full-index --no-color --no-ext-diff --no-textconv --no-renames \
    --ignore-submodules=dirty --src-prefix=a/ --dst-prefix=b/ "$PATCH_START" --
code=$?
$bb rm -rf "$work"
exit $code
