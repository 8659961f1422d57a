package ledger

// RecordView is a record as JSON for a reader: with the names of the persons concerned, and without
// its sealed part.
type RecordView struct {
	Record
	People []string `json:"people,omitempty"`
	// Erased is Record.Erased.
	Erased bool `json:"erased,omitempty"`
	// Fault is Record.Fault. Line is then the record as it is stored, and only Seq can be relied
	// on.
	Fault string `json:"fault,omitempty"`
	Line  string `json:"line,omitempty"`
}

// View returns the record for a reader.
func (r *Record) View() RecordView {
	v := RecordView{Record: *r, People: r.SubjectNames, Erased: r.Erased()}
	if v.Sealed = nil; r.Fault != "" {
		v.Fault, v.Line = r.Fault, string(r.Line)
	}
	return v
}

// Erased reports whether the record's sealed part can never be read again, because a person whom it
// concerns was erased.
func (r *Record) Erased() bool { return r.Sealed != nil && r.Private == nil && r.Fault == "" }

// CallID returns the id by which FindCall finds the record's call: that of its intent, else of its
// approval request. It is empty if the record is about no call, or has a Fault.
func (r *Record) CallID() string {
	switch {
	case r.Fault != "":
		return ""
	case r.Intent != "":
		return r.Intent
	}
	return r.ApprovalID
}
