#!/bin/sh
# Cursor's own installer, run only where the operator set KNIFY_CURSOR_INSTALL=1: it downloads a
# program that nothing here pins or checks.
set -eu

export HOME=/opt/cursor
mkdir -p "$HOME"
curl -fsS https://cursor.com/install | bash
program=$(readlink -f "$HOME/.local/bin/cursor-agent")
[ -x "$program" ] || { echo "Cursor's installer left no cursor-agent" >&2; exit 1; }
ln -sf "$program" /usr/local/bin/cursor-agent
