package inbox_test

import (
	"context"
	"fmt"
	"net/http"
	"regexp"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/chromedp/cdproto/cdp"
	"github.com/chromedp/cdproto/input"
	cdplog "github.com/chromedp/cdproto/log"
	"github.com/chromedp/cdproto/network"
	cdppage "github.com/chromedp/cdproto/page"
	"github.com/chromedp/cdproto/runtime"
	"github.com/chromedp/chromedp"
)

// strict fails the test if a page does what none may do: a script fails, a dialog opens, another
// server gets a request, or the browser blocks something.
func (b *browser) strict(w *world) *browser {
	b.t.Helper()
	var mu sync.Mutex
	var bad []string
	err := chromedp.Listen(b.ctx, func(e any) {
		what := ""
		switch e := e.(type) {
		case *cdppage.EventJavascriptDialogOpening:
			what = "a dialog: " + e.Message
			go chromedp.Do(b.ctx, chromedp.Func(func(ctx context.Context, t *chromedp.Target) error {
				_, err := cdp.Call(ctx, t, cdppage.HandleJavaScriptDialog, cdppage.HandleJavaScriptDialogParams{})
				return err
			}))
		case *runtime.EventExceptionThrown:
			what = "a script failed: " + fmt.Sprintf("%+v", e.ExceptionDetails)
		case *cdplog.EventEntryAdded:
			if e.Entry.Source != cdplog.EntrySourceNetwork { // tests check rejected requests themselves
				what = fmt.Sprint("the browser says: ", e.Entry.Text)
			}
		case *network.EventRequestWillBeSent:
			if u := e.Request.URL; !strings.HasPrefix(u, w.base+"/") && u != "about:blank" && !strings.HasPrefix(u, "data:image/svg+xml;base64,") {
				what = "a request to " + u
			}
		}
		if what != "" {
			mu.Lock()
			bad = append(bad, what)
			mu.Unlock()
		}
	})
	if err != nil {
		b.t.Fatal(err)
	}
	b.t.Cleanup(func() {
		mu.Lock()
		defer mu.Unlock()
		for _, what := range bad {
			b.t.Error(what)
		}
	})
	return b
}

// tab opens another window of the same browser.
func (b *browser) tab() *browser {
	b.t.Helper()
	ctx, cancel := chromedp.NewContext(b.ctx)
	b.t.Cleanup(cancel)
	return (&browser{b.t, ctx}).opened()
}

// login logs in with a token, and ends on the page of pending requests.
func (b *browser) login(w *world, token string) {
	b.t.Helper()
	b.goTo(w.base + "/inbox/login")
	b.show(token)
	b.until("that the login succeeded", `location.pathname == "/inbox" && document.querySelector("[data-live]")`)
}

// show enters a token on the login page and submits it.
func (b *browser) show(token string) {
	b.t.Helper()
	b.paste("input[name=token]", token)
	b.click(`form[action="/inbox/login"] button`)
}

// paste inserts a text into the first matching element, as from the clipboard.
func (b *browser) paste(selector, text string) {
	b.t.Helper()
	b.until("that "+selector+" is there", loaded+` && document.querySelector(`+quoted(selector)+`)`)
	b.do(chromedp.Focus(chromedp.CSS(selector)), chromedp.Func(func(ctx context.Context, t *chromedp.Target) error {
		_, err := cdp.Call(ctx, t, input.InsertText, input.InsertTextParams{Text: text})
		return err
	}))
}

// sees waits until the first matching element contains the text. Case does not count: browsers
// differ in whether innerText applies text-transform.
func (b *browser) sees(selector, text string) {
	b.t.Helper()
	b.until(fmt.Sprintf("that %s says %q", selector, text), `((document.querySelector(`+quoted(selector)+`)||{}).innerText||"").toLowerCase().includes(`+quoted(strings.ToLower(text))+`)`)
}

// cards waits until the page has n cards.
func (b *browser) cards(n int) {
	b.t.Helper()
	b.until(fmt.Sprintf("%d cards", n), loaded+fmt.Sprintf(` && document.querySelectorAll("[data-card]").length == %d`, n))
}

// never fails the test if the expression becomes true within d.
func (b *browser) never(d time.Duration, what, expression string) {
	b.t.Helper()
	for end := time.Now().Add(d); time.Now().Before(end); time.Sleep(40 * time.Millisecond) {
		if eval[bool](b, `!!(`+expression+`)`) {
			b.shot("failed")
			b.t.Fatal(what)
		}
	}
}

// stays marks the page, and returns a function that fails the test if the page was reloaded since.
func (b *browser) stays() func() {
	b.t.Helper()
	eval[bool](b, `window.stayed = true`)
	return func() {
		b.t.Helper()
		if !eval[bool](b, `window.stayed === true`) {
			b.t.Error("the page was reloaded instead of updated")
		}
	}
}

// press sends keys to the focused element.
func (b *browser) press(keys string) {
	b.t.Helper()
	b.do(chromedp.KeyEvent(keys))
}

// offsetClock is a running clock that can be set forward.
type offsetClock struct{ by atomic.Int64 }

func (a *offsetClock) now() time.Time      { return time.Now().Add(time.Duration(a.by.Load())) }
func (a *offsetClock) add(d time.Duration) { a.by.Add(int64(d)) }

var anyStamp = regexp.MustCompile(`name="(?:line|stamp)" value="(([0-9a-z-]+)\.[0-9]+\.[A-Za-z0-9_-]+)"`)

// stampsOn returns the stamps of a page by subject.
func (v *visitor) stampsOn(path string) map[string]string {
	v.t.Helper()
	res, text := v.get(path)
	if res.StatusCode != http.StatusOK {
		v.t.Fatalf("%s: HTTP %d", path, res.StatusCode)
	}
	all := map[string]string{}
	for _, m := range anyStamp.FindAllStringSubmatch(text, -1) {
		all[m[2]] = m[1]
	}
	return all
}

// json sends JSON to the API with a token; without one it uses the cookie.
func (v *visitor) json(method, path, token, body string) (*http.Response, string) {
	v.t.Helper()
	headers := []string{"Content-Type", "application/json"}
	if token != "" {
		headers = append(headers, "Authorization", "Bearer "+token)
	}
	return v.do(method, "/inbox/api"+path, body, headers...)
}
