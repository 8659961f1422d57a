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

// strict fails the test where a page does what none of ours may: a script of it fails, a dialog opens, something is asked
// of another server, or the browser itself had to stop something.
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
			if e.Entry.Source != cdplog.EntrySourceNetwork { // that a request was refused is for the test to say
				what = fmt.Sprint("the browser says: ", e.Entry.Text)
			}
		case *network.EventRequestWillBeSent:
			if u := e.Request.URL; !strings.HasPrefix(u, w.base+"/") && u != "about:blank" {
				what = "something was asked of " + u
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

// tab is one more window of the same browser.
func (b *browser) tab() *browser {
	b.t.Helper()
	ctx, cancel := chromedp.NewContext(b.ctx)
	b.t.Cleanup(cancel)
	return (&browser{b.t, ctx}).opened()
}

// login shows a token on the login page, and ends on the page of what waits.
func (b *browser) login(w *world, token string) {
	b.t.Helper()
	b.goTo(w.base + "/inbox/login")
	b.show(token)
	b.until("that the login was taken", `location.pathname == "/inbox" && document.querySelector("[data-live]")`)
}

// show types a token on the login page and sends it.
func (b *browser) show(token string) {
	b.t.Helper()
	b.paste("input[name=token]", token)
	b.click(`form[action="/inbox/login"] button`)
}

// paste puts a text into the first element that fits at once, as from the clipboard.
func (b *browser) paste(selector, text string) {
	b.t.Helper()
	b.until("that "+selector+" is there", loaded+` && document.querySelector(`+quoted(selector)+`)`)
	b.do(chromedp.Focus(chromedp.CSS(selector)), chromedp.Func(func(ctx context.Context, t *chromedp.Target) error {
		_, err := cdp.Call(ctx, t, input.InsertText, input.InsertTextParams{Text: text})
		return err
	}))
}

// sees waits until the text stands in the first element that fits, as a reader sees it. Browsers differ in
// whether innerText has the letters that the style makes large, so case does not count.
func (b *browser) sees(selector, text string) {
	b.t.Helper()
	b.until(fmt.Sprintf("that %s says %q", selector, text), `((document.querySelector(`+quoted(selector)+`)||{}).innerText||"").toLowerCase().includes(`+quoted(strings.ToLower(text))+`)`)
}

// cards waits until so many cards are there.
func (b *browser) cards(n int) {
	b.t.Helper()
	b.until(fmt.Sprintf("%d cards", n), fmt.Sprintf(`document.querySelectorAll("[data-card]").length == %d`, n))
}

// never watches for a while that something does not come, because that is a rule of time.
func (b *browser) never(d time.Duration, what, expression string) {
	b.t.Helper()
	for end := time.Now().Add(d); time.Now().Before(end); time.Sleep(40 * time.Millisecond) {
		if eval[bool](b, `!!(`+expression+`)`) {
			b.shot("failed")
			b.t.Fatal(what)
		}
	}
}

// stays marks the page, and gives a func that fails where it was loaded anew since.
func (b *browser) stays() func() {
	b.t.Helper()
	eval[bool](b, `window.stayed = true`)
	return func() {
		b.t.Helper()
		if !eval[bool](b, `window.stayed === true`) {
			b.t.Error("the page was loaded anew, so nothing of this was live")
		}
	}
}

// press sends keys to whatever has the focus.
func (b *browser) press(keys string) {
	b.t.Helper()
	b.do(chromedp.KeyEvent(keys))
}

// ahead is a clock that runs, and can be put forward.
type ahead struct{ by atomic.Int64 }

func (a *ahead) now() time.Time      { return time.Now().Add(time.Duration(a.by.Load())) }
func (a *ahead) add(d time.Duration) { a.by.Add(int64(d)) }

var anyStamp = regexp.MustCompile(`name="(?:line|stamp)" value="(([0-9a-z-]+)\.[0-9]+\.[A-Za-z0-9_-]+)"`)

// stampsOn are the stamps of a page by what they are for, as a program would take them from it.
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

// json sends JSON to the API, with a token where one is given, else with the cookie.
func (v *visitor) json(method, path, token, body string) (*http.Response, string) {
	v.t.Helper()
	headers := []string{"Content-Type", "application/json"}
	if token != "" {
		headers = append(headers, "Authorization", "Bearer "+token)
	}
	return v.do(method, "/inbox/api"+path, body, headers...)
}
