package sandbox

import (
	"encoding/base64"
	"io"
	"mime"
	"mime/multipart"
	"mime/quotedprintable"
	"net/mail"
	"strings"
	"unicode/utf8"

	"github.com/sippet-ai/sippet-mcp/internal/sandbox/ash"
)

// maxParts bounds how deep and how wide a message is read.
const maxParts = 50

// parseMIME reads an RFC 5322 message: its sender, subject, and first plain text.
func parseMIME(raw string) (*inboundEmail, error) {
	msg, err := mail.ReadMessage(strings.NewReader(raw))
	if err != nil {
		return nil, ash.InvalidAttribute("rawMime", "is not a message: "+err.Error())
	}
	from, err := mail.ParseAddress(msg.Header.Get("From"))
	if err != nil {
		return nil, ash.InvalidAttribute("rawMime", "has no sender in From")
	}
	subject := msg.Header.Get("Subject")
	if s, err := new(mime.WordDecoder).DecodeHeader(subject); err == nil {
		subject = s
	}
	parts := maxParts
	body := plainText(msg.Header.Get("Content-Type"), msg.Header.Get("Content-Transfer-Encoding"), msg.Body, &parts)
	return &inboundEmail{fromName: from.Name, from: from.Address, subject: subject, body: body,
		messageID: strings.Trim(msg.Header.Get("Message-Id"), "<> ")}, nil
}

// plainText gives the first text part, as UTF-8 whatever it claimed to be.
func plainText(contentType, encoding string, body io.Reader, parts *int) string {
	if *parts--; *parts < 0 {
		return ""
	}
	kind, params, err := mime.ParseMediaType(contentType)
	if err == nil && strings.HasPrefix(kind, "multipart/") && params["boundary"] != "" {
		r := multipart.NewReader(body, params["boundary"])
		for {
			p, err := r.NextRawPart()
			if err != nil {
				return ""
			}
			if text := plainText(p.Header.Get("Content-Type"), p.Header.Get("Content-Transfer-Encoding"), p, parts); text != "" {
				return text
			}
		}
	}
	if err == nil && !strings.HasPrefix(kind, "text/") {
		return ""
	}
	switch strings.ToLower(strings.TrimSpace(encoding)) {
	case "quoted-printable":
		body = quotedprintable.NewReader(body)
	case "base64":
		body = base64.NewDecoder(base64.StdEncoding, body)
	}
	b, _ := io.ReadAll(body) // what could be decoded before a fault is the text
	s := strings.TrimSpace(string(b))
	if !utf8.ValidString(s) {
		s = strings.ToValidUTF8(s, "\uFFFD")
	}
	return s
}
