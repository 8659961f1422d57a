package inbox

import (
	"net/http"
	"time"
)

// stampFor is how long the forms of an open page stay valid.
const stampFor = 24 * time.Hour

// tooQuick is less than the time it takes to read a card.
const tooQuick = 2 * time.Second

const (
	pageTooOld  = "This page is too old"
	reloadFirst = "Nothing was changed. Reload the page, then try again."
)

// stamped reports whether the request has a stamp with the subject. If not, it writes the error.
func (i *Inbox) stamped(w http.ResponseWriter, r *http.Request, v *visit, subject string) bool {
	got, _, ok := i.stamps.Read(v.secret, r.PostFormValue("stamp"), i.Now())
	if ok && got == subject {
		return true
	}
	i.errorPage(w, r, http.StatusForbidden, pageTooOld, reloadFirst)
	return false
}
