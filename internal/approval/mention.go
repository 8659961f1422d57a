package approval

import (
	"fmt"
	"html"
	"net/url"
	"regexp"
	"slices"
	"strings"
	"unicode"

	"golang.org/x/text/unicode/norm"
)

// mention is a link, a number or an address in a text: something that its reader can follow.
type mention struct {
	kind string // link, number or address
	key  string // the same for all spellings
	text string // for the card, not escaped
}

// The expressions find too much rather than too little.
var (
	tag       = regexp.MustCompile(`(?s)<!--.*?-->|</?([A-Za-z][A-Za-z0-9:-]*)(?:[\s/][^<>]*)?>`)
	inlineTag = regexp.MustCompile(`(?i)^(?:a|abbr|b|big|code|del|em|font|i|ins|mark|s|small|span|strong|sub|sup|tt|u|wbr|)$`)
	attribute = regexp.MustCompile(`(?i)\b(?:href|src|action|formaction|background|poster)\s*=\s*`)
	setTo     = regexp.MustCompile(`^(?:"([^"]*)"|'([^']*)'|([^\s"'<>]+))`)

	scheme       = regexp.MustCompile(`(?i)(?:[a-z][a-z0-9+.-]*:(?://|\\\\)|\bhttps?:[/\\]?[\p{L}\p{N}])`)
	sameScheme   = regexp.MustCompile(`[\s"'(=,;](//[\p{L}\p{N}-]+(?:\.[\p{L}\p{N}-]+)+[^\s"'<>)]*)`) // as in <img srcset="//a.example">
	anyURL       = regexp.MustCompile(scheme.String() + notSpace)
	anyAddress   = regexp.MustCompile(`[\p{L}\p{N}._%+-]+@[\p{L}\p{N}][\p{L}\p{N}.-]*\.[\p{L}\p{N}-]*\p{L}`)
	anyHost      = regexp.MustCompile(`(?:[\p{L}\p{N}](?:[\p{L}\p{N}-]*[\p{L}\p{N}])?\.)+\p{L}[\p{L}\p{N}-]*[\p{L}\p{N}](?::\d+)?(?:[/?#]` + notSpace + `)?`)
	anyNumber    = regexp.MustCompile(`\+?\(?\p{Nd}[\p{Nd} \t().\-/‐-―_*·•∙⋅]{5,}\p{Nd}`)
	aPlaceholder = regexp.MustCompile(`\{\{[^{}]*\}\}|\{%[^{}]*%\}`)
	aLiteral     = regexp.MustCompile(`"[^"]*"|'[^']*'`) // in a placeholder

	web     = regexp.MustCompile(`(?i)^(https?|ftp):/*`) // a browser takes any number of slashes
	contact = regexp.MustCompile(`(?i)^(?:mailto|tel|sms|callto):`)
	inside  = regexp.MustCompile(`(?i)^(?:#|cid:|data:image/(?:png|jpe?g|gif);|$)`) // leads nowhere
	file    = regexp.MustCompile(`(?i)^[^/]*\.(?:pdf|docx?|xlsx?|png|jpe?g|gif|html?|css|js|txt|csv)$`)
	date    = regexp.MustCompile(`^(?:(?:19|20)\d\d-(?:0?[1-9]|1[0-2])-(?:0?[1-9]|[12]\d|3[01])(?:\s\d\d?)?|` +
		`(?:0?[1-9]|[12]\d|3[01])[./-](?:0?[1-9]|1[0-2])[./-](?:19|20)\d\d(?:\s\d\d?)?|(?:19|20)\d\d\s?[-–/]\s?(?:19|20)\d\d)$`)
)

const (
	notSpace    = `[^\s"'<>]*`
	maxPath     = 24 // characters of a link after its host, on a card
	minDigits   = 7  // of a number
	maxMentions = 3  // warnings of one card
	maxListed   = 10 // mentions of a new text
)

