// Package sandbox is an embedded Sippet organisation: it answers Sippet's two
// endpoints over real HTTP, as the real backend does, and keeps what is
// written to it.
//
// It is there so that people and agents can try everything without a key, and
// so that programs can be tested against something that behaves like Sippet.
// It is never a tool for a model.
//
// # How it is made
//
// The backend is Elixir: Ash behind AshTypescript. The engine here (the files
// named after what they do: cast, filter, page, fields, read, write, validate,
// render) does what those two do, and knows nothing of Sippet: it is generic
// over definitions of resources and actions (define.go). Sippet's definitions are
// the files beginning with org; their names and kinds come from package
// schemas, and only defaults, constraints and behaviour are stated here.
//
// A request goes through these, and each may refuse it:
//
//	http      what Phoenix does: method, path, body, key
//	parse     the action, the fields, the shapes of input and page
//	cast      the input's values, each by its attribute's kind and constraints
//	run       one transaction on SQLite (a turn): read, write, or an action of its own
//	render    exactly the fields asked for
//
// What happens by itself (a call goes on, an email is answered) is on an agenda
// (agenda.go), and happens at the beginning of the next run.
//
// What is known of the real backend was recorded. TestRecorded replays the
// recordings against a second, test-only set of definitions, which belongs to
// the backend that they were recorded from; docs/sandbox.md lists what is
// assumed where they do not say.
package sandbox
