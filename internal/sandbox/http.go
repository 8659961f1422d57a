package sandbox

import (
	"encoding/json"
	"errors"
	"log/slog"
	"mime"
	"net/http"
	"strings"

	"github.com/sippet-ai/sippet-mcp/internal/sandbox/ash"
)

const (
	runPath      = "/rpc/public/run"
	validatePath = "/rpc/public/validate"
)

// handler is the HTTP side: what Phoenix and its parsers do before a payload
// reaches the engine.
type handler struct {
	engine *ash.Engine
	log    *slog.Logger
	// authorise says whether a key may run the action; if not, what is answered.
	authorise func(key, action string) *response
	// pickFault gives the fault that a request has; nil is none.
	pickFault func(endpoint, action string) *Fault
}

// response is an answer, ready to be written.
type response struct {
	status     int
	body       []byte
	html       bool
	retryAfter string
}

func (f *handler) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	defer func() {
		if v := recover(); v != nil {
			if v == http.ErrAbortHandler {
				panic(v)
			}
			f.log.Error("sandbox: panic while answering", "panic", v, "path", r.URL.Path)
			errorResponse(http.StatusInternalServerError).write(w)
		}
	}()
	path := strings.TrimSuffix(r.URL.Path, "/")
	if r.Method != http.MethodPost || path != runPath && path != validatePath {
		errorResponse(http.StatusNotFound).write(w)
		return
	}
	if !acceptsJSON(r.Header.Values("Accept")) {
		errorResponse(http.StatusNotAcceptable).write(w)
		return
	}
	req, status := readPayload(w, r)
	if status != 0 {
		errorResponse(status).write(w)
		return
	}
	action, _ := req["action"].(string)
	if no := f.authorise(r.Header.Get("X-Api-Key"), action); no != nil {
		no.write(w)
		return
	}
	fault := f.pickFault(strings.TrimPrefix(path, "/rpc/public/"), action)
	if fault != nil && fault.applyBefore(w, r) {
		return
	}
	out := f.perform(r, req, path == runPath)
	if fault != nil && fault.applyAfter(w, r, out) {
		return
	}
	out.write(w)
}

// perform gives what run or validate comes to. Every RPC error is status 200.
func (f *handler) perform(r *http.Request, req map[string]any, running bool) *response {
	do := f.engine.Validate
	if running {
		do = f.engine.Run
	}
	body, err := do(r.Context(), req)
	if err != nil {
		if !errors.Is(err, ash.ErrCrash) {
			f.log.Error("sandbox: cannot answer", "error", err, "path", r.URL.Path)
		}
		return errorResponse(http.StatusInternalServerError)
	}
	return &response{status: http.StatusOK, body: body}
}

func (p *response) write(w http.ResponseWriter) {
	kind := "application/json; charset=utf-8"
	if p.html {
		kind = "text/html"
	}
	w.Header().Set("Content-Type", kind)
	if p.retryAfter != "" {
		w.Header().Set("Retry-After", p.retryAfter)
	}
	w.WriteHeader(p.status)
	w.Write(p.body) // the client may be gone; there is nobody to tell
}

// errorResponse is an answer of Phoenix's outside of RPC: `errors` is an object there.
func errorResponse(status int) *response {
	out, err := json.Marshal(map[string]any{"errors": map[string]any{"detail": http.StatusText(status)}})
	if err != nil {
		panic("sandbox: a plain text does not encode: " + err.Error())
	}
	return &response{status: status, body: out}
}

// acceptsJSON reports whether any range of the Accept header lets JSON through.
func acceptsJSON(values []string) bool {
	none := true
	for x := range strings.SplitSeq(strings.Join(values, ","), ",") {
		kind, _, err := mime.ParseMediaType(x)
		if strings.TrimSpace(x) == "" || err != nil {
			continue
		}
		none = false
		if kind == "*/*" || kind == "application/*" || kind == "application/json" || strings.HasSuffix(kind, "+json") {
			return true
		}
	}
	return none
}
