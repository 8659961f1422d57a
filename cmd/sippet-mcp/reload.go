package main

import (
	"errors"
	"log/slog"
	"os"
	"os/signal"

	"github.com/sippet-ai/sippet-mcp/policy"
)

// reloadPolicies loads the policies again when a file changes, or on SIGHUP, until done is closed.
func reloadPolicies(policies *policy.PolicySet, done <-chan struct{}, log *slog.Logger) {
	hup := make(chan os.Signal, 1)
	notifyReload(hup)
	defer signal.Stop(hup)
	policies.Poll(done, hup, func(err error) {
		var extra *policy.ExtraPolicyError
		switch {
		case errors.As(err, &extra):
			log.Error("policy of a token is faulty; its callers are denied until it is corrected", "cause", err)
			return
		case err != nil:
			log.Error("policy reload failed; keeping the previous policy", "cause", err)
			return
		}
		log.Info("policy reloaded", "policy", policies.Own().Name(), "version", policies.Own().Version())
		warnExpired(policies, log)
	})
}

// warnExpired logs the exemptions that have expired.
func warnExpired(policies *policy.PolicySet, log *slog.Logger) {
	for _, note := range policies.Own().ExpiredExemptions() {
		log.Warn("expired exemption in the policy", "note", note)
	}
}
