package ledger

import (
	"bytes"
	"crypto/aes"
	"crypto/cipher"
	"crypto/hkdf"
	"crypto/hmac"
	"crypto/rand"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
)

// Private is what a record says of persons. It is stored sealed.
type Private struct {
	Payload  json.RawMessage `json:"payload,omitempty"`
	Card     json.RawMessage `json:"card,omitempty"`
	Replaced json.RawMessage `json:"replaced,omitempty"`
	Result   json.RawMessage `json:"result,omitempty"`
	// Note is what a person said to their answer, Fault why a call of theirs came to nothing.
	Note  string          `json:"note,omitempty"`
	Fault json.RawMessage `json:"fault,omitempty"`
	// Hash is schemas.Payload.Hash. In the clear it would let anybody test a guess of the payload.
	Hash string `json:"hash,omitempty"`
}

// Sealed is a Private under the keys of all its subjects: whoever lacks one of them cannot read it.
type Sealed struct {
	// Keys are the ids of the keys, sorted. The chain holds no other name of a subject.
	Keys []string `json:"keys"`
	// Data is nonce, AES-256-GCM ciphertext and tag.
	Data []byte `json:"data"`
}

// allRows is the subject of what concerns no person in particular. It cannot be erased.
const allRows = ""

// sealer holds what is derived from the master key.
type sealer struct {
	wrap                      cipher.AEAD
	tag, fingerprintKey, head []byte
	// more is what further keys are derived from.
	more []byte
}

// subjectKey is one subject's key, unwrapped.
type subjectKey struct {
	id  string
	key []byte
	// alone seals what concerns only this subject; made once where it is needed, because making it costs more than sealing.
	alone cipher.AEAD
}

// writeNew writes a file that must not exist, whole or not at all, and makes it durable.
func writeNew(path string, data []byte) error {
	// A crash may have left one half written. Nobody else is here: the ledger's write lock is held.
	temp := path + ".new"
	if err := os.Remove(temp); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	f, err := os.OpenFile(temp, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o600)
	if err != nil {
		return err
	}
	_, err = f.Write(data)
	if err == nil {
		err = f.Sync()
	}
	if e := f.Close(); err == nil {
		err = e
	}
	if err == nil {
		err = os.Rename(temp, path)
	}
	if err != nil {
		return err
	}
	// Folders cannot be synced everywhere; where they cannot, nothing better is to be had.
	if d, err := os.Open(filepath.Dir(path)); err == nil {
		_ = d.Sync()
		d.Close()
	}
	return nil
}

func derive(secret []byte, info string) []byte {
	k, err := hkdf.Key(sha256.New, secret, nil, "sippet-mcp ledger "+info, 32)
	if err != nil {
		panic("ledger: " + err.Error()) // only for lengths that we do not ask for
	}
	return k
}

func mac(key []byte, text string) []byte {
	h := hmac.New(sha256.New, key)
	h.Write([]byte(text))
	return h.Sum(nil)[:16]
}

// fingerprint stands for a payload's hash, and where it goes, where that is stored in the clear.
func (s *sealer) fingerprint(upstream, hash string) string {
	return hex.EncodeToString(mac(s.fingerprintKey, upstream+"\x00"+hash))
}

func gcm(key []byte) cipher.AEAD {
	b, err := aes.NewCipher(key)
	if err != nil {
		panic("ledger: " + err.Error()) // only for keys that are not 32 bytes
	}
	a, err := cipher.NewGCMWithRandomNonce(b)
	if err != nil {
		panic("ledger: " + err.Error())
	}
	return a
}

// key gives a subject's key, and makes it where there is none.
func (t *tx) key(subject string) (subjectKey, error) {
	if k, ok := t.keys[subject]; ok {
		return k, nil
	}
	var k subjectKey
	var wrapped []byte
	tag := mac(t.s.seal.tag, subject)
	found, err := t.row("SELECT id, wrapped FROM keys WHERE tag = ? ORDER BY rowid LIMIT 1", []any{tag}, &k.id, &wrapped)
	if err != nil {
		return k, err
	}
	if found {
		if k.key, err = t.s.seal.wrap.Open(nil, nil, wrapped, []byte(k.id)); err != nil {
			return k, &StoreError{Corrupt, t.s.path, fmt.Errorf("key %s: %w", k.id, err)}
		}
		t.keys[subject] = k
		return k, nil
	}
	// An id that grows is written where the last one was, not all over the index. The record that names it tells as much.
	k.id, k.key = numberedID(t.head.seq+1), make([]byte, 32)
	rand.Read(k.key) // never fails
	_, err = t.exec("INSERT INTO keys (id, tag, wrapped, name) VALUES (?, ?, ?, ?)", k.id, tag,
		t.s.seal.wrap.Seal(nil, nil, k.key, []byte(k.id)), sealName(k.key, k.id, subject))
	t.keys[subject] = k
	return k, err
}

// sealName seals a subject's name under its own key.
func sealName(key []byte, id, subject string) []byte {
	return gcm(derive(key, "name")).Seal(nil, nil, []byte(subject), []byte(id))
}

func openName(key []byte, id string, name []byte) (string, error) {
	plain, err := gcm(derive(key, "name")).Open(nil, nil, name, []byte(id))
	return string(plain), err
}

// keyList names the keys of a call in the order of its subjects, each once.
func (t *tx) keyList(subjects []string, keys []subjectKey) string {
	var ids []string
	named := make(map[string]bool, len(subjects))
	for _, name := range subjects {
		if k, ok := t.keys[name]; ok && !named[k.id] {
			named[k.id] = true
			ids = append(ids, k.id)
		}
	}
	if len(ids) == 0 {
		ids = keyIDs(keys)
	}
	return strings.Join(ids, ",")
}

// subjectKeys gives the keys of several subjects, sorted by id; of everybody where none are named.
func (t *tx) subjectKeys(subjects []string) ([]subjectKey, error) {
	if len(subjects) == 0 {
		subjects = []string{allRows}
	}
	keys := make([]subjectKey, 0, len(subjects))
	for _, name := range subjects {
		k, err := t.key(name)
		if err != nil {
			return nil, err
		}
		if len(subjects) == 1 && k.alone == nil {
			k.alone = gcm(derive(k.key, "record"))
			t.keys[name] = k
		}
		keys = append(keys, k)
	}
	slices.SortFunc(keys, func(a, b subjectKey) int { return strings.Compare(a.id, b.id) })
	return slices.CompactFunc(keys, func(a, b subjectKey) bool { return a.id == b.id }), nil
}

// sealUnder seals what is there of p; nil where nothing is. bound names the
// place of the blob, so that it opens nowhere else.
func sealUnder(keys []subjectKey, p Private, bound string) (*Sealed, error) {
	plain, err := p.plain()
	if err != nil {
		return nil, err
	}
	return sealPlain(keys, plain, bound), nil
}

// plain is what is sealed of p, nil where there is nothing. It takes longer than the sealing, and needs no transaction.
func (p Private) plain() ([]byte, error) {
	var b bytes.Buffer
	e := json.NewEncoder(&b)
	e.SetEscapeHTML(false) // what was stored must come back byte for byte
	if err := e.Encode(p); err != nil {
		return nil, fmt.Errorf("%w: what is to be sealed is not JSON: %w", errUsage, err)
	}
	plain := bytes.TrimSuffix(b.Bytes(), []byte("\n"))
	if len(plain) <= len("{}") {
		return nil, nil
	}
	return plain, nil
}

func sealPlain(keys []subjectKey, plain []byte, bound string) *Sealed {
	if plain == nil {
		return nil
	}
	return &Sealed{Keys: keyIDs(keys), Data: combine(keys).Seal(nil, nil, plain, []byte(bound))}
}

