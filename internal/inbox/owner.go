package inbox

import (
	"context"
	"crypto/hmac"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"io"
	"net"
	"net/http"
	"net/url"
	"strings"
	"time"

	"github.com/sippet-ai/sippet-mcp/internal/ledger"
)

// ownerPath is where an inbox proves that it belongs to a state directory. Another program may have
// taken the port. So a process checks the proof before it sends a login code there, and a page
// before it sends anything with its cookie.
//
// The proof is a code of a nonce and of the origin, under a key for a salt. A process derives the
// key from the ledger's secret. A page gets its own salt and key when it is rendered.
const ownerPath = Path + "/owner"

// ownerProof is the answer at ownerPath.
type ownerProof struct {
	Proof string `json:"proof"`
	// Pages is that of Inbox.Pages, for processes of the ledger only.
	Pages int `json:"pages,omitempty"`
}

// proveOwner answers a nonce with the proof. It does so only for an origin of its own: a program
// that listens elsewhere cannot pass the nonce on and use the proof of the real inbox.
func (i *Inbox) proveOwner(w http.ResponseWriter, r *http.Request) {
	q := r.URL.Query()
	origin, salt, nonce := q.Get("origin"), q.Get("salt"), q.Get("nonce")
	if !isHex32(salt) || !isHex32(nonce) {
		http.Error(w, "salt and nonce must have 32 hexadecimal digits", http.StatusBadRequest)
		return
	}
	if origin != i.publicOrigin() && origin != localOrigin(r) || origin == "" {
		http.Error(w, "the inbox does not have this origin", http.StatusNotFound)
		return
	}
	p := ownerProof{Proof: proofOf(proofKey(i.Ledger, salt), origin, nonce)}
	if hmac.Equal([]byte(q.Get("pages")), []byte(pagesCode(i.Ledger, nonce))) {
		p.Pages = i.Pages()
	}
	writeJSON(w, http.StatusOK, p)
}

// isHex32 reports whether s has 32 hexadecimal digits, as ledger.NewID returns.
func isHex32(s string) bool { return len(s) == 32 && strings.Trim(s, "0123456789abcdef") == "" }

// localOrigin returns the origin of the address to which the client connected; empty with TLS,
// where the certificate proves it.
func localOrigin(r *http.Request) string {
	local, ok := r.Context().Value(http.LocalAddrContextKey).(net.Addr)
	if !ok || r.TLS != nil {
		return ""
	}
	return "http://" + strings.TrimSuffix(local.String(), ":80")
}

// proofKey returns the key of the proofs for a salt.
func proofKey(l ledger.Ledger, salt string) []byte {
	return code(l.SharedSecret("inbox proof"), salt)
}

func proofOf(key []byte, origin, nonce string) string {
	return hex.EncodeToString(code(key, origin+"\x00"+nonce))
}

// pagesCode proves that a process of the ledger asks.
func pagesCode(l ledger.Ledger, nonce string) string {
	return hex.EncodeToString(code(l.SharedSecret("inbox pages"), nonce))
}

func code(key []byte, text string) []byte {
	m := hmac.New(sha256.New, key)
	m.Write([]byte(text))
	return m.Sum(nil)
}

// ErrNotOwner is the error of CheckOwner if another program listens at the address.
var ErrNotOwner = errors.New("the program at this address is not the inbox of this state directory")

// checkWithin bounds CheckOwner.
const checkWithin = 2 * time.Second

// CheckOwner checks that the ledger's own inbox listens at a base URL of this machine, such as
// http://127.0.0.1:8766, and returns how many pages are open there. Its error is ErrNotOwner if
// another program answers.
func CheckOwner(ctx context.Context, l ledger.Ledger, base string) (pages int, err error) {
	ctx, cancel := context.WithTimeout(ctx, checkWithin)
	defer cancel()
	salt, nonce, origin := ledger.NewID(), ledger.NewID(), strings.TrimSuffix(base, ":80")
	query := url.Values{"origin": {origin}, "salt": {salt}, "nonce": {nonce}, "pages": {pagesCode(l, nonce)}}
	r, err := http.NewRequestWithContext(ctx, http.MethodGet, base+ownerPath+"?"+query.Encode(), nil)
	if err != nil {
		return 0, err
	}
	res, err := (&http.Client{CheckRedirect: keepRedirect}).Do(r)
	if err != nil {
		return 0, err
	}
	defer res.Body.Close()
	var p ownerProof
	err = json.NewDecoder(io.LimitReader(res.Body, 1000)).Decode(&p)
	if err != nil || !hmac.Equal([]byte(p.Proof), []byte(proofOf(proofKey(l, salt), origin, nonce))) {
		return 0, ErrNotOwner
	}
	return p.Pages, nil
}

// keepRedirect makes a client return a redirect instead of following it.
func keepRedirect(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }
