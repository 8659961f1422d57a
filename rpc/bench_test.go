package rpc_test

import (
	"bytes"
	"context"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/sippet-ai/sippet-mcp/rpc"
)

// page returns a typical answer, with about 200 bytes a row.
func page(rows int) []byte {
	row := `{"id":"c0000000-0000-4000-8000-000000000001","fullName":"Ada Lovelace","email":"ada@example.com","phoneE164":"+4915112345678","insertedAt":"2026-01-15T12:00:00.000000Z","languages":["en","de"],"n":12}`
	return []byte(`{"success":true,"data":{"results":[` + strings.TrimSuffix(strings.Repeat(row+",", rows), ",") + `],"hasMore":false,"limit":25,"type":"keyset"}}`)
}

// BenchmarkRun compares a call with a bare round trip to the same server, in the same process.
func BenchmarkRun(b *testing.B) {
	answer := page(25)
	s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		io.Copy(io.Discard, r.Body)
		w.Write(answer)
	}))
	defer s.Close()
	body := []byte(`{"action":"list_contacts","fields":["id","fullName"],"page":{"limit":25}}`)
	b.Run("bare", func(b *testing.B) {
		b.ReportAllocs()
		for b.Loop() {
			r, err := http.NewRequest("POST", s.URL+"/rpc/public/run", bytes.NewReader(body))
			if err != nil {
				b.Fatal(err)
			}
			res, err := http.DefaultTransport.RoundTrip(r)
			if err != nil {
				b.Fatal(err)
			}
			io.Copy(io.Discard, res.Body)
			res.Body.Close()
		}
	})
	c := client(b, s.URL)
	for name, r := range map[string]rpc.Request{"read": {Action: "list_contacts", Body: body, Read: true}, "write": {Action: "list_contacts", Body: body}} {
		b.Run(name, func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				if _, err := c.Run(context.Background(), r); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}
