package tools_test

import "github.com/sippet-ai/sippet-mcp/rpc/rpctest"

// validateFaults are the ways in which validate does not pass.
var validateFaults = map[string]struct {
	handler rpctest.Handler
	outcome string
	slow    bool
}{
	"refused":     {rpctest.Refuse("invalid_attribute", "is invalid"), "validation_failed", false},
	"forbidden":   {rpctest.Faults(), "validation_failed", false},
	"401":         {rpctest.Status(401, "no"), "upstream_error", false},
	"403":         {rpctest.Status(403, ""), "upstream_error", false},
	"404":         {rpctest.Status(404, "<html>"), "upstream_error", false},
	"429":         {rpctest.Status(429, "", 30), "upstream_error", false},
	"500":         {rpctest.Status(500, `{"errors":{"detail":"Internal Server Error"}}`), "upstream_unavailable", false},
	"503":         {rpctest.Status(503, ""), "upstream_unavailable", false},
	"HTML":        {rpctest.HTML, "upstream_unavailable", false},
	"truncated":   {rpctest.Truncated, "upstream_unavailable", false},
	"oversize":    {rpctest.Oversize, "upstream_unavailable", true},
	"hang":        {rpctest.Hang, "upstream_unavailable", true},
	"reset after": {rpctest.Reset, "upstream_unavailable", false},
}
