package main

import (
	"bytes"
	"fmt"
	"io"
	"net"
	"net/http"
	"strings"
)

// upstream stands in for Sippet: it answers at once and remembers nothing.
type upstream struct {
	url string
	srv *http.Server
}

const key = "sk_bench_0123456789"

func newUpstream() (*upstream, error) {
	rows := make([]string, 25)
	for i := range rows {
		rows[i] = fmt.Sprintf(`{"defaultLanguage":"en","deletedAt":null,"email":"person%02d@example.com","erasedAt":null,"fullName":"Person Number %02d","id":"c0000000-0000-4000-8000-0000000000%02d","phoneE164":"+4477009001%02d"}`, i, i, i, i)
	}
	page := []byte(`{"success":true,"data":{"after":null,"before":null,"count":null,"hasMore":true,"limit":25,"nextPage":"g2wAAAABbQAAACRj","previousPage":"g2wAAAABbQAAACRk","results":[` +
		strings.Join(rows, ",") + `],"type":"keyset"}}`)
	record := []byte(`{"success":true,"data":` + rows[0] + `}`)
	passed := []byte(`{"success":true}`)
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return nil, err
	}
	u := &upstream{url: "http://" + ln.Addr().String()}
	u.srv = &http.Server{Handler: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		body, _ := io.ReadAll(r.Body)
		w.Header().Set("Content-Type", "application/json")
		switch {
		case strings.HasSuffix(r.URL.Path, "/validate"):
			_, _ = w.Write(passed)
		case bytes.Contains(body, []byte(`"list_contacts"`)):
			_, _ = w.Write(page)
		default:
			_, _ = w.Write(record)
		}
	})}
	go func() { _ = u.srv.Serve(ln) }()
	return u, nil
}

// post is what every door does in the end.
func post(c *http.Client, base, endpoint string, body []byte) ([]byte, error) {
	req, err := http.NewRequest(http.MethodPost, base+"/rpc/public/"+endpoint, bytes.NewReader(body))
	if err != nil {
		return nil, err
	}
	req.Header.Set("Content-Type", "application/json")
	req.Header.Set("Accept", "application/json")
	req.Header.Set("X-Api-Key", key)
	res, err := c.Do(req)
	if err != nil {
		return nil, err
	}
	defer res.Body.Close()
	return io.ReadAll(res.Body)
}

func client() *http.Client {
	t := http.DefaultTransport.(*http.Transport).Clone()
	t.MaxIdleConnsPerHost = 128
	return &http.Client{Transport: t}
}
