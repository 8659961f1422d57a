package inbox

import (
	"bytes"
	"context"
	"crypto/hmac"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"net/url"
	"strconv"
	"sync"
	"time"

	"github.com/sippet-ai/sippet-mcp/internal/approval"

	"github.com/failsafe-go/failsafe-go"
	"github.com/failsafe-go/failsafe-go/retrypolicy"

	"github.com/sippet-ai/sippet-mcp/internal/ledger"
	"github.com/sippet-ai/sippet-mcp/policy"
	"github.com/sippet-ai/sippet-mcp/schemas"
)

// Notifier tells a program of yours, by a POST to one address, that a question waits and that it ended. What it says
// names no person, and nothing in it lets anybody agree to anything.
//
// The body is signed: Sippet-Signature is `t=<seconds since 1970>,v1=<hex>`, where v1 is the HMAC-SHA256, under the
// secret that both know, of the seconds, a full stop and the body. An answer of 2xx ends it; else it is tried again, six
// times over one to two minutes. What a process has not delivered when it ends is lost: it is a hint, and the inbox is the truth.
type Notifier struct {
	Ledger    ledger.Ledger
	Watch     *approval.Watcher
	Simulated bool
	// Inbox is the address of the page, for the reader; it needs a login.
	Inbox func() string
	Log   *slog.Logger

	url, host string
	secret    []byte
	client    *http.Client
	retry     failsafe.Executor[any]
	queue     chan notice

	mu   sync.Mutex
	open map[string]bool
}

// notice is what is sent.
type notice struct {
	// Event is question.asked or question.ended.
	Event     string        `json:"event"`
	ID        string        `json:"id"`
	Action    string        `json:"action,omitempty"`
	Class     schemas.Class `json:"class,omitempty"`
	Needs     string        `json:"needs,omitempty"`
	People    int           `json:"people,omitempty"`
	Expires   *time.Time    `json:"expires,omitempty"`
	State     string        `json:"state,omitempty"`
	Simulated bool          `json:"simulated,omitempty"`
	Inbox     string        `json:"inbox,omitempty"`
	At        time.Time     `json:"at"`
}

const (
	// maxNotices is how many wait to be sent; more are dropped, with a line in the log.
	maxNotices = 1000
	// senders is how many are sent at once: one that is tried again must not hold up the others.
	senders = 4
)

// NewNotifier checks the address and the secret. Neither may stand in an error: the address can hold a secret too.
func NewNotifier(address, secret string) (*Notifier, error) {
	u, err := url.Parse(address)
	switch {
	case err != nil || u.Host == "":
		return nil, errors.New("SIPPET_NOTIFY_URL is no address: give one such as https://hooks.example.com/sippet")
	case u.Scheme != "https" && !(u.Scheme == "http" && loopback(u.Hostname())):
		return nil, errors.New("SIPPET_NOTIFY_URL must be https, or http on this machine: others could read and forge what is sent")
	case len(secret) < 16:
		return nil, errors.New("SIPPET_NOTIFY_SECRET must have at least 16 characters: the receiver tells by it that a notice is from here")
	}
	n := &Notifier{url: address, host: u.Host, secret: []byte(secret), queue: make(chan notice, maxNotices), open: map[string]bool{},
		client: &http.Client{Timeout: 10 * time.Second, CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }}}
	n.retry = failsafe.With[any](retrypolicy.NewBuilder[any]().WithMaxRetries(6).WithBackoff(time.Second, time.Minute).WithJitterFactor(.2).Build())
	return n, nil
}

func loopback(host string) bool { return host == "localhost" || host == "127.0.0.1" || host == "::1" }

// Requested tells of a new question.
func (n *Notifier) Requested(q *policy.PendingApproval) {
	n.mu.Lock()
	n.open[q.ApprovalID] = true
	n.mu.Unlock()
	n.put(notice{Event: "question.asked", ID: q.ApprovalID, Action: q.Card.Action, Class: q.Card.Class, Needs: q.Card.Needs, People: q.Card.RecipientCount, Expires: &q.Card.Expires})
}

func (n *Notifier) put(s notice) {
	s.Simulated, s.At, s.Inbox = n.Simulated, time.Now().UTC(), n.Inbox()
	select {
	case n.queue <- s:
	default:
		n.Log.Warn("a notice was dropped: too many wait to be sent", "event", s.Event, "host", n.host)
	}
}

// Run sends until ctx ends.
func (n *Notifier) Run(ctx context.Context) {
	var wg sync.WaitGroup
	for range senders {
		wg.Go(func() {
			for {
				select {
				case <-ctx.Done():
					return
				case s := <-n.queue:
					if err := n.retry.WithContext(ctx).Run(func() error { return n.send(ctx, s) }); err != nil && ctx.Err() == nil {
						n.Log.Warn("a notice could not be delivered", "event", s.Event, "host", n.host, "cause", err)
					}
				}
			}
		})
	}
	n.follow(ctx)
	wg.Wait()
}

// follow tells that questions ended which this process asked.
func (n *Notifier) follow(ctx context.Context) {
	changed, stop := n.Watch.Subscribe()
	defer stop()
	again := time.NewTicker(5 * time.Second)
	defer again.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-changed:
		case <-again.C:
		}
		n.mu.Lock()
		ids := make([]string, 0, len(n.open))
		for id := range n.open {
			ids = append(ids, id)
		}
		n.mu.Unlock()
		for _, id := range ids {
			q, err := n.Ledger.Approvals(ctx, ledger.ApprovalFilter{ID: id})
			if err != nil || len(q) == 1 && q[0].Open(time.Now()) {
				continue
			}
			state := "expired"
			if len(q) == 1 && q[0].State != ledger.Pending && q[0].State != ledger.Approved {
				state = string(q[0].State)
			}
			n.mu.Lock()
			delete(n.open, id)
			n.mu.Unlock()
			n.put(notice{Event: "question.ended", ID: id, State: state})
		}
	}
}

func (n *Notifier) send(ctx context.Context, s notice) error {
	body, err := json.Marshal(s)
	if err != nil {
		return err
	}
	at := strconv.FormatInt(time.Now().Unix(), 10)
	m := hmac.New(sha256.New, n.secret)
	m.Write([]byte(at + "."))
	m.Write(body)
	r, err := http.NewRequestWithContext(ctx, http.MethodPost, n.url, bytes.NewReader(body))
	if err != nil {
		return errors.New("the request could not be made")
	}
	r.Header.Set("Content-Type", "application/json")
	r.Header.Set("Sippet-Signature", "t="+at+",v1="+hex.EncodeToString(m.Sum(nil)))
	res, err := n.client.Do(r)
	if err != nil {
		var u *url.Error
		if errors.As(err, &u) {
			err = u.Err // its text holds the address
		}
		return err
	}
	defer res.Body.Close()
	_, _ = io.Copy(io.Discard, io.LimitReader(res.Body, 64<<10))
	if res.StatusCode < 200 || res.StatusCode > 299 {
		return fmt.Errorf("HTTP %d", res.StatusCode)
	}
	return nil
}
