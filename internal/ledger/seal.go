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

// Private is the personal data of a record. It is stored sealed.
type Private struct {
	Payload  json.RawMessage `json:"payload,omitempty"`
	Card     json.RawMessage `json:"card,omitempty"`
	Replaced json.RawMessage `json:"replaced,omitempty"`
	Result   json.RawMessage `json:"result,omitempty"`
	// Note is a person's message with their answer. Fault is why an approved call did not run, or
	// failed.
	Note  string          `json:"note,omitempty"`
	Fault json.RawMessage `json:"fault,omitempty"`
	// Hash is schemas.Payload.Hash. In plain text it would allow anybody to test a guess of the
	// payload.
	Hash string `json:"hash,omitempty"`
}

// Sealed is a Private under the keys of its subjects. It is one blob that needs all of the keys, or
// for a call to several recipients it is in parts.
type Sealed struct {
	// Keys are the ids of the keys, sorted. The log holds no other name of a subject.
	Keys []string `json:"keys"`
	// Data is nonce, AES-256-GCM ciphertext and tag; nil if the blob is in parts.
	Data []byte `json:"data,omitempty"`
	// Common is what no person can be erased from, as Data under a key of the ledger, and Parts are
	// the rest; nil if the blob is whole.
	Common []byte       `json:"common,omitempty"`
	Parts  []SealedPart `json:"parts,omitempty"`
}

var errPart = errors.New("its parts do not fit together")

// noSubject is the subject of data about no person in particular. It cannot be erased.
const noSubject = ""

// sealer holds the keys that are derived from the master key.
type sealer struct {
	wrap, common              cipher.AEAD
	tag, fingerprintKey, head []byte
	// secrets derives shared secrets.
	secrets []byte
}

// subjectKey is a subject's key, unwrapped.
type subjectKey struct {
	id  string
	key []byte
	// recordCipher seals records about this subject only. It is created when needed, because that
	// costs more than sealing.
	recordCipher cipher.AEAD
}

// writeNew writes a file that must not exist, completely or not at all, and makes it durable.
func writeNew(path string, data []byte) error {
	// A crash may have left half a file. No other process is here: this one holds the ledger's
	// write lock.
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
	// Not every system can sync a directory; then there is nothing better.
	if d, err := os.Open(filepath.Dir(path)); err == nil {
		_ = d.Sync()
		d.Close()
	}
	return nil
}

func derive(secret []byte, info string) []byte {
	k, err := hkdf.Key(sha256.New, secret, nil, "sippet-mcp ledger "+info, 32)
	if err != nil {
		panic("ledger: " + err.Error()) // only for lengths that are not used here
	}
	return k
}

func mac(key []byte, text string) []byte {
	h := hmac.New(sha256.New, key)
	h.Write([]byte(text))
	return h.Sum(nil)[:16]
}

// fingerprint returns a keyed hash of organisation and payload hash, for plain storage.
func (s *sealer) fingerprint(organisation, hash string) string {
	return hex.EncodeToString(mac(s.fingerprintKey, organisation+"\x00"+hash))
}

// effect returns a keyed hash of organisation and effect key, for plain storage. It never equals a
// fingerprint.
func (s *sealer) effect(organisation, key string) string {
	return s.fingerprint(organisation, "effect "+key)
}

// affects returns short keyed hashes of people, separated by spaces, for plain storage.
func (s *sealer) affects(organisation string, people []string) string {
	var b strings.Builder
	for i, p := range people {
		if i > 0 {
			b.WriteByte(' ')
		}
		b.WriteString(s.fingerprint(organisation, "affects "+p)[:16])
	}
	return b.String()
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

// key returns a subject's key, and creates it if there is none.
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
	t.newKeys++
	// Ids ascend, so that a new key is written beside the last one. They disclose no more than the
	// record.
	k.id, k.key = numberedID(t.head.seq+1), make([]byte, 32)
	rand.Read(k.key) // never fails
	_, err = t.exec("INSERT INTO keys (id, tag, wrapped, name) VALUES (?, ?, ?, ?)", k.id, tag,
		t.s.seal.wrap.Seal(nil, nil, k.key, []byte(k.id)), sealName(k.key, k.id, subject))
	t.keys[subject] = k
	return k, err
}

// sealName seals a subject's name under the subject's key.
func sealName(key []byte, id, subject string) []byte {
	return gcm(derive(key, "name")).Seal(nil, nil, []byte(subject), []byte(id))
}

func openName(key []byte, id string, name []byte) (string, error) {
	plain, err := gcm(derive(key, "name")).Open(nil, nil, name, []byte(id))
	return string(plain), err
}

// keyList returns the key ids of a call in the order of its subjects, each once.
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

// subjectKeys returns the keys of the subjects, sorted by id; the key of noSubject if there are
// none.
func (t *tx) subjectKeys(subjects []string) ([]subjectKey, error) {
	if len(subjects) == 0 {
		subjects = []string{noSubject}
	}
	keys := make([]subjectKey, 0, len(subjects))
	for _, name := range subjects {
		k, err := t.key(name)
		if err != nil {
			return nil, err
		}
		if len(subjects) == 1 && k.recordCipher == nil {
			k.recordCipher = gcm(derive(k.key, "record"))
			t.keys[name] = k
		}
		keys = append(keys, k)
	}
	slices.SortFunc(keys, func(a, b subjectKey) int { return strings.Compare(a.id, b.id) })
	return slices.CompactFunc(keys, func(a, b subjectKey) bool { return a.id == b.id }), nil
}

// sealUnder seals p under the keys; nil if p is empty. bound names the record of the blob, so that
// the blob opens for no other record.
func sealUnder(keys []subjectKey, p Private, bound string) (*Sealed, error) {
	plain, err := p.plain()
	if err != nil {
		return nil, err
	}
	return sealPlain(keys, plain, bound), nil
}

// plain returns p as JSON, nil if p is empty. It costs more than sealing, and needs no transaction.
func (p Private) plain() ([]byte, error) {
	var b bytes.Buffer
	e := json.NewEncoder(&b)
	e.SetEscapeHTML(false) // reading must return the same bytes
	if err := e.Encode(p); err != nil {
		return nil, fmt.Errorf("%w: the personal data is not JSON: %w", errUsage, err)
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

// combine returns the cipher that needs all of the keys.
func combine(keys []subjectKey) cipher.AEAD {
	if len(keys) == 1 && keys[0].recordCipher != nil {
		return keys[0].recordCipher
	}
	var all []byte
	for _, k := range keys {
		all = append(all, k.key...)
	}
	return gcm(derive(all, "record"))
}

// keyring reads keys by their ids. It has no destroyed keys.
type keyring struct {
	s     *SQLite
	rows  func(query string, args []any, each func(scan func(...any) error) error) error
	keys  map[string]*subjectKey
	names map[string]string
}

func (r *keyring) get(id string) (*subjectKey, error) {
	err := r.load([]string{id})
	return r.keys[id], err
}

// maxLoad bounds the keys that one query reads.
const maxLoad = 500

// load reads the keys that the ring does not hold yet. It returns an error for a key that cannot be
// opened.
func (r *keyring) load(ids []string) error {
	if r.keys == nil {
		r.keys, r.names = map[string]*subjectKey{}, map[string]string{}
	}
	var missing []any
	for _, id := range ids {
		if _, ok := r.keys[id]; !ok {
			missing = append(missing, id)
		}
	}
	for chunk := range slices.Chunk(missing, maxLoad) {
		params := slices.Clone(chunk)
		for len(params) != 1 && len(params) != 10 && len(params)%100 != 0 {
			params = append(params, chunk[0]) // few lengths: the writer keeps its statements
		}
		var keyErr error
		found := map[string]*subjectKey{}
		query := "SELECT id, wrapped, name FROM keys WHERE id IN (?" + strings.Repeat(", ?", len(params)-1) + ") AND erased IS NULL"
		err := r.rows(query, params, func(scan func(...any) error) error {
			k := new(subjectKey)
			var wrapped, name []byte
			err := scan(&k.id, &wrapped, &name)
			if err != nil {
				return err
			}
			found[k.id] = nil
			if k.key, err = r.s.seal.wrap.Open(nil, nil, wrapped, []byte(k.id)); err != nil {
				keyErr = &StoreError{Corrupt, r.s.path, fmt.Errorf("key %s: %w", k.id, err)}
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
		for _, id := range chunk {
			if k, exists := found[id.(string)]; k != nil || !exists { // destroyed or missing
				r.keys[id.(string)] = k
			}
		}
		if keyErr != nil {
			return keyErr
		}
	}
	return nil
}

// all returns the keys of the ids in the order in which they are combined; nil if one is destroyed.
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

// open reads a sealed blob. erased is how many of its keys are destroyed. p is nil if nothing can be
// read, and lacks what belongs to the erased if the blob is in parts.
func (r *keyring) open(s *Sealed, bound string) (p *Private, erased int, err error) {
	if s == nil {
		return nil, 0, nil
	}
	if err := r.load(s.Keys); err != nil {
		return nil, 0, err
	}
	keys := make([]*subjectKey, len(s.Keys))
	for i, id := range s.Keys {
		if keys[i] = r.keys[id]; keys[i] == nil {
			erased++
		}
	}
	var plain []byte
	switch {
	case s.Common != nil:
		plain, err = r.openParts(s, keys, bound)
	case erased > 0:
		return nil, erased, nil
	default:
		all := make([]subjectKey, len(keys))
		for i, k := range keys {
			all[i] = *k
		}
		plain, err = combine(all).Open(nil, nil, s.Data, []byte(bound))
	}
	p = new(Private)
	if err == nil {
		err = json.Unmarshal(plain, p)
	}
	if err != nil {
		return nil, erased, &StoreError{Corrupt, r.s.path, fmt.Errorf("the sealed part of %s: %w", bound, err)}
	}
	if erased > 0 {
		p.clearErased()
	}
	return p, erased, nil
}
