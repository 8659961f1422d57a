package sandbox

import (
	"bytes"
	"encoding/json"
	"errors"
	"io"
	"log/slog"
	"mime"
	"net/http"
	"net/url"
	"strings"
	"unicode/utf8"

	"github.com/sippet-ai/sippet-mcp/internal/sandbox/ash"
)

const (
	runPath      = "/rpc/public/run"
	validatePath = "/rpc/public/validate"
)

// handler does what Phoenix and its parsers do before a request gets to Ash.
type handler struct {
	engine *ash.Engine
	log    *slog.Logger
	// authorise returns the response to a key that may not run the action, or nil.
	authorise func(key, action string) *response
	// pickFault returns the fault of a request, or nil.
	pickFault func(endpoint, action string) *Fault
}

type response struct {
	status     int
	body       []byte
	html       bool
	retryAfter string
}

func (h *handler) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	defer func() {
		if v := recover(); v != nil {
			if v == http.ErrAbortHandler {
				panic(v)
			}
			h.log.Error("sandbox: panic in a request", "panic", v, "path", r.URL.Path)
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
	if rejection := h.authorise(r.Header.Get("X-Api-Key"), action); rejection != nil {
		rejection.write(w)
		return
	}
	fault := h.pickFault(strings.TrimPrefix(path, "/rpc/public/"), action)
	if fault != nil && fault.applyBefore(w, r) {
		return
	}
	out := h.perform(r, req, path == runPath)
	if fault != nil && fault.applyAfter(w, r, out) {
		return
	}
	out.write(w)
}

// perform returns the response of run or validate. Errors of the request have status 200.
func (h *handler) perform(r *http.Request, req map[string]any, running bool) *response {
	call := h.engine.Validate
	if running {
		call = h.engine.Run
	}
	body, err := call(r.Context(), req)
	if err != nil {
		if !errors.Is(err, ash.ErrCrash) {
			h.log.Error("sandbox: request failed", "error", err, "path", r.URL.Path)
		}
		return errorResponse(http.StatusInternalServerError)
	}
	return &response{status: http.StatusOK, body: body}
}

func (r *response) write(w http.ResponseWriter) {
	kind := "application/json; charset=utf-8"
	if r.html {
		kind = "text/html"
	}
	w.Header().Set("Content-Type", kind)
	if r.retryAfter != "" {
		w.Header().Set("Retry-After", r.retryAfter)
	}
	w.WriteHeader(r.status)
	w.Write(r.body) // an error means that the client has disconnected
}

// errorResponse returns Phoenix's response to errors outside of RPC: errors is an object there.
func errorResponse(status int) *response {
	out, err := json.Marshal(map[string]any{"errors": map[string]any{"detail": http.StatusText(status)}})
	if err != nil {
		panic("sandbox: encode status text: " + err.Error())
	}
	return &response{status: status, body: out}
}

// acceptsJSON reports whether an Accept header allows JSON, as a header without valid ranges does.
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

// MaxBody is the largest request body, in bytes. Larger ones get status 413.
const MaxBody = 32 << 20

// readPayload parses the query and the body as Plug's parsers do; the body wins. A status other
// than 0 is that of the response.
func readPayload(w http.ResponseWriter, r *http.Request) (map[string]any, int) {
	req, ok := parseQuery(r.URL.RawQuery)
	if !ok {
		return nil, http.StatusBadRequest
	}
	body, err := io.ReadAll(http.MaxBytesReader(w, r.Body, MaxBody))
	if err != nil {
		var tooLarge *http.MaxBytesError
		if errors.As(err, &tooLarge) {
			return nil, http.StatusRequestEntityTooLarge
		}
		return nil, http.StatusBadRequest
	}
	kind, _, err := mime.ParseMediaType(r.Header.Get("Content-Type"))
	switch {
	case err != nil && r.Header.Get("Content-Type") != "":
		return nil, http.StatusUnsupportedMediaType
	case kind == "application/x-www-form-urlencoded":
		form, ok := parseQuery(string(body))
		if !ok {
			return nil, http.StatusBadRequest
		}
		for k, v := range form {
			req[k] = v
		}
		return req, 0
	case kind != "application/json" && !strings.HasSuffix(kind, "+json"):
		return req, 0 // the body is ignored, so the action is missing
	}
	if len(bytes.TrimSpace(body)) == 0 {
		return req, 0
	}
	v, ok := decodeJSON(body)
	if !ok {
		return nil, http.StatusBadRequest
	}
	m, ok := v.(map[string]any)
	if !ok {
		return req, 0 // Plug stores it under _json, which is not used
	}
	for k, x := range m {
		req[k] = x
	}
	return req, 0
}

// decodeJSON decodes a single JSON value in valid UTF-8, with numbers as json.Number.
func decodeJSON(body []byte) (any, bool) {
	if !utf8.Valid(body) {
		return nil, false
	}
	dec := json.NewDecoder(bytes.NewReader(body))
	dec.UseNumber()
	var v any
	if dec.Decode(&v) != nil {
		return nil, false
	}
	_, err := dec.Token()
	return v, err == io.EOF
}

// parseQuery parses flat parameters. Plug's nested ones, such as a[b]=c, are of no use here.
func parseQuery(raw string) (map[string]any, bool) {
	values, err := url.ParseQuery(raw)
	if err != nil {
		return nil, false
	}
	out := map[string]any{}
	for k, v := range values {
		if !utf8.ValidString(k) || !utf8.ValidString(v[len(v)-1]) {
			return nil, false
		}
		out[k] = v[len(v)-1]
	}
	return out, true
}
