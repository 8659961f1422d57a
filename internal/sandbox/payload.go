package sandbox

import (
	"bytes"
	"encoding/json"
	"errors"
	"io"
	"mime"
	"net/http"
	"net/url"
	"strings"
	"unicode/utf8"
)

// MaxBody is the largest request body, in bytes. Larger ones are answered with 413.
const MaxBody = 32 << 20

// readPayload reads the body as Plug's parsers do, and lays it over the query's
// parameters. A status other than 0 is the answer.
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

// parseQuery reads flat parameters; the nested forms that Plug knows (a[b]=c)
// have no use here.
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
