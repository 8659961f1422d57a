package policy

import (
	"crypto/sha256"
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"os"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/sippet-ai/sippet-mcp/policy/rules"
)

// PolicySet holds the policies of a server and replaces them all at once when their files change.
// It is safe for concurrent use.
type PolicySet struct {
	names    []string // the server's own policies
	forNamed []string // the policies for callers with a credential, instead of names
	shadow   string   // the file of the shadow policy; empty without one
	current  atomic.Pointer[snapshot]

	mu     sync.Mutex      // guards a reload and the fields below
	digest string          // of the files at the last reload
	extra  map[string]bool // what Add was called with
}

// snapshot is a set of policies that were loaded together. It never changes.
type snapshot struct {
	own    *rules.Policy
	named  *rules.Policy
	shadow *rules.Policy
	extra  map[string]*rules.Policy // by Caller.Policy
}

// LoadPolicySet loads the named policies, composed; the policies for callers with a credential, if
// there are any, else the same; and the shadow policy, if it is named.
func LoadPolicySet(names, forNamed []string, shadow string) (*PolicySet, error) {
	if len(forNamed) == 0 {
		forNamed = names
	}
	s := &PolicySet{names: names, forNamed: forNamed, shadow: shadow}
	return s, s.Reload()
}

// FixedPolicySet returns a set of one policy that never changes.
func FixedPolicySet(p *rules.Policy) *PolicySet {
	s := &PolicySet{}
	s.current.Store(&snapshot{own: p, named: p})
	return s
}

// denyAll is the policy for callers with a policy that was not added.
var denyAll = &rules.Policy{}

// For returns the policy for a caller: the server's own, and the caller's additional one if Add was
// called for it; else everything is denied.
func (s *PolicySet) For(c Caller) *rules.Policy {
	if s == nil {
		return denyAll
	}
	now := s.current.Load()
	switch {
	case c.Policy != "":
		if p := now.extra[c.Policy]; p != nil {
			return p
		}
		return denyAll
	case c.Credential != "":
		return now.named
	}
	return now.own
}

// Add loads the additional policy of a caller: comma-separated names of policies that apply
// together with the server's. It does nothing if the policy was added before. After an error the
// caller is denied everything.
func (s *PolicySet) Add(extra string) error {
	if s.current.Load().extra[extra] != nil {
		return nil
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	old := s.current.Load()
	if old.extra[extra] != nil {
		return nil
	}
	p, err := rules.Load(s.namesWith(extra)...)
	if err != nil {
		return err
	}
	next := &snapshot{own: old.own, named: old.named, shadow: old.shadow, extra: map[string]*rules.Policy{extra: p}}
	for name, p := range old.extra {
		next.extra[name] = p
	}
	if s.extra == nil {
		s.extra = map[string]bool{}
	}
	s.extra[extra] = true
	s.current.Store(next)
	return nil
}

// namesWith returns the policies for callers with a credential and the additional ones, each once.
func (s *PolicySet) namesWith(extra string) []string {
	names := slices.Clone(s.forNamed)
	for name := range strings.SplitSeq(extra, ",") {
		if name = strings.TrimSpace(name); name != "" && !slices.Contains(names, name) {
			names = append(names, name)
		}
	}
	return names
}

// Own returns the server's own policy.
func (s *PolicySet) Own() *rules.Policy { return s.current.Load().own }

// shadowPolicy returns the policy that is evaluated beside the one in force and decides nothing;
// nil without one.
func (s *PolicySet) shadowPolicy() *rules.Policy { return s.current.Load().shadow }

// ExtraPolicyError means that the additional policy of a caller is faulty. The caller is denied
// everything until it is corrected; all other policies are in force.
type ExtraPolicyError struct {
	// Policy is the caller's policy, as Add got it.
	Policy string
	Err    error
}

func (e *ExtraPolicyError) Error() string { return "policy " + e.Policy + ": " + e.Err.Error() }

func (e *ExtraPolicyError) Unwrap() error { return e.Err }

// Reload loads all files again. If one of the server's files is faulty, it returns why and keeps
// all previous policies. If only additional policies are faulty, it returns an *ExtraPolicyError
// for each, joined, and the others are in force.
func (s *PolicySet) Reload() error {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.digest = s.digestFiles()
	next := &snapshot{extra: map[string]*rules.Policy{}}
	var err error
	if next.own, err = rules.Load(s.names...); err != nil {
		return err
	}
	if next.named, err = rules.Load(s.forNamed...); err != nil {
		return err
	}
	var faulty []error
	for _, extra := range slices.Sorted(maps.Keys(s.extra)) {
		p, err := rules.Load(s.namesWith(extra)...)
		if err != nil {
			faulty = append(faulty, &ExtraPolicyError{extra, err})
			continue
		}
		next.extra[extra] = p
	}
	if s.shadow != "" {
		next.shadow, err = rules.Load(s.shadow)
		if err == nil && next.shadow.WithoutDefaults() {
			// A file without defaults is meant as an addition; alone it would deny everything.
			next.shadow, err = rules.Load(append(slices.Clone(s.names), s.shadow)...)
		}
		if err != nil {
			return fmt.Errorf("shadow: %w", err)
		}
	}
	s.current.Store(next)
	return errors.Join(faulty...)
}

// PollInterval is how often Poll reads the files. docs/policy.md states it.
const PollInterval = time.Second

// Poll reloads when the content of a file has changed, and when hup fires, until done is closed;
// report gets the result of each reload. A change counts once two polls have read the same content,
// because half of a file may be valid. Comparing content works with every editor and every mount.
func (s *PolicySet) Poll(done <-chan struct{}, hup <-chan os.Signal, report func(error)) {
	t := time.NewTicker(PollInterval)
	defer t.Stop()
	last := ""
	for {
		select {
		case <-done:
			return
		case <-hup:
		case <-t.C:
			s.mu.Lock()
			now := s.digestFiles()
			unchanged := now == s.digest
			s.mu.Unlock()
			if stable := now == last; unchanged || !stable {
				last = now
				continue
			}
		}
		report(s.Reload())
	}
}

// digestFiles returns a digest of the files' content. Built-in profiles have no file. The caller
// holds mu.
func (s *PolicySet) digestFiles() string {
	h := sha256.New()
	names := slices.Concat(s.names, s.forNamed, []string{s.shadow})
	for extra := range s.extra {
		names = append(names, s.namesWith(extra)...)
	}
	slices.Sort(names)
	for _, name := range slices.Compact(names) {
		if slices.Contains(rules.Profiles, name) || name == "" {
			continue
		}
		raw, err := os.ReadFile(name)
		if err != nil && !os.IsNotExist(err) {
			raw = []byte(fs.ErrPermission.Error())
		}
		fmt.Fprintf(h, "%d %s", len(raw), raw)
	}
	return string(h.Sum(nil))
}
