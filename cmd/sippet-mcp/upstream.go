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

// upstreamOptions say which live organisation is reached.
type upstreamOptions struct {
	keyFile string
	baseURL string
}

func (o *upstreamOptions) flags(c *cobra.Command) {
	c.Flags().StringVar(&o.keyFile, "key-file", "", "file that holds the secret key (else SIPPET_SECRET_KEY)")
	c.Flags().StringVar(&o.baseURL, "base-url", rpc.DefaultBaseURL, "where Sippet's API is")
}

// errUnreachable says both ways on.
var errUnreachable = errors.New(`no organisation to work in. Either
  try it:   add --sandbox, a simulated organisation that needs no key
  go live:  put the organisation's secret key into SIPPET_SECRET_KEY, or into a file named by --key-file`)

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
		return "", errUnreachable
	}
	raw, err := os.ReadFile(o.keyFile)
	if err != nil {
		return "", fmt.Errorf("reading the key file: %w", err)
	}
	if info, err := os.Stat(o.keyFile); err == nil && runtime.GOOS != "windows" && info.Mode().Perm()&0o077 != 0 {
		log.Warn("others on this machine can read the key file; chmod 600 it", "file", o.keyFile)
	}
	if len(raw) > 4096 {
		return "", fmt.Errorf("the key file %s holds %d bytes, which is no key", o.keyFile, len(raw))
	}
	return rpc.Key(strings.TrimSpace(string(raw))), nil
}
