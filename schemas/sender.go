package schemas

import (
	"encoding/json"
	"fmt"
	"io"
	"mime"
	"net/mail"
	"regexp"
	"slices"
	"strings"
)

// maxSenders is how many addresses one email may name.
const maxSenders = 10

// Senders returns the addresses to which an answer to the email that the call hands in would go:
// those of From and of Reply-To, in lower case, without repeats. It returns nil for a call that hands
// in no email.
//
// The fault says what is wrong with the email at path. An email that two readers could read
// differently is at fault: its addresses would not be those that Sippet answers.
func (p *Payload) Senders() (addresses []string, path, fault string) {
	in, _ := p.Args["input"].(map[string]any)
	for _, k := range p.Action.inputs {
		v, given := in[k.Name]
		if k.Names != SenderSubject || !given {
			continue
		}
		path = "input." + k.Name
		var s senders
		if raw, ok := v.(string); ok {
			s.message(raw)
		} else {
			s.structured("", v, "")
		}
		switch {
		case s.fault != "":
		case !s.from:
			s.fault = "names no sender"
		case len(s.addresses) > maxSenders:
			s.fault = fmt.Sprintf("names %d addresses to answer, and may name %d", len(s.addresses), maxSenders)
		}
		return s.addresses, path, s.fault
	}
	return nil, "", ""
}

// senders collects the addresses of one email.
type senders struct {
	addresses []string
	from      bool // one of them is the sender's
	fault     string
}

func (s *senders) fail(format string, args ...any) {
	if s.fault == "" {
		s.fault = fmt.Sprintf(format, args...)
	}
}

// message reads an RFC 5322 message. It is stricter than net/mail, so that a reader with other
// habits finds the same From and Reply-To: all lines end alike, no line holds another control
// character, each name is a token, and neither header occurs twice.
func (s *senders) message(raw string) {
	end := "\n"
	if i := strings.IndexByte(raw, '\n'); i > 0 && raw[i-1] == '\r' {
		end = "\r\n"
	}
	head, _, complete := strings.Cut(raw, end+end)
	if !complete {
		head = strings.TrimSuffix(head, end)
	}
	seen := map[string]bool{}
	for i, line := range strings.Split(head, end) {
		name, _, ok := strings.Cut(line, ":")
		switch {
		case strings.ContainsFunc(line, func(r rune) bool { return r < ' ' && r != '\t' || r == 0x7f || r == 0x85 || r == 0x2028 || r == 0x2029 }):
			s.fail("has a control character or an odd line end in its headers")
		case line != "" && (line[0] == ' ' || line[0] == '\t'):
			if i == 0 || strings.TrimSpace(line) == "" {
				s.fail("has a header that begins with a space")
			}
		case !ok || name == "" || strings.ContainsFunc(name, func(r rune) bool { return r <= ' ' || r > '~' }):
			s.fail("has a header without a name")
		default:
			if name = strings.ToLower(name); seen[name] && isSenderKey(name) {
				s.fail("has the header %s twice", name)
			}
			seen[name] = true
		}
	}
	if s.fault != "" {
		return
	}
	m, err := mail.ReadMessage(strings.NewReader(head + end + end))
	if err != nil {
		s.fail("is not an email message")
		return
	}
	for _, name := range []string{"From", "Reply-To"} {
		if v, given := m.Header[name]; given {
			s.list(name, v[0])
		}
	}
	s.from = s.fault == "" && len(m.Header["From"]) == 1
}

// addressParser accepts names in any charset, since only the addresses are used.
var addressParser = &mail.AddressParser{WordDecoder: &mime.WordDecoder{CharsetReader: func(_ string, r io.Reader) (io.Reader, error) { return r, nil }}}

