package main

import (
	"regexp"
	"strings"
	"testing"
	"time"
)

func TestTokensOnATerminal(t *testing.T) {
	dir := t.TempDir()
	run := func(args ...string) string {
		t.Helper()
		code, out, errs := at(t, t.Context(), &person{}, dir, args...)
		if code != 0 {
			t.Fatalf("%v: %s", args, errs)
		}
		return out
	}
	out := run("tokens", "create", "ada", "--roles", "agent", "--expires", "2w")
	m := regexp.MustCompile(`Authorization: Bearer (smcp_([0-9a-f]{12})_[A-Za-z0-9_-]{43})\n`).FindStringSubmatch(out)
	if m == nil || strings.Count(out, m[1]) != 3 || !strings.Contains(out, "sippet-mcp tokens revoke "+m[2]+" --state-dir "+dir) || !strings.Contains(out, "It is the first token") {
		t.Fatalf("%s", out)
	}
	if out := run("tokens", "create", "bob", "--roles", "agent", "--expires", "never"); strings.Contains(out, "first token") || !strings.Contains(out, "valid until it is revoked") {
		t.Errorf("%s", out)
	}
	if out := run("tokens", "list"); strings.Contains(out, "smcp_") || !strings.Contains(out, m[2]) || !strings.Contains(out, "bob") {
		t.Errorf("%s", out)
	}
	if out := run("tokens", "revoke", m[1]); strings.Contains(out, "smcp_") || !strings.Contains(out, "Token "+m[2]+" is revoked") {
		t.Errorf("%s", out)
	}
	if out := run("tokens", "list"); strings.Contains(out, m[2]) || !strings.Contains(out, "1 token expired or revoked") {
		t.Errorf("%s", out)
	}
	if out := run("people", "remove", "bob"); !strings.Contains(out, "bob is removed: 1 token and 0 approval requests revoked.") {
		t.Errorf("%s", out)
	}
	out = run("audit", "list")
	for _, want := range []string{"token " + m[2] + " (agent) issued by", "token " + m[2] + " revoked by", "removed by", "1 token revoked"} {
		if !strings.Contains(out, want) {
			t.Errorf("%q is missing in %s", want, out)
		}
	}
}

func TestParseExpiry(t *testing.T) {
	now := time.Date(2026, 3, 1, 12, 0, 0, 0, time.Local)
	for s, want := range map[string]time.Time{
		"never": {}, "90d": now.AddDate(0, 0, 90), "2w": now.AddDate(0, 0, 14), "8760h": now.Add(8760 * time.Hour),
		"2027-01-31": time.Date(2027, 2, 1, 0, 0, 0, 0, time.Local), "2026-03-01": time.Date(2026, 3, 2, 0, 0, 0, 0, time.Local),
		"2027-01-31T09:00:00Z": time.Date(2027, 1, 31, 9, 0, 0, 0, time.UTC),
	} {
		if got, err := parseExpiry(s, now); err != nil || !got.Equal(want) {
			t.Errorf("%s: %v, %v", s, got, err)
		}
	}
	for _, s := range []string{"", "soon", "-1h", "0", "0d", "2026-02-28", "90", "d", "99999d"} {
		if got, err := parseExpiry(s, now); err == nil {
			t.Errorf("%q is %v", s, got)
		}
	}
}
