package inbox

import (
	"context"
	"crypto/hmac"
	"crypto/rand"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"io"
	"net"
	"net/http"
	"strings"
	"time"

	"github.com/sippet-ai/sippet-mcp/internal/ledger"
)

// ownerPath is where an inbox proves that it belongs to a state directory. Before a process sends a
// login code to an address, it checks the proof: another program may have taken the port.
const ownerPath = Path + "/owner"

// ownerProof is the answer at ownerPath.
type ownerProof struct {
	Proof string `json:"proof"`
	// Pages is that of Inbox.Pages.
	Pages int `json:"pages"`
}

// proveOwner answers a nonce with the proof.
func (i *Inbox) proveOwner(w http.ResponseWriter, r *http.Request) {
	nonce := r.URL.Query().Get("nonce")
	if i.Secure { // it is for processes of this machine
		http.NotFound(w, r)
		return
	}
	if len(nonce) < 16 || len(nonce) > 100 {
		http.Error(w, "nonce must have 16 to 100 characters", http.StatusBadRequest)
		return
	}
	local, ok := r.Context().Value(http.LocalAddrContextKey).(net.Addr)
	if !ok {
		http.Error(w, "the address of the connection is unknown", http.StatusInternalServerError)
		return
	}
	writeJSON(w, http.StatusOK, ownerProof{proofOf(i.Ledger, local.String(), nonce), i.Pages()})
}

// proofOf returns the proof of the ledger's inbox that listens at the address. It depends on the
// address: a program that listens elsewhere cannot pass the nonce on and use the proof of the real
// inbox.
func proofOf(l ledger.Ledger, address, nonce string) string {
	m := hmac.New(sha256.New, l.SharedSecret("inbox proof"))
	m.Write([]byte(address + "\x00" + nonce))
	return hex.EncodeToString(m.Sum(nil))
}

// ErrNotOwner is the error of CheckOwner if another program listens at the address.
var ErrNotOwner = errors.New("the program at this address is not the inbox of this state directory")

// checkWithin bounds CheckOwner.
const checkWithin = 2 * time.Second

// CheckOwner checks that the ledger's own inbox listens at a base URL, such as
// http://127.0.0.1:8766, and returns how many pages are open there. Its error is ErrNotOwner if
// another program answers.
func CheckOwner(ctx context.Context, l ledger.Ledger, base string) (pages int, err error) {
	ctx, cancel := context.WithTimeout(ctx, checkWithin)
	defer cancel()
	var random [16]byte
	rand.Read(random[:])
	nonce := hex.EncodeToString(random[:])
	r, err := http.NewRequestWithContext(ctx, http.MethodGet, base+ownerPath+"?nonce="+nonce, nil)
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
	if err != nil || p.Proof != proofOf(l, strings.TrimPrefix(base, "http://"), nonce) {
		return 0, ErrNotOwner
	}
	return p.Pages, nil
}

// keepRedirect makes a client return a redirect instead of following it.
func keepRedirect(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }
