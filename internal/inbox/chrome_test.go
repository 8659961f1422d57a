package inbox_test

import (
	"context"
	"encoding/json"
	"os"
	"os/exec"
	"path/filepath"
	"sync"
	"testing"
	"time"

	"github.com/chromedp/cdproto/cdp"
	"github.com/chromedp/cdproto/emulation"
	"github.com/chromedp/chromedp"
)

// chromium returns the path of a browser. Without one the test is skipped; in CI it fails.
func chromium(t testing.TB) string {
	t.Helper()
	if testing.Short() {
		t.Skip("browsers are not run with -short")
	}
	for _, name := range []string{"chromium", "chromium-browser", "google-chrome", "google-chrome-stable"} {
		if path, err := exec.LookPath(name); err == nil {
			return path
		}
	}
	if os.Getenv("CI") != "" {
		t.Fatal("Chromium is missing; in CI the pages must be tested")
	}
	t.Skip("the pages are not tested, because Chromium is missing; install it")
	return ""
}

// chrome is the headless Chromium of all tests. The first test that needs it starts it.
var chrome struct {
	once sync.Once
	ctx  context.Context
	end  func()
	err  error
}

func TestMain(m *testing.M) {
	code := m.Run()
	if chrome.end != nil {
		chrome.end()
	}
	os.Exit(code)
}

// browser is the browser of one person. It has its own cookies, like a private window.
type browser struct {
	t   testing.TB
	ctx context.Context
}

func newBrowser(t testing.TB) *browser {
	t.Helper()
	path := chromium(t)
	chrome.once.Do(func() {
		o := append(chromedp.DefaultExecAllocatorOptions[:], chromedp.ExecPath(path), chromedp.NoSandbox, chromedp.DisableGPU,
			chromedp.Flag("disable-quic", true), chromedp.Flag("disable-component-update", true), chromedp.Flag("disable-dev-shm-usage", true))
		alloc, stop := chromedp.NewExecAllocator(context.Background(), o...)
		ctx, cancel := chromedp.NewContext(alloc)
		chrome.ctx, chrome.end = ctx, func() { cancel(); stop() }
		// The first run starts the browser, so it must not have a deadline.
		chrome.err = chromedp.Do(ctx, chromedp.Navigate("about:blank"))
	})
	if chrome.err != nil {
		t.Fatalf("starting %s: %v", path, chrome.err)
	}
	ctx, cancel := chromedp.NewContext(chrome.ctx, chromedp.WithNewBrowserContext())
	t.Cleanup(cancel)
	return (&browser{t, ctx}).opened()
}

// opened returns the browser after its window is open.
func (b *browser) opened() *browser {
	b.t.Helper()
	if err := chromedp.Do(b.ctx, chromedp.EmulateViewport(1100, 900), chromedp.Navigate("about:blank")); err != nil {
		b.t.Fatal(err)
	}
	return b
}

// run runs an action within 30 seconds.
func run[T any](b *browser, a chromedp.Action[T]) (T, error) {
	ctx, cancel := context.WithTimeout(b.ctx, 30*time.Second)
	defer cancel()
	return chromedp.Run(ctx, a)
}

// do runs actions that must succeed.
func (b *browser) do(actions ...chromedp.Action[chromedp.Void]) {
	b.t.Helper()
	if _, err := run(b, chromedp.Steps(actions...)); err != nil {
		b.shot("failed")
		b.t.Fatalf("in the browser: %v", err)
	}
}

// shot saves a picture of the whole page with `go test -artifacts`.
func (b *browser) shot(name string) {
	b.t.Helper()
	png, err := run(b, chromedp.FullScreenshot(100))
	if err != nil {
		b.t.Logf("no picture: %v", err)
		return
	}
	dir, ok := b.t.(interface{ ArtifactDir() string })
	if !ok {
		return
	}
	if err := os.WriteFile(filepath.Join(dir.ArtifactDir(), name+".png"), png, 0o644); err != nil {
		b.t.Error(err)
	}
}

// look sets the colour scheme and the size of the screen.
func (b *browser) look(scheme string, phone bool) {
	b.t.Helper()
	screen := chromedp.EmulateViewport(1000, 800)
	if phone {
		screen = chromedp.EmulateViewport(390, 844, chromedp.EmulateScale(2), chromedp.EmulateMobile)
	}
	b.do(screen, chromedp.Func(func(ctx context.Context, t *chromedp.Target) error {
		_, err := cdp.Call(ctx, t, emulation.SetEmulatedMedia, emulation.SetEmulatedMediaParams{Features: []*emulation.MediaFeature{{Name: "prefers-color-scheme", Value: scheme}}})
		return err
	}))
}

// goTo opens a page.
func (b *browser) goTo(url string) {
	b.t.Helper()
	b.do(chromedp.Navigate(url))
}

// eval returns the value of an expression in the page.
func eval[T any](b *browser, expression string) T {
	b.t.Helper()
	v, err := run(b, chromedp.Evaluate[T](expression))
	if err != nil {
		b.shot("failed")
		b.t.Fatalf("%s: %v", expression, err)
	}
	return v
}

// loaded is true after a page was loaded. Before that, Chromium discards the ids of all nodes when
// the document has been parsed, and the layout changes when the style is loaded.
const loaded = `document.readyState == "complete"`

// click clicks the first matching element. It waits until the element is visible and enabled.
func (b *browser) click(selector string) {
	b.t.Helper()
	b.until("that "+selector+" can be pressed", loaded+` && (e => e && !e.disabled && e.offsetParent)(document.querySelector(`+quoted(selector)+`))`)
	b.do(chromedp.Click(chromedp.CSS(selector)))
}

// write types into the first matching element.
func (b *browser) write(selector, text string) {
	b.t.Helper()
	b.until("that "+selector+" is there", loaded+` && document.querySelector(`+quoted(selector)+`)`)
	b.do(chromedp.SendKeys(chromedp.CSS(selector), text))
}

// text returns the visible text of the first matching element; empty without one.
func (b *browser) text(selector string) string {
	b.t.Helper()
	return eval[string](b, `(document.querySelector(`+quoted(selector)+`)||{}).innerText||""`)
}

func (b *browser) count(selector string) int {
	b.t.Helper()
	return eval[int](b, `document.querySelectorAll(`+quoted(selector)+`).length`)
}

// until waits until the expression is true in the page.
func (b *browser) until(what, expression string) {
	b.t.Helper()
	var last error
	for end := time.Now().Add(30 * time.Second); time.Now().Before(end); time.Sleep(40 * time.Millisecond) {
		ok, err := run(b, chromedp.Evaluate[bool](`!!(`+expression+`)`))
		if last = err; err == nil && ok {
			return
		}
	}
	b.shot("failed")
	page, _ := run(b, chromedp.Evaluate[string](`document.body.innerText`))
	b.t.Fatalf("%s: not within 30 seconds (%v); the page:\n%s", what, last, page)
}

// quoted returns a string as a JavaScript literal.
func quoted(s string) string {
	raw, err := json.Marshal(s)
	if err != nil {
		panic(err) // strings always marshal
	}
	return string(raw)
}
