package inbox

import (
	"encoding/json"
	"fmt"
	"net/http"
	"slices"
	"strconv"
	"strings"

	"github.com/sippet-ai/sippet-mcp/internal/approval"
	"github.com/sippet-ai/sippet-mcp/internal/ledger"
)

// answerState is the result of one answer, for the script and the API.
type answerState struct {
	ID    string `json:"id"`
	State string `json:"state,omitempty"`
	problem
}

// answer records the answer to the ticked lines of a card.
func (i *Inbox) answer(w http.ResponseWriter, r *http.Request, v *visit) {
	if err := r.ParseForm(); err != nil {
		i.errorPage(w, r, http.StatusBadRequest, "The form could not be read", reloadFirst)
		return
	}
	ids, quick, ok := i.lines(v, r.PostForm["line"])
	if !ok {
		i.errorPage(w, r, http.StatusForbidden, pageTooOld, reloadFirst)
		return
	}
	if len(ids) == 0 {
		i.errorPage(w, r, http.StatusBadRequest, "Nothing was ticked", "Nothing was changed. Tick the lines that you answer.")
		return
	}
	people, _ := strconv.Atoi(strings.TrimSpace(r.PostFormValue("people")))
	reply := approval.Reply{StatedNumber: people, Note: r.PostFormValue("note"), Quick: quick}
	all, ok := i.answerAll(r, ids, v, r.PostFormValue("answer"), reply)
	if !ok {
		i.errorPage(w, r, http.StatusBadRequest, "Unknown answer", "Nothing was changed. Approve, decline or revoke.")
		return
	}
	faults := slices.DeleteFunc(slices.Clone(all), func(s answerState) bool { return s.Error == "" })
	switch {
	case wantsJSON(r):
		writeJSON(w, http.StatusOK, all)
	case len(faults) > 0:
		text := sentences(faults[0].Error, faults[0].Next)
		if n := len(all) - len(faults); n > 0 {
			text += fmt.Sprintf(" Your answer to %d others was recorded.", n)
		}
		i.errorPage(w, r, http.StatusConflict, "Your answer was not recorded", text)
	case len(all) == 1:
		http.Redirect(w, r, i.path("/approvals/"+all[0].ID), http.StatusSeeOther)
	default:
		http.Redirect(w, r, i.path(""), http.StatusSeeOther)
	}
}

// answerAll records one answer to all requests: approve, decline or revoke. It returns false for
// any other.
func (i *Inbox) answerAll(r *http.Request, ids []string, v *visit, answer string, reply approval.Reply) (
	[]answerState, bool,
) {
	out := make([]answerState, 0, len(ids))
	switch answer {
	case "approve", "decline":
		state := ledger.Declined
		if reply.Approve = answer == "approve"; reply.Approve {
			state = ledger.Approved
		}
		for _, a := range i.Approvals.Answer(background(r), ids, v.person, reply) {
			out = append(out, stateOf(a, state))
		}
	case "revoke":
		for _, id := range ids {
			s := answerState{ID: id, State: string(ledger.Revoked)}
			if err := i.Approvals.Revoke(background(r), id, v.person); err != nil {
				s = answerState{ID: id, problem: problem{err.Message, err.Next}}
			}
			out = append(out, s)
		}
	default:
		return nil, false
	}
	return out, true
}

// stateOf returns the result of an answer that makes a request state.
func stateOf(a approval.AnswerResult, state ledger.ApprovalState) answerState {
	if a.Err != nil {
		return answerState{ID: a.ApprovalID, problem: problem{a.Err.Message, a.Err.Next}}
	}
	return answerState{ID: a.ApprovalID, State: string(state)}
}

// maxLines is more than a card has.
const maxLines = 5 * maxTogether

// lines reads the stamps of the ticked lines. quick is true if one of them was shown too short a
// time ago to be read.
func (i *Inbox) lines(v *visit, stamps []string) (ids []string, quick, ok bool) {
	for _, s := range stamps {
		id, at, good := i.stamps.Read(v.secret, s, i.Now())
		if !good {
			return nil, false, false
		}
		if quick = quick || i.Now().Sub(at) < tooQuick; !slices.Contains(ids, id) {
			ids = append(ids, id)
		}
	}
	return ids, quick, len(ids) <= maxLines
}

// take shows what an action issued, once.
func (i *Inbox) take(w http.ResponseWriter, r *http.Request, v *visit) {
	id := r.PostFormValue("id")
	if !i.stamped(w, r, v, "take-"+id) {
		return
	}
	data, fault := i.Approvals.TakeHandover(background(r), id, v.person)
	if fault != nil {
		i.errorPage(w, r, http.StatusConflict, "It cannot be shown", sentences(fault.Message, fault.Next))
		return
	}
	i.render(w, r, http.StatusOK, "taken", struct {
		frame
		Fields []field
	}{i.frame(v, "What was issued"), fields(data)})
}

// field is one value of what was issued.
type field struct{ Name, Value string }

// fields returns the values of what was issued, by name. Anything but a JSON object is one value.
func fields(data []byte) (out []field) {
	var m map[string]any
	if json.Unmarshal(data, &m) != nil || len(m) == 0 {
		return []field{{"issued", string(data)}}
	}
	for k, v := range m {
		s, ok := v.(string)
		if !ok {
			raw, _ := json.Marshal(v)
			s = string(raw)
		}
		out = append(out, field{k, s})
	}
	slices.SortFunc(out, func(a, b field) int { return strings.Compare(a.Name, b.Name) })
	return out
}
