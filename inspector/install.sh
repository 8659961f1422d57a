#!/usr/bin/env bash
# Installs the MCP Inspector and its Node into a cache and prints the folder
# that holds node and mcp-inspector. A second run finds them there.
set -euo pipefail
here=$(cd "$(dirname "$0")" && pwd)
cache="${XDG_CACHE_HOME:-$HOME/.cache}/sippet-mcp/inspector-$(cksum <"$here/package.json" | cut -d' ' -f1)"
bin="$cache/node_modules/.bin"
if ! "$bin/node" --version >/dev/null 2>&1 || [ ! -e "$bin/mcp-inspector" ]; then
  mkdir -p "$cache"
  cp "$here/package.json" "$cache/package.json"
  (cd "$cache" && npm install --no-package-lock --no-audit --no-fund --loglevel=error >&2)
fi
echo "$bin"
