//go:build clients

package clients_test

import (
	"strings"
	"testing"

	"github.com/sippet-ai/sippet-mcp/schemas"
)

// The call that each client asks for.
const (
	action    = "start_outbound_call"
	number    = "+447700900123"
	arguments = `{"input":{"phoneNumber":"` + number + `"}}`
)

// client is a client from npm.
type client struct {
	name   string
	script string // empty for Claude Code
	era    string // of the protocol; only sdk-v2 is told
	// model is true if a model makes the call; otherwise the script does, and prints the result.
	model bool
	// dialogues are the connections over which the client can show a dialogue to its person. Over
	// the others it may declare dialogues, and then answers by itself.
	dialogues []string
	// version is the client's name and version in the audit log.
	version string
}

const (
	legacy = "legacy" // the server asks while the call waits
	modern = "modern" // the call returns, and the client repeats it with the person's answer
)

var clients = []client{
	{name: "sdk-v1", script: "sdk-v1.mjs", era: legacy, dialogues: []string{stdio, tokens}, version: "sdk-v1 1.2.3"},
	{name: "sdk-v2-legacy", script: "sdk-v2.mjs", era: legacy, dialogues: []string{stdio, tokens}, version: "sdk-v2 4.5.6"},
	{name: "sdk-v2-modern", script: "sdk-v2.mjs", era: modern, dialogues: []string{stdio, tokens}, version: "sdk-v2 4.5.6"},
	{name: "ai-sdk", script: "ai-sdk.mjs", era: modern, model: true, dialogues: []string{stdio, tokens}, version: "ai-sdk 7.8.9"},
	{name: "mastra", script: "mastra.mjs", era: modern, model: true, dialogues: []string{stdio, tokens}, version: "sippet 1.0.0"},
	{name: "langchain", script: "langchain.mjs", era: legacy, model: true, version: "@langchain/mcp-adapters 1.1.4"},
	{name: "openai-agents", script: "openai-agents.mjs", era: legacy, model: true, version: "sippet 1.0.0"},
	// From HTTP to stdio it declares dialogues, and answers each with an error.
	{name: "supergateway", script: "supergateway.mjs", era: legacy, dialogues: []string{stdio}, version: "behind-gateway 1.0.0"},
	// With -p it declares dialogues, and cancels each at once.
	{name: "claude-code", era: modern, model: true, version: "claude-code 2.1.332"},
}

// scene is what happens at the client and at the inbox.
type scene struct {
	name, connection string
	dialogue         string // what the client answers; empty if it cannot show a dialogue
	inbox            string // what the person answers in the inbox; empty for nothing
	outcome          schemas.Outcome
	via              string // of the person in the audit log
}

func (c *client) scenes() (all []scene) {
	for _, connection := range []string{stdio, open, tokens} {
		dialogue := ""
		if len(c.dialogues) > 0 {
			dialogue = "cancel-at-once"
		}
		if connection == open {
			// Nobody behind HTTP without tokens is asked through the client, so this does not count.
			dialogue = "approve"
		}
		all = append(all,
			scene{"inbox approves", connection, dialogue, "approve", schemas.Done, "inbox"},
			scene{"inbox declines", connection, dialogue, "decline", schemas.Declined, "inbox"},
			scene{"nobody", connection, dialogue, "", schemas.ApprovalPending, ""})
	}
	for _, connection := range c.dialogues {
		all = append(all,
			scene{"client approves", connection, "approve", "", schemas.Done, "client " + c.version},
			scene{"client declines", connection, "decline", "", schemas.Declined, "client " + c.version},
			scene{"client accepts at once", connection, "accept-at-once", "", schemas.ApprovalPending, ""},
			scene{"client declines at once", connection, "decline-at-once", "", schemas.ApprovalPending, ""})
		if c.era == legacy { // in the modern protocol the client waits for its person itself
			all = append(all,
				scene{"client is silent", connection, "silence", "", schemas.ApprovalPending, ""},
				scene{"client is silent, inbox approves", connection, "silence", "approve", schemas.Done, "inbox"})
		}
	}
	return all
}

func TestClients(t *testing.T) {
	n := install(t)
	for _, c := range clients {
		for _, s := range c.scenes() {
			t.Run(strings.ReplaceAll(c.name+"/"+s.connection+"/"+s.name, " ", "-"), func(t *testing.T) {
				t.Parallel()
				r := c.play(t, n, &s)
				// A machine's reply that took as long as a person's, because this computer is busy,
				// shows nothing.
				for again := 0; again < 5 && !strings.HasPrefix(s.via, "client ") && r.slow(); again++ {
					r = c.play(t, n, &s)
				}
				r.check(t, &c, &s)
			})
		}
	}
}
