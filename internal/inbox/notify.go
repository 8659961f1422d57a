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

	"github.com/failsafe-go/failsafe-go"
	"github.com/failsafe-go/failsafe-go/retrypolicy"

	"github.com/sippet-ai/sippet-mcp/internal/approval"
	"github.com/sippet-ai/sippet-mcp/internal/ledger"
	"github.com/sippet-ai/sippet-mcp/policy"
	"github.com/sippet-ai/sippet-mcp/schemas"
)

// Notifier sends a webhook, a POST to one URL, for each new approval request and when it ends. A
// notice names no person, and nobody can approve with it.
//
// The body is signed. The header is Sippet-Signature: t=<seconds since 1970>,v1=<hex>. v1 is the
// HMAC-SHA256, under the shared secret, of the seconds, a full stop and the body. Any status but
// 2xx is retried, six times over one to two minutes. Notices that a process has not delivered when
// it ends are lost: they are hints, and the inbox has the state.
type Notifier struct {
	Ledger    ledger.Ledger
	Watch     *approval.Watcher
	Simulated bool
	// Inbox returns the URL of the page; empty while it is unknown.
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

// notice is the body of a webhook.
type notice struct {
	Event     string        `json:"event"` // eventRequested or eventEnded
	Approval  string        `json:"approval"`
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
	eventRequested = "approval.requested"
	eventEnded     = "approval.ended"

	// maxNotices is the capacity of the queue. More are dropped, and logged.
	maxNotices = 1000
	// senders is how many notices are sent at once, so that one that is retried does not delay the
	// others.
	senders = 4
)

// NewNotifier returns a notifier for a URL and a secret. Its errors contain neither: the URL can
// hold a secret too.
func NewNotifier(address, secret string) (*Notifier, error) {
	u, err := url.Parse(address)
	switch {
	case err != nil || u.Host == "":
		return nil, errors.New("SIPPET_NOTIFY_URL is not a URL; set it to one such as https://hooks.example.com/sippet")
	case u.Scheme != "https" && !(u.Scheme == "http" && loopback(u.Hostname())):
		return nil, errors.New("SIPPET_NOTIFY_URL must be https, or http on this machine; others could read or forge the notices")
	case len(secret) < 16:
		return nil, errors.New("SIPPET_NOTIFY_SECRET must have at least 16 characters; the receiver verifies notices with it")
	}
	return &Notifier{url: address, host: u.Host, secret: []byte(secret), queue: make(chan notice, maxNotices), open: map[string]bool{},
		client: &http.Client{Timeout: 10 * time.Second, CheckRedirect: keepRedirect},
		retry: failsafe.With[any](retrypolicy.NewBuilder[any]().
			WithMaxRetries(6).WithBackoff(time.Second, time.Minute).WithJitterFactor(.2).Build())}, nil
}

func loopback(host string) bool { return host == "localhost" || host == "127.0.0.1" || host == "::1" }

// Requested queues the notice of a new request.
func (n *Notifier) Requested(p *policy.PendingApproval) {
	n.mu.Lock()
	n.open[p.ApprovalID] = true
	n.mu.Unlock()
	n.put(notice{Event: eventRequested, Approval: p.ApprovalID, Action: p.Card.Action, Class: p.Card.Class,
		Needs: p.Card.Needs, People: p.Card.RecipientCount, Expires: &p.Card.Expires})
}

func (n *Notifier) put(s notice) {
	s.Simulated, s.At, s.Inbox = n.Simulated, time.Now().UTC(), n.Inbox()
	select {
	case n.queue <- s:
	default:
		n.Log.Warn("a notice was dropped, because too many are queued", "event", s.Event, "host", n.host)
	}
}

// Run sends notices until ctx ends.
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

// follow queues a notice when a request of this process has ended.
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
			found, err := n.Ledger.Approvals(ctx, ledger.ApprovalFilter{ID: id})
			if err != nil || len(found) == 1 && found[0].Open(time.Now()) {
				continue
			}
			state := ledger.Expired // also a request that is no longer stored
			if len(found) == 1 {
				state = found[0].StateAt(time.Now())
			}
			n.mu.Lock()
			delete(n.open, id)
			n.mu.Unlock()
			n.put(notice{Event: eventEnded, Approval: id, State: string(state)})
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
		return errors.New("the request could not be built")
	}
	r.Header.Set("Content-Type", "application/json")
	r.Header.Set("Sippet-Signature", "t="+at+",v1="+hex.EncodeToString(m.Sum(nil)))
	res, err := n.client.Do(r)
	if err != nil {
		var u *url.Error
		if errors.As(err, &u) {
			err = u.Err // the text of u contains the URL
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