func keyIDs(keys []subjectKey) []string {
	ids := make([]string, len(keys))
	for i, k := range keys {
		ids[i] = k.id
	}
	return ids
}

// combine gives the cipher that needs all of the keys.
func combine(keys []subjectKey) cipher.AEAD {
	if len(keys) == 1 && keys[0].alone != nil {
		return keys[0].alone
	}
	var all []byte
	for _, k := range keys {
		all = append(all, k.key...)
	}
	return gcm(derive(all, "record"))
}

// keyring reads keys by their ids; of a destroyed one it gives nothing.
type keyring struct {
	s     *SQLite
	rows  func(query string, args []any, each func(scan func(...any) error) error) error
	known map[string]*subjectKey
	names map[string]string
}

func (r *keyring) get(id string) (*subjectKey, error) {
	err := r.load([]string{id})
	return r.known[id], err
}

// maxLoad is how many keys one query reads.
const maxLoad = 500

// load reads keys that are not known yet. Of one that cannot be opened the error tells, and it stays unknown.
func (r *keyring) load(ids []string) error {
	if r.known == nil {
		r.known, r.names = map[string]*subjectKey{}, map[string]string{}
	}
	var missing []any
	for _, id := range ids {
		if _, ok := r.known[id]; !ok {
			missing = append(missing, id)
		}
	}
	for some := range slices.Chunk(missing, maxLoad) {
		asked := slices.Clone(some)
		for len(asked) != 1 && len(asked) != 10 && len(asked)%100 != 0 {
			asked = append(asked, some[0]) // the writer keeps its statements, so there are few lengths of them
		}
		var wrong error
		found := map[string]*subjectKey{}
		query := "SELECT id, wrapped, name FROM keys WHERE id IN (?" + strings.Repeat(", ?", len(asked)-1) + ") AND erased IS NULL"
		err := r.rows(query, asked, func(scan func(...any) error) error {
			k := new(subjectKey)
			var wrapped, name []byte
			err := scan(&k.id, &wrapped, &name)
			if err != nil {
				return err
			}
			found[k.id] = nil
			if k.key, err = r.s.seal.wrap.Open(nil, nil, wrapped, []byte(k.id)); err != nil {
				wrong = &StoreError{Corrupt, r.s.path, fmt.Errorf("key %s: %w", k.id, err)}
				return nil
			}
			if subject, err := openName(k.key, k.id, name); err == nil {
				r.names[k.id] = subject
			}
			found[k.id] = k
			return nil
		})
		if err != nil {
			return err
		}
		for _, id := range some {
			if k, there := found[id.(string)]; k != nil || !there { // destroyed, or never there
				r.known[id.(string)] = k
			}
		}
		if wrong != nil {
			return wrong
		}
	}
	return nil
}

// all gives the keys of the ids, sorted as they are combined; nil where one of them is destroyed.
func (r *keyring) all(ids []string) ([]subjectKey, error) {
	if err := r.load(ids); err != nil {
		return nil, err
	}
	keys := make([]subjectKey, 0, len(ids))
	for _, id := range ids {
		k, err := r.get(id)
		if err != nil || k == nil {
			return nil, err
		}
		keys = append(keys, *k)
	}
	slices.SortFunc(keys, func(a, b subjectKey) int { return strings.Compare(a.id, b.id) })
	return keys, nil
}

// open reads a sealed blob; nil where a key of it is destroyed.
func (r *keyring) open(s *Sealed, bound string) (*Private, error) {
	if s == nil {
		return nil, nil
	}
	keys, err := r.all(s.Keys)
	if err != nil || keys == nil {
		return nil, err
	}
	plain, err := combine(keys).Open(nil, nil, s.Data, []byte(bound))
	p := new(Private)
	if err == nil {
		err = json.Unmarshal(plain, p)
	}
	if err != nil {
		return nil, &StoreError{Corrupt, r.s.path, fmt.Errorf("a sealed part of %s: %w", bound, err)}
	}
	return p, nil
}
