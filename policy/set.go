package policy

import (
	"crypto/sha256"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/sippet-ai/sippet-mcp/policy/rules"
)

// PolicySet holds the policies of a server, and changes them all at once when
// their files do. It is safe for concurrent use.
type PolicySet struct {
	names    []string // of the server's own
	forNamed []string // instead of them for callers who showed a credential
	shadow   string   // the file of the shadow policy; empty where there is none
	snapshot atomic.Pointer[snapshot]

	mu         sync.Mutex // one reload at a time
	digest     string     // what the files were like at the last look
	extraFiles sync.Map   // policies that callers brought: string → true
}

// snapshot is the policies as they were loaded together.
type snapshot struct {
	own    *rules.Policy
	named  *rules.Policy // nil: own
	shadow *rules.Policy
	// extra are the policies of callers who bring more of their own.
	extra sync.Map // string → *rules.Policy
}

// LoadPolicySet loads the policies of the names, composed; those that hold instead for
// callers who showed a credential, where named has any; and the one that is
// only looked at, where shadow names it.
func LoadPolicySet(names, named []string, shadow string) (*PolicySet, error) {
	if len(named) == 0 {
		named = names
	}
	b := &PolicySet{names: names, forNamed: named, shadow: shadow}
	return b, b.Reload()
}

// FixedPolicySet is a book of one policy that never changes.
func FixedPolicySet(p *rules.Policy) *PolicySet {
	b := &PolicySet{}
	b.snapshot.Store(&snapshot{own: p})
	return b
}

// denyAll is the policy that denies everything.
var denyAll = &rules.Policy{}

// For gives the policy that holds for a caller: the server's own, and what the
// caller brings, whichever is stricter. What cannot be loaded denies everything.
func (b *PolicySet) For(c Caller) *rules.Policy {
	if b == nil {
		return denyAll
	}
	e := b.snapshot.Load()
	switch {
	case c.Policy != "":
	case c.Credential != "" && e.named != nil:
		return e.named
	default:
		return e.own
	}
	if p, ok := e.extra.Load(c.Policy); ok {
		return p.(*rules.Policy)
	}
	for _, name := range b.namesWith(c.Policy) {
		b.extraFiles.Store(name, true) // to be looked at from now on
	}
	p, err := rules.Load(b.namesWith(c.Policy)...)
	if err != nil {
		return denyAll
	}
	e.extra.Store(c.Policy, p)
	return p
}

// namesWith are the policies for callers with credentials and more of them, each once.
func (b *PolicySet) namesWith(more string) []string {
	names := slices.Clone(b.forNamed)
	for name := range strings.SplitSeq(more, ",") {
		if name = strings.TrimSpace(name); name != "" && !slices.Contains(names, name) {
			names = append(names, name)
		}
	}
	return names
}

// CheckExtra says what is wrong with what a caller would bring, in which case everything is denied to them.
func (b *PolicySet) CheckExtra(more string) error {
	if b.For(Caller{Policy: more}) != denyAll {
		return nil
	}
	if _, err := rules.Load(b.namesWith(more)...); err != nil {
		return err
	}
	return errors.New("it could not be read a moment ago; try again")
}

// Own is the server's own policy.
func (b *PolicySet) Own() *rules.Policy { return b.snapshot.Load().own }

// Shadow is evaluated beside the policy that holds, and decides nothing; nil where there is none.
func (b *PolicySet) Shadow() *rules.Policy { return b.snapshot.Load().shadow }

// Reload loads all files anew. Where one is faulty the old policies stay and the error says why.
func (b *PolicySet) Reload() error {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.digest = b.digestFiles()
	own, err := rules.Load(b.names...)
	if err != nil {
		return err
	}
	next := &snapshot{own: own}
	if next.named, err = rules.Load(b.forNamed...); err != nil {
		return err
	}
	if b.shadow != "" {
		next.shadow, err = rules.Load(b.shadow)
		if err == nil && next.shadow.WithoutDefaults() {
			// A file without defaults is meant to be added; alone it would deny everything.
			next.shadow, err = rules.Load(append(slices.Clone(b.names), b.shadow)...)
		}
		if err != nil {
			return fmt.Errorf("shadow: %w", err)
		}
	}
	b.snapshot.Store(next)
	return nil
}

// PollInterval is how often Poll checks the files. docs/policy.md states it.
const PollInterval = time.Second

// Poll reloads after a file has changed, and whenever hup fires, until done is closed. It calls told with the result of each
// reload. It compares the content of the files every PollInterval, which works with every editor and every mount. A change
// is loaded once two checks in a row find the same content, since a file may be half written.
func (b *PolicySet) Poll(done <-chan struct{}, hup <-chan os.Signal, told func(error)) {
	t := time.NewTicker(PollInterval)
	defer t.Stop()
	last := ""
	for {
		select {
		case <-done:
			return
		case <-hup:
		case <-t.C:
			b.mu.Lock()
			now, same := b.digestFiles(), false
			same = now == b.digest
			b.mu.Unlock()
			if still := now == last; same || !still {
				last = now
				continue
			}
		}
		told(b.Reload())
	}
}

// digestFiles sums up what the files hold now. A profile has none.
func (b *PolicySet) digestFiles() string {
	h := sha256.New()
	names := slices.Concat(b.names, b.forNamed, []string{b.shadow})
	b.extraFiles.Range(func(name, _ any) bool { names = append(names, name.(string)); return true })
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