// list adds the addresses of a header. Comments, groups and quoted local parts are at fault.
func (s *senders) list(header, text string) {
	quoted := false
	for i := 0; i < len(text); i++ {
		switch c := text[i]; {
		case c == '\\' && quoted:
			i++
		case c == '"':
			quoted = !quoted
		case !quoted && strings.IndexByte(`()[]:;\`, c) >= 0:
			s.fail("has a group, a comment or another odd form of address in %s", header)
			return
		}
	}
	list, err := addressParser.ParseList(text)
	if err != nil || len(list) == 0 {
		s.fail("has an address in %s that cannot be read", header)
		return
	}
	for _, a := range list {
		address := strings.ToLower(a.Address)
		local, domain, _ := strings.Cut(address, "@")
		if local == "" || domain == "" || len(address) > 254 || strings.Contains(domain, "@") || strings.Contains(address, "=?") ||
			strings.ContainsFunc(a.Address, func(r rune) bool { return r <= ' ' || r > '~' || strings.ContainsRune(`"(),:;<>[]\`, r) }) {
			s.fail("has an address in %s that is not plain, such as ada@example.com", header)
			return
		}
		if !slices.Contains(s.addresses, address) {
			s.addresses = append(s.addresses, address)
		}
	}
}

// senderKeys are the keys of a structured email, without case and hyphens, that hold addresses to
// answer.
var senderKeys = []string{"from", "fromaddress", "fromemail", "sender", "senderaddress", "senderemail", "replyto", "replytoaddress", "replytoemail",
	"returnpath", "envelopefrom", "mailfrom"}

// otherKeys are those that hold none: our addresses, the text, names and ids.
var otherKeys = []string{"to", "toaddress", "cc", "bcc", "deliveredto", "recipient", "recipients", "recipientaddress", "envelopeto", "rcptto",
	"subject", "text", "html", "body", "textbody", "htmlbody", "plain", "plaintext", "preview", "snippet", "attachments",
	"fromname", "name", "displayname", "id", "messageid", "providermessageid", "inreplyto", "references", "date", "receivedat"}

// rawKeys hold a whole message.
var rawKeys = []string{"raw", "mime", "rawmime", "rawmessage", "rawemail", "eml"}

// headerKeys hold the headers of a message.
var headerKeys = []string{"headers", "header", "rawheaders", "messageheaders", "headertext"}

// anyAddress finds the addresses in a text that is no list of them.
var anyAddress = regexp.MustCompile(`[^\s"'<>(),:;\[\]\\{}@]+@[^\s"'<>(),:;\[\]\\{}@]+`)

func isSenderKey(key string) bool { return slices.Contains(senderKeys, plainKey(key)) }

// plainKey returns a key in lower case, without what separates its words.
func plainKey(key string) string {
	return strings.ToLower(strings.Map(func(r rune) rune {
		if strings.ContainsRune("-_ .", r) {
			return -1
		}
		return r
	}, key))
}

// structured reads an email that is no message. Sippet does not document its keys, so every address
// in it counts, except under a key that surely holds none. sender is the key of an address to answer
// that encloses the value; empty outside of one.
func (s *senders) structured(key string, v any, sender string) {
	switch plain := plainKey(key); {
	case slices.Contains(senderKeys, plain):
		sender = plain
	case slices.Contains(rawKeys, plain):
		s.fail("has a whole message under %s: hand it in as rawMime", quote(key))
	case slices.Contains(otherKeys, plain):
		return
	}
	switch v := v.(type) {
	case string:
		if sender == "" {
			s.text(key, v)
			return
		}
		if strings.TrimSpace(v) == "" {
			return
		}
		s.list(quote(key), v)
		s.from = s.from || !strings.HasPrefix(sender, "replyto")
	case []any:
		for _, e := range v {
			s.structured(key, e, sender)
		}
	case map[string]any:
		// A header as a pair of its name and its value.
		for _, k := range []string{"name", "key", "header", "field"} {
			if name, ok := v[k].(string); ok && v["value"] != nil && sender == "" {
				s.structured(name, v["value"], "")
				return
			}
		}
		for _, k := range SortedKeys(v) {
			s.structured(k, v[k], sender)
		}
	case nil:
	default:
		if sender != "" {
			s.fail("has something under %s that is no address", quote(key))
		}
	}
}

// text adds the addresses of a text under a key that may hold some.
func (s *senders) text(key, text string) {
	if !strings.ContainsRune(text, '@') {
		return
	}
	var v any
	if strings.IndexAny(strings.TrimSpace(text), "{[") == 0 && json.Unmarshal([]byte(text), &v) == nil { // an email in an email
		s.structured(key, v, "")
		return
	}
	if slices.Contains(headerKeys, plainKey(key)) {
		from := s.from
		s.message(text)
		s.from = s.from || from
		return
	}
	if _, err := mail.ParseAddressList(text); err == nil {
		s.list(quote(key), text)
		return
	}
	for _, address := range anyAddress.FindAllString(text, -1) {
		s.list(quote(key), strings.TrimRight(address, "."))
	}
}
