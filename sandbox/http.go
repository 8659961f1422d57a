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
)

// MaxBody is the largest request body, in bytes. Larger ones are answered with 413.
const MaxBody = 32 << 20

const (
	runPath      = "/rpc/public/run"
	validatePath = "/rpc/public/validate"
)

// front is the HTTP side: what Phoenix and its parsers do before a payload
// reaches the engine.
type front struct {
	engine *engine
	log    *slog.Logger
	// admit says whether a key may come in; status is what to answer if not.
	admit func(key string) (status int)
}

func (f *front) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	defer func() {
		if v := recover(); v != nil {
			if v == http.ErrAbortHandler {
				panic(v)
			}
			f.log.Error("sandbox: panic while answering", "panic", v, "path", r.URL.Path)
			detail(w, http.StatusInternalServerError)
		}
	}()
	path := strings.TrimSuffix(r.URL.Path, "/")
	if r.Method != http.MethodPost || path != runPath && path != validatePath {
		detail(w, http.StatusNotFound)
		return
	}
	if !acceptsJSON(r.Header.Values("Accept")) {
		detail(w, http.StatusNotAcceptable)
		return
	}
	req, status := payload(w, r)
	if status != 0 {
		detail(w, status)
		return
	}
	if status := f.admit(r.Header.Get("X-Api-Key")); status != 0 {
		detail(w, status)
		return
	}
	if path == validatePath {
		f.answer(w, r, nil, f.engine.validate(r.Context(), req), false)
		return
	}
	data, err := f.engine.run(r.Context(), req)
	f.answer(w, r, data, err, true)
}

// answer writes what run or validate came to. Every RPC error is status 200.
func (f *front) answer(w http.ResponseWriter, r *http.Request, data any, err error, withData bool) {
	var fs failures
	body := map[string]any{"success": err == nil}
	switch {
	case err == nil:
		if withData {
			body["data"] = data
		}
	case errors.As(err, &fs):
		if fs == nil {
			fs = failures{}
		}
		body["errors"] = []*failure(fs)
	default:
		if !errors.Is(err, errCrash) {
			f.log.Error("sandbox: cannot answer", "error", err, "path", r.URL.Path)
		}
		detail(w, http.StatusInternalServerError)
		return
	}
	out, err := marshal(body)
	if err != nil {
		f.log.Error("sandbox: cannot encode the answer", "error", err)
		detail(w, http.StatusInternalServerError)
		return
	}
	writeJSON(w, http.StatusOK, bytes.TrimSuffix(out, []byte("\n")))
}

func writeJSON(w http.ResponseWriter, status int, body []byte) {
	w.Header().Set("Content-Type", "application/json; charset=utf-8")
	w.WriteHeader(status)
	w.Write(body) // the client may be gone; there is nobody to tell
}

// detail answers as Phoenix does outside of RPC: `errors` is an object there.
func detail(w http.ResponseWriter, status int) {
	text := http.StatusText(status)
	if status == http.StatusInternalServerError {
		text = "Internal Server Error"
	}
	out, _ := json.Marshal(map[string]any{"errors": map[string]any{"detail": text}})
	writeJSON(w, status, out)
}

// acceptsJSON reports whether any range of the Accept header lets JSON through.
func acceptsJSON(values []string) bool {
	ranges := strings.Split(strings.Join(values, ","), ",")
	none := true
	for _, x := range ranges {
		kind, _, err := mime.ParseMediaType(x)
		if strings.TrimSpace(x) == "" || err != nil {
			continue
		}
		none = false
		switch {
		case kind == "*/*" || kind == "application/*" || kind == "application/json" || strings.HasSuffix(kind, "+json"):
			return true
		}
	}
	return none
}

// payload reads the body as Plug's parsers do, and lays it over the query's
// parameters. A status other than 0 is the answer.
func payload(w http.ResponseWriter, r *http.Request) (map[string]any, int) {
	req, ok := queryParams(r.URL.RawQuery)
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
		form, ok := queryParams(string(body))
		if !ok {
			return nil, http.StatusBadRequest
		}
		for k, v := range form {
			req[k] = v
		}
		return req, 0
	case kind != "application/json" && !strings.HasSuffix(kind, "+json"):
		return req, 0 // not parsed, so the action is missing
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
		return req, 0 // Plug keeps it under _json, where nobody looks
	}
	for k, x := range m {
		req[k] = x
	}
	return req, 0
}

// decodeJSON reads one JSON value of valid UTF-8, numbers verbatim.
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

// queryParams reads flat parameters; the nested forms that Plug knows (a[b]=c)
// have no use here.
func queryParams(raw string) (map[string]any, bool) {
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
