package main

import (
	"errors"
	"fmt"
	"log/slog"
	"os"
	"runtime"
	"strings"

	"github.com/spf13/cobra"

	"github.com/sippet-ai/sippet-mcp/rpc"
)

// upstreamOptions name a live organisation.
type upstreamOptions struct {
	keyFile string
	baseURL string
}

func (o *upstreamOptions) flags(c *cobra.Command) {
	c.Flags().StringVar(&o.keyFile, "key-file", "", "file with the secret key (else SIPPET_SECRET_KEY)")
	c.Flags().StringVar(&o.baseURL, "base-url", rpc.DefaultBaseURL, "base URL of Sippet's API")
	bindVariables(c, "key-file", "base-url")
}

var errNoOrganisation = errors.New(`no organisation to work in. Either
  try it:   add --sandbox, a simulated organisation that needs no key
  go live:  set SIPPET_SECRET_KEY to the organisation's secret key, or name its file with --key-file`)

func (o *upstreamOptions) client(p *program, log *slog.Logger) (*rpc.Client, error) {
	key, err := o.key(p, log)
	if err != nil {
		return nil, err
	}
	return rpc.New(rpc.Config{BaseURL: o.baseURL, Key: key, Log: log})
}

func (o *upstreamOptions) key(p *program, log *slog.Logger) (rpc.Key, error) {
	if o.keyFile == "" {
		if k := p.env("SIPPET_SECRET_KEY"); k != "" {
			return rpc.Key(k), nil
		}
		return "", errNoOrganisation
	}
	raw, err := os.ReadFile(o.keyFile)
	if err != nil {
		return "", fmt.Errorf("reading the key file: %w", err)
	}
	warnReadable(o.keyFile, log)
	if len(raw) > 4096 {
		return "", fmt.Errorf("the key file %s has %d bytes, too many for a key", o.keyFile, len(raw))
	}
	return rpc.Key(strings.TrimSpace(string(raw))), nil
}

// warnReadable logs a warning if other users of this machine can read a file with a secret.
func warnReadable(file string, log *slog.Logger) {
	if info, err := os.Stat(file); err == nil && runtime.GOOS != "windows" && info.Mode().Perm()&0o077 != 0 {
		log.Warn("other users of this machine can read a secret; chmod 600 the file", "file", file)
	}
}
