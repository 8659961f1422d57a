package tools

import (
	"strings"

	"golang.org/x/mod/semver"
)

// habit is what a client does with a dialogue, whatever it declares.
type habit int

const (
	unknownHabit habit = iota
	drawsNothing       // its person never sees a dialogue
	draws              // its person sees each dialogue
)

// habits are those of the clients that were tried, or that others reported. A client is found by
// the name that it declares and its version; the version is at least from, if that is set.
var habits = []struct {
	name, from string
	habit      habit
}{
	// Claude Desktop's chat and claude.ai: the dialogue is not drawn, and the call is cancelled after
	// a minute (anthropics/claude-code#88901, AirMCP#46).
	{"claude-ai", "", drawsNothing},
	// It declares dialogues and answers each with an error (tried, 2026-11-28).
	{"supergateway", "", drawsNothing},
	// Tried with 2.1.332. Claude Desktop embeds versions up to 2.1.259 of the same program under the
	// same name, and draws nothing (anthropics/claude-code#88901).
	{"claude-code", "v2.1.332", draws},
}

// habitOf returns the habit of a client.
func habitOf(name, version string) habit {
	for _, h := range habits {
		if h.name != strings.ToLower(name) {
			continue
		}
		v := "v" + strings.TrimPrefix(version, "v")
		if h.from == "" || semver.IsValid(v) && semver.Compare(v, h.from) >= 0 {
			return h.habit
		}
	}
	return unknownHabit
}
