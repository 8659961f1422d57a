package recipients

import (
	"fmt"
	"testing"

	"pgregory.net/rapid"
)

// drawContacts draws contacts that can be rung, and adds them.
func drawContacts(t *rapid.T, b *fakeContacts) []string {
	var ids []string
	n := rapid.IntRange(1, 40).Draw(t, "people")
	for i := range n {
		number := fmt.Sprintf("+4420794%04d0", 6000+i) // one person's number is no other's, with its last digit changed too
		ids = append(ids, b.add(i+1, rapid.String().Draw(t, "name"), number))
	}
	return ids
}

func resolveAll(t *rapid.T, b *fakeContacts, ids []string) *Set {
	set, fault := Resolve(t.Context(), bulk(t, ids...), b.read)
	if fault != nil {
		t.Fatalf("%v", fault)
	}
	return set
}

func TestDigest(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		b := newFakeContacts(t)
		ids := drawContacts(t, b)
		before := resolveAll(t, b, ids)
		if before.Count != len(ids) || len(before.List) != len(ids) {
			t.Fatalf("%d of %d", before.Count, len(ids))
		}
		if d := resolveAll(t, b, rapid.Permutation(ids).Draw(t, "order")).Digest; d != before.Digest {
			t.Errorf("the order changed the digest")
		}
		who := rapid.SampledFrom(ids).Draw(t, "who")
		b.rows[who]["fullName"] = "somebody else"
		if d := resolveAll(t, b, ids).Digest; d != before.Digest {
			t.Errorf("a name changed the digest")
		}
		old := b.rows[who]["phoneE164"].(string)
		b.rows[who]["phoneE164"] = "+44207946" + old[9:12] + string('0'+(old[12]-'0'+1)%10)
		if d := resolveAll(t, b, ids).Digest; d == before.Digest {
			t.Errorf("%s is now %s and the digest is the same", old, b.rows[who]["phoneE164"])
		}
		if len(ids) > 1 {
			b.rows[who]["phoneE164"] = old
			if resolveAll(t, b, ids[1:]).Digest == before.Digest {
				t.Errorf("one contact fewer, and the digest is the same")
			}
			// Two contacts that swap numbers are other recipients.
			x, y := b.rows[ids[0]], b.rows[ids[1]]
			if x["phoneE164"] != y["phoneE164"] {
				x["phoneE164"], y["phoneE164"] = y["phoneE164"], x["phoneE164"]
				if resolveAll(t, b, ids).Digest == before.Digest {
					t.Errorf("two numbers were swapped, and the digest is the same")
				}
			}
		}
	})
}

func TestDigestDistinct(t *testing.T) {
	seen := map[string]int{}
	for i, s := range []Set{
		{Count: 1}, {Count: 2}, {Group: "a", Count: 1}, {Group: "a", Count: 2}, {Group: "b", Count: 1}, {Group: "a1", Count: 1}, {Group: "a", Count: 11},
		{List: []Recipient{{Number: "+1"}}, Count: 1}, {List: []Recipient{{Contact: "+1"}}, Count: 1},
		{List: []Recipient{{Contact: "a", Number: "+1"}}, Count: 1}, {List: []Recipient{{Contact: "a", Number: "+1"}, {}}, Count: 1},
		{List: []Recipient{{Contact: "a", Number: "+1"}}, Group: "a", Count: 1},
	} {
		if j, ok := seen[s.computeDigest().Digest]; ok {
			t.Errorf("%d and %d have one digest", i, j)
		}
		seen[s.Digest] = i
	}
	// A digest is stored with an approval request and compared after an update of the program, so
	// it never changes.
	s := Set{List: []Recipient{{Number: "+442079460123", Country: "GB", Kind: FixedLine}}, Count: 1}
	if got, want := s.computeDigest().Digest, "c94349dd757af4491d1ea1b9d2fd422edcfe4a49da3445d86777e9b8bd5b5637"; got != want {
		t.Errorf("the digest of one number is now %s", got)
	}
}
