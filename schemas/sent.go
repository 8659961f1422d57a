package schemas

import (
	"encoding/json"
	"slices"
)

// SentTexts returns the texts of the call that are sent to people in the organisation's name, by
// field; empty if it sets none.
func (p *Payload) SentTexts() map[string]string {
	if p.Action.Class != Write || p.Action.Resource == nil {
		return nil
	}
	in, _ := p.Args["input"].(map[string]any)
	out := map[string]string{}
	for _, field := range p.Action.Resource.sentFields() {
		if text, ok := in[field].(string); ok {
			out[field] = text
		}
	}
	return out
}

func (r *Resource) sentFields() (out []string) {
	for _, f := range r.Fields {
		if f.Sent {
			out = append(out, f.Name)
		}
	}
	return out
}

// SimilarRead returns the read of the other records with texts that are sent like those that the
// call changes: one page. It returns nil if the call changes no such text.
func (p *Payload) SimilarRead() *Payload {
	if !p.Action.updatesRecord() || len(p.SentTexts()) == 0 {
		return nil
	}
	list := p.Action.list
	args := map[string]any{"fields": slices.Concat([]string{"id"}, list.Resource.cardFields[:1], list.Resource.sentFields())}
	if list.Paged() {
		args["page"] = map[string]any{"limit": MaxLimit}
	}
	read, err := list.Check(encode(args), Limits{})
	if err != nil { // its names are the registry's
		panic("schemas: the read of records like that of " + p.Action.Name + ": " + err.Error())
	}
	return read
}

// SentRecord is a record with texts that are sent.
type SentRecord struct {
	// Name is what people know it by.
	Name string
	// Texts are those that are sent.
	Texts []string
}

// Similar returns the other records, from the answer to the read that SimilarRead returns. whole is
// false if there may be more of them. ok is false if the answer cannot be read.
func (p *Payload) Similar(data json.RawMessage) (records []SentRecord, whole, ok bool) {
	r, rows := p.Action.list.Resource, 0
	field, own := p.replacedRecord()
	ok = eachRow(data, func(row []byte) {
		if rows++; matchesRecord(row, field, own) {
			return
		}
		var s SentRecord
		EachJSON(row, func(k, v []byte) {
			switch f := r.FieldOf(k); {
			case f == nil:
			case f.Name == r.cardFields[0]:
				s.Name = DecodeString(v)
			case f.Sent:
				s.Texts = append(s.Texts, DecodeString(v))
			}
		})
		records = append(records, s)
	})
	return records, rows < MaxLimit, ok
}
