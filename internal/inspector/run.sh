#!/bin/sh
# Run the real clients against the sandbox and show what they said on the wire.
cd "$(dirname "$0")" && exec go test -count=1 -v . "$@"
