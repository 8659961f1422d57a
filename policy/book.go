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

// Book holds the policies of a server, and changes them all at once when
// their files do. It is safe for concurrent use.
type Book struct {
	names   []string // of the server's own
	named   []string // instead of them for callers who showed a credential
	shadow  string   // the file of the shadow policy; empty where there is none
	edition atomic.Pointer[edition]

	mu   sync.Mutex // one reload at a time
	seen string     // what the files were like at the last look
	more sync.Map   // policies that callers brought: string → true
}

// edition is the policies as they were loaded together.
type edition struct {
	own    *rules.Policy
	named  *rules.Policy // nil: own
	shadow *rules.Policy
	// others are the policies of callers who bring more of their own.
	others sync.Map // string → *rules.Policy
}

// NewBook loads the policies of the names, composed; those that hold instead for
// callers who showed a credential, where named has any; and the one that is
// only looked at, where shadow names it.
func NewBook(names, named []string, shadow string) (*Book, error) {
	if len(named) == 0 {
		named = names
	}
	b := &Book{names: names, named: named, shadow: shadow}
	return b, b.Reload()
}

// Fixed is a book of one policy that never changes.
func Fixed(p *rules.Policy) *Book {
	b := &Book{}
	b.edition.Store(&edition{own: p})
	return b
}

// nothing is the policy that denies everything.
var nothing = &rules.Policy{}

// For gives the policy that holds for a caller: the server's own, and what the
// caller brings, whichever is stricter. What cannot be loaded denies everything.
func (b *Book) For(c Caller) *rules.Policy {
	if b == nil {
		return nothing
	}
	e := b.edition.Load()
	switch {
	case c.Policy != "":
	case c.Credential != "" && e.named != nil:
		return e.named
	default:
		return e.own
	}
	if p, ok := e.others.Load(c.Policy); ok {
		return p.(*rules.Policy)
	}
	for _, name := range b.with(c.Policy) {
		b.more.Store(name, true) // to be looked at from now on
	}
	p, err := rules.Load(b.with(c.Policy)...)
	if err != nil {
		return nothing
	}
	e.others.Store(c.Policy, p)
	return p
}

// with are the policies for callers with credentials and more of them, each once.
func (b *Book) with(more string) []string {
	names := slices.Clone(b.named)
	for name := range strings.SplitSeq(more, ",") {
		if name = strings.TrimSpace(name); name != "" && !slices.Contains(names, name) {
			names = append(names, name)
		}
	}
	return names
}

// Try says what is wrong with what a caller would bring, in which case everything is denied to them.
func (b *Book) Try(more string) error {
	if b.For(Caller{Policy: more}) != nothing {
		return nil
	}
	if _, err := rules.Load(b.with(more)...); err != nil {
		return err
	}
	return errors.New("it could not be read a moment ago; try again")
}

// Own is the server's own policy.
func (b *Book) Own() *rules.Policy { return b.edition.Load().own }

// Shadow is evaluated beside the policy that holds, and decides nothing; nil where there is none.
func (b *Book) Shadow() *rules.Policy { return b.edition.Load().shadow }

// Reload loads all files anew. Where one is faulty the old policies stay and the error says why.
func (b *Book) Reload() error {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.seen = b.look()
	own, err := rules.Load(b.names...)
	if err != nil {
		return err
	}
	next := &edition{own: own}
	if next.named, err = rules.Load(b.named...); err != nil {
		return err
	}
	if b.shadow != "" {
		next.shadow, err = rules.Load(b.shadow)
		if err == nil && next.shadow.Bare() {
			// A file without defaults is meant to be added; alone it would deny everything.
			next.shadow, err = rules.Load(append(slices.Clone(b.names), b.shadow)...)
		}
		if err != nil {
			return fmt.Errorf("shadow: %w", err)
		}
	}
	b.edition.Store(next)
	return nil
}

// Watch reloads when a file has changed, and whenever hup fires, until done is
// closed. told gets the outcome of each reload. It looks at the files every
// second, and at their content: that works with every editor and every mount.
// Two looks must agree.
func (b *Book) Watch(done <-chan struct{}, hup <-chan os.Signal, told func(error)) {
	t := time.NewTicker(time.Second)
	defer t.Stop()
	last := ""
	for {
		select {
		case <-done:
			return
		case <-hup:
		case <-t.C:
			b.mu.Lock()
			now, same := b.look(), false
			same = now == b.seen
			b.mu.Unlock()
			// A file that somebody is writing is another one at each look, and half of it may be valid.
			if still := now == last; same || !still {
				last = now
				continue
			}
		}
		told(b.Reload())
	}
}

// look sums up what the files hold now. A profile has none.
func (b *Book) look() string {
	h := sha256.New()
	names := slices.Concat(b.names, b.named, []string{b.shadow})
	b.more.Range(func(name, _ any) bool { names = append(names, name.(string)); return true })
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