// mentionsOf returns what a text mentions, each once: links first, then numbers and addresses, and
// last the names of hosts, which may be words with a dot.
func mentionsOf(text string) []mention {
	text = norm.NFKC.String(strings.Map(plain, text))
	var links, numbers, addresses, hosts []mention
	addContacts := func(s string) (rest string) {
		s = anyAddress.ReplaceAllStringFunc(s, func(m string) string {
			addresses = append(addresses, mention{"address", strings.ToLower(m), m})
			return " "
		})
		var literals []string
		s = aPlaceholder.ReplaceAllStringFunc(s, func(m string) string {
			literals = append(literals, aLiteral.FindAllString(m, -1)...)
			return " "
		})
		s += "\n" + strings.Join(literals, "\n")
		rest = anyHost.ReplaceAllStringFunc(s, func(m string) string {
			if m = trimLink(m); !file.MatchString(m) {
				hosts = append(hosts, newLink("https://"+m))
			}
			return " "
		})
		for _, m := range anyNumber.FindAllString(rest, -1) {
			digits := strings.Map(func(r rune) rune {
				if unicode.IsDigit(r) {
					return r
				}
				return -1
			}, m)
			if len([]rune(digits)) >= minDigits && !date.MatchString(m) {
				numbers = append(numbers, mention{"number", digits, strings.Join(strings.Fields(m), " ")})
			}
		}
		return rest
	}
	addLinks := func(s string) (rest string) {
		before := len(links)
		end := len(s)
		for _, at := range slices.Backward(scheme.FindAllStringIndex(s, -1)) { // one may contain another
			links = append(links, newLink(trimLink(anyURL.FindString(s[at[0]:end]))))
			end = at[0]
		}
		slices.Reverse(links[before:])
		return anyURL.ReplaceAllString(s, " ")
	}
	var rest strings.Builder // the text without those attributes
	last, bare := 0, 0       // where the last of them ends; where the last value without quotes ends
	for _, at := range attribute.FindAllStringIndex(text, -1) {
		if at[0] < bare { // no attribute begins in a value without quotes
			continue
		}
		m := setTo.FindStringSubmatch(text[at[1]:]) // one with quotes may have another inside
		if m == nil {
			continue
		}
		if m[3] != "" {
			bare = at[1] + len(m[3])
		}
		target := strings.Join(strings.Fields(html.UnescapeString(m[1]+m[2]+m[3])), "")
		if inside.MatchString(target) {
			continue
		}
		before := len(numbers) + len(addresses)
		if of := contact.FindString(target); of != "" {
			if s, err := url.PathUnescape(target[len(of):]); err == nil {
				addContacts(s)
			}
		}
		if before == len(numbers)+len(addresses) {
			links = append(links, newLink(target))
		}
		if at[0] >= last {
			rest.WriteString(text[last:at[0]] + " ")
			last = at[1] + len(m[0])
		}
	}
	// A link in angle brackets looks like a tag.
	for _, m := range sameScheme.FindAllStringSubmatch(addLinks(html.UnescapeString(rest.String()+text[last:])), -1) {
		links = append(links, newLink(trimLink(m[1])))
	}
	addContacts(addLinks(html.UnescapeString(tag.ReplaceAllStringFunc(text, func(s string) string {
		if inlineTag.MatchString(tag.FindStringSubmatch(s)[1]) { // it can stand inside a word
			return ""
		}
		return "\n"
	}))))
	return distinct(slices.Concat(links, numbers, addresses, hosts), nil)
}

// plain drops what a reader cannot see, and maps the other full stop of host names.
func plain(r rune) rune {
	switch {
	case r == '\n', r == '\t':
		return r
	case r == '\r', unicode.In(r, unicode.Zl, unicode.Zp):
		return '\n'
	case unicode.In(r, unicode.Cc, unicode.Cf, unicode.Variation_Selector, unicode.Other_Default_Ignorable_Code_Point):
		return -1
	case r == '。', r == '｡':
		return '.'
	}
	return r
}

// distinct returns each mention once, without those that old has.
func distinct(list, old []mention) (out []mention) {
	type id struct{ kind, key string }
	seen := map[id]bool{}
	for _, m := range old {
		seen[id{m.kind, m.key}] = true
	}
	for _, m := range list {
		if i := (id{m.kind, m.key}); !seen[i] {
			seen[i] = true
			out = append(out, m)
		}
	}
	return out
}

// trimLink removes what ends a sentence or a bracket, and no link.
func trimLink(s string) string { return strings.TrimRight(s, `.,;:!?)]}*_»”’`) }

// newLink returns a link with its host first, without a name before it that could pass for one.
func newLink(target string) mention {
	s := strings.ReplaceAll(target, `\`, "/")
	if s = web.ReplaceAllString(s, "$1://"); strings.HasPrefix(s, "//") {
		s = "https:" + s
	}
	protocol, rest, ok := strings.Cut(s, "://")
	if !ok {
		return mention{"link", target, cutAt(target, maxColumns-maxPath)}
	}
	protocol = strings.ToLower(protocol) + "://"
	host, path := rest, ""
	if end := strings.IndexAny(rest, "/?#"); end >= 0 {
		host, path = rest[:end], strings.TrimSuffix(rest[end:], "/")
	}
	host = strings.ToLower(host[strings.LastIndexByte(host, '@')+1:])
	return mention{"link", protocol + host + path, strings.TrimPrefix(protocol, "https://") + host + cutAt(path, maxPath)}
}

// cutAt cuts a text after n characters.
func cutAt(s string, n int) string {
	if r := []rune(s); len(r) > n {
		return string(r[:n]) + "…"
	}
	return s
}

// formatMention returns a mention for a sentence of the card.
func (c *Card) formatMention(m mention) string {
	if m.kind == "number" && isASCII(m.text) { // it has digits and what stands between them
		return m.text
	}
	return c.formatText(m.text, maxValue)
}

func isASCII(s string) bool {
	return !strings.ContainsFunc(s, func(r rune) bool { return r >= 0x80 })
}

// listMentions lists the first mentions.
func (c *Card) listMentions(found []mention) string {
	var parts []string
	for _, m := range found[:min(maxListed, len(found))] {
		parts = append(parts, c.formatMention(m))
	}
	out := strings.Join(parts, ", ")
	if more := len(found) - maxListed; more > 0 {
		out += fmt.Sprintf(" and %d more", more)
	}
	return out
}
