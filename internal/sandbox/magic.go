package sandbox

// testNumbers go a certain way when they are called. They are of a range
// kept free for fiction; docs/sandbox.md has the table.
var testNumbers = map[string]string{
	"+447700900900": "answered",
	"+447700900901": "busy",
	"+447700900902": "no_answer",
	"+447700900903": "voicemail",
	"+447700900904": "failed",
}

// Numbers that the backend refuses to call at all.
var blockedNumbers = map[string]string{
	"+447700900905": "number is on the do-not-call list",
	"+447700900906": "number is not allowed by the outbound policy",
}
