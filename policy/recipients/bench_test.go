package recipients

import (
	"fmt"
	"testing"
)

func BenchmarkResolveNumber(b *testing.B) {
	for _, number := range []string{"+442079460123", "+12025550123", "+12684601234", "+4915112345678", "+79123456789"} {
		b.Run(number, func(b *testing.B) {
			p := check(b, "start_outbound_call", map[string]any{"phoneNumber": number})
			b.ReportAllocs()
			for b.Loop() {
				if _, fault := Resolve(b.Context(), p, nil); fault != nil {
					b.Fatal(fault)
				}
			}
		})
	}
}

// BenchmarkResolveContacts resolves one page of 250 contacts. The page is recorded, so that the
// fake costs nothing.
func BenchmarkResolveContacts(b *testing.B) {
	people := newFakeContacts(b)
	var ids []string
	for i := range 250 {
		ids = append(ids, people.add(i+1, "Ada Lovelace", fmt.Sprintf("+442079%06d", 460000+i)))
	}
	p := bulk(b, ids...)
	page := recordedRead(b, people, p)
	b.ReportAllocs()
	for b.Loop() {
		if _, fault := Resolve(b.Context(), p, page); fault != nil {
			b.Fatal(fault)
		}
	}
}

func BenchmarkLines(b *testing.B) {
	s := Set{List: []Recipient{{Contact: "c", Name: "Ada Lovelace", Number: "+442079460123", Country: "GB", Kind: FixedLine}}}
	b.ReportAllocs()
	for b.Loop() {
		s.Lines(1)
	}
}
