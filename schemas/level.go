package schemas

import (
	"fmt"
	"slices"
	"strings"
)

// Arguments have levels: the payload's keys at the top, and below them those of input, page and
// filter. A model often gives a right name at the wrong level. So an unknown name is looked up at
// the other levels, and the fault says which path takes it.

// rightPath returns the path that takes a name, and the message of the fault. The name is one that
// the level does not take; level is "", "input", "page" or a path in the filter. The path is empty
// if no level takes the name.
func (a *Action) rightPath(level, name string) (path, message string) {
	own := a.levelNames(level)
	if len(name) > maxName || sameName(name, own) != "" { // only its spelling is wrong
		return "", ""
	}
	unknown := "unknown name " + quote(name)
	if top := sameName(name, a.check.names); top != "" && level != "" {
		return top, fmt.Sprintf("%s; give %s at the top level, not in %s", unknown, top, firstName(level))
	}
	for _, below := range []string{"input", "page"} {
		if key := sameName(name, a.levelNames(below)); key != "" && level != below {
			return join(below, key), fmt.Sprintf("%s; it goes into %s", unknown, join(below, key))
		}
	}
	if a.List() && level == "" {
		if key := sameName(name, a.Resource.names); key != "" {
			return join("filter", key), fmt.Sprintf(`%s; to select by it, give filter, such as {%q:{"eq":…}}`, unknown, key)
		}
	}
	if Nearest(name, own) != "" {
		return "", ""
	}
	return a.idPath(level, name)
}

// idPath returns the path that takes the record's id, for a name that reads like an id.
func (a *Action) idPath(level, name string) (path, message string) {
	bare := slices.Contains([]string{"id", "uuid", "identity", "identifier"}, fold(name))
	if !bare && !isIDName(name) || firstName(level) == "page" {
		return "", ""
	}
	unknown := "unknown name " + quote(name)
	switch key := a.idInput(); {
	case a.hasKey("identity") && a.list.Resource.Field(name) != nil && name != "id":
		return "identity", fmt.Sprintf("%s; identity takes the id of the record itself, from %s", unknown, a.list.Name)
	case a.hasKey("identity"):
		return "identity", unknown + "; the id goes into identity"
	case a.List() && bare:
		return "filter.id", unknown + `; to select by id, give filter, such as {"id":{"eq":"<id>"}}`
	case key == nil || !bare && len(a.Targets) > 0: // it could name another target
		return "", ""
	case key.Names == ContactSubject && key.Type == "array":
		return "input." + key.Name, unknown + "; the contacts' ids go into input." + key.Name
	case key.Name == "id", key.Names == ContactSubject:
		return "input." + key.Name, unknown + "; the id goes into input." + key.Name
	default:
		return "input." + key.Name, fmt.Sprintf("%s; the record is named by its %s, which goes into input.%s", unknown, key.Name, key.Name)
	}
}

// idInput returns the input key that names the record, call or contact of the action; nil where
// none does.
func (a *Action) idInput() *Input {
	if a.creates || a.hasKey("identity") {
		return nil
	}
	if a.recordKey != "" {
		return a.inputKey(a.recordKey)
	}
	for i := range a.inputs {
		if in := &a.inputs[i]; in.Names == ContactSubject || in.Required && isIDName(in.Name) {
			return in
		}
	}
	return nil
}

// levelNames returns the names that a level takes; nil where the action does not have the level.
func (a *Action) levelNames(level string) []string {
	switch first := firstName(level); {
	case first == "":
		return a.check.names
	case first == "filter" && a.Resource != nil:
		return a.Resource.names
	default:
		if n := a.check.props[first]; n != nil {
			return n.names
		}
	}
	return nil
}

// firstName returns the top-level name of a path.
func firstName(path string) string {
	if i := strings.IndexAny(path, ".["); i >= 0 {
		return path[:i]
	}
	return path
}

// sameName returns the valid name that differs from name in case and separators at most; empty
// where there is none.
func sameName(name string, valid []string) string {
	if slices.Contains(valid, name) {
		return name
	}
	for _, v := range valid {
		if fold(v) == fold(name) {
			return v
		}
	}
	return ""
}

// isIDName reports whether a name reads like that of an id: id, contactId, call_uuid.
func isIDName(name string) bool {
	if s := fold(name); s == "id" || s == "uuid" {
		return true
	}
	for _, suffix := range []string{"Id", "ID", "Ids", "_id", "_ids", "Uuid", "UUID", "_uuid"} {
		if strings.HasSuffix(name, suffix) {
			return true
		}
	}
	return false
}
