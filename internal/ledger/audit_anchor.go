package ledger

import (
	"encoding/hex"
	"fmt"
	"strings"
)

// The anchor is where the chain begins once its oldest records were removed:
// number and hash of the last of them. It stands in meta with a code that only
// the master key can make, and the last record of PhasePruned says the same, so
// that nobody else can remove records from the start.

const anchorQuery = "SELECT value FROM meta WHERE name = 'anchor'"

func (s *sealer) anchor(h head) string {
	return fmt.Sprintf("%d %x %x", h.seq, h.hash, mac(s.head, fmt.Sprintf("anchor %d %x", h.seq, h.hash)))
}

// openAnchor reads what anchor wrote; it reports whether the code is right. Empty is the start of a whole chain.
func (s *SQLite) openAnchor(value string) (h head, ok bool) {
	if value == "" {
		return head{0, genesis(s.id)}, true
	}
	var hash string
	fmt.Sscanf(value, "%d %s", &h.seq, &hash)
	raw, err := hex.DecodeString(hash)
	if err != nil || len(raw) != len(h.hash) {
		return head{0, genesis(s.id)}, false
	}
	copy(h.hash[:], raw)
	return h, s.seal.anchor(h) == value
}

// eachKey calls f with the ids of the keys that a record's line names. A quote inside a string of JSON is escaped, so
// these lists are found where they are and nowhere else, for a small part of what decoding the line costs.
func eachKey(line string, f func(id string)) {
	for _, list := range []string{`"subjects":["`, `"keys":["`} {
		if _, rest, ok := strings.Cut(line, list); ok {
			if ids, _, ok := strings.Cut(rest, `"]`); ok {
				for id := range strings.SplitSeq(ids, `","`) {
					f(id)
				}
			}
		}
	}
}
