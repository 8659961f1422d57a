package main

import (
	"fmt"
	"log/slog"
	"time"

	"github.com/lmittmann/tint"
	"github.com/spf13/cobra"

	"github.com/sippet-ai/sippet-mcp/schemas"
)

// logLevelFlag defines --log-level.
func logLevelFlag(c *cobra.Command, level *string) {
	c.Flags().StringVar(level, "log-level", "info", "debug, info, warn or error")
	bindVariables(c, "log-level")
}

// newLogger returns a log on stderr: coloured lines on a terminal, else JSON.
func newLogger(p *program, name string) (*slog.Logger, error) {
	var level slog.Level
	if err := level.UnmarshalText([]byte(name)); err != nil {
		return nil, fmt.Errorf("unknown log level %q: use debug, info, warn or error", name)
	}
	if p.errTerminal {
		return slog.New(tint.NewTextHandler(p.err, &tint.Options{Level: level, TimeFormat: time.TimeOnly, ReplaceAttr: escapeAttr})), nil
	}
	return slog.New(slog.NewJSONHandler(p.err, &slog.HandlerOptions{Level: level})), nil
}

// escapeAttr escapes what a terminal would obey: a log line may quote untrusted text.
func escapeAttr(_ []string, a slog.Attr) slog.Attr {
	switch v := a.Value.Resolve(); v.Kind() {
	case slog.KindString:
		a.Value = slog.StringValue(schemas.Escape(v.String(), maxLogged))
	case slog.KindAny:
		if err, ok := v.Any().(error); ok {
			a.Value = slog.StringValue(schemas.Escape(err.Error(), maxLogged))
		}
	}
	return a
}

// maxLogged is the most characters of a value in the log.
const maxLogged = 2000
