#!/bin/sh
# Puts programs on the PATH: `link.sh node`, then, with the packages in, `link.sh agents`.
set -eu

bin=/usr/local/bin
modules=/opt/agents/node_modules

shim() { # NAME COMMAND…
    name=$1
    shift
    printf '#!/bin/sh\nexec %s "$@"\n' "$*" >"$bin/$name"
    chmod 755 "$bin/$name"
}

link_node() {
    rm -rf /opt/node/include /opt/node/share
    find /opt/node -type d -name __pycache__ -prune -exec rm -rf {} +
    chmod 755 /opt/node/bin/node
    ln -sf /opt/node/bin/node "$bin/node"
    # The wheel's own npm and npx are copies of links, and do not find their files.
    shim npm "$bin/node /opt/node/lib/node_modules/npm/bin/npm-cli.js"
    shim npx "$bin/node /opt/node/lib/node_modules/npm/bin/npx-cli.js"
}

# Claude's program is one binary, in a package for each platform; the other two are for Node.
link_agents() {
    claude=$(find "$modules/@anthropic-ai" -path '*claude-code-linux-*' -name claude -type f | grep -v musl)
    chmod 755 "$claude"
    ln -sf "$claude" "$bin/claude"
    shim gemini "$bin/node $modules/@google/gemini-cli/bundle/gemini.js"
    shim codex "$bin/node $modules/@openai/codex/bin/codex.js"
}

case $1 in
    node) link_node ;;
    agents) link_agents ;;
esac
