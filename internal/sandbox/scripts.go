package sandbox

import (
	"strings"
	"time"
)

// script is a call of one of the clinic's AI agents. In its texts, {first} is the contact's first
// name and {agent} the agent's name.
type script struct {
	name      string
	outbound  bool
	lines     []line
	label     string
	summary   string
	outcome   string
	reason    string
	next      string
	voicemail bool
}

// line is one utterance, and the tool that the agent used before it, if any.
type line struct {
	agent  bool
	text   string
	tool   string
	args   map[string]any
	output string
	failed bool
}

func callerSays(text string) line { return line{text: text} }
func agentSays(text string) line  { return line{agent: true, text: text} }

func (l line) using(tool, out string, args map[string]any) line {
	l.tool, l.output, l.args = tool, out, args
	return l
}

func (l line) failing() line { l.failed = true; return l }

// pace returns how long it takes to say a line, up to a limit.
func (l line) pace() time.Duration {
	return 2*time.Second + time.Duration(min(len(l.text), 400))*45*time.Millisecond
}

var scripts = []*script{
	{name: "book", label: "appointment_booking", outcome: "booked", reason: "A free slot suited the caller",
		summary: "{first} asked for a check-up and took Thursday at 10:20 with Dr Okafor.", next: "Send the confirmation by email.",
		lines: []line{agentSays("Harbour Lane Dental, this is {agent}. How can I help?"), callerSays("Hi, I'd like to book a check-up please, it's been about a year."),
			agentSays("Of course. May I take your date of birth to find your record?"), callerSays("Sure, it's on file. {first}."),
			agentSays("Thank you, {first}. I have Thursday at 10:20 with Dr Okafor, or Friday at 15:40.").using("find_slots", "2 slots", map[string]any{"kind": "check_up", "days": 7}),
			callerSays("Thursday morning works."), agentSays("Done. You are booked for Thursday at 10:20. We will send a confirmation.").using("book_slot", "booked", map[string]any{"slot": "thu-10:20"}),
			callerSays("Lovely, thank you. Bye.")}},
	{name: "move", label: "appointment_change", outcome: "rescheduled", reason: "Caller could not come",
		summary: "{first} moved the hygienist appointment from Tuesday to next Monday 09:00.", next: "None.",
		lines: []line{agentSays("Harbour Lane Dental, {agent} speaking."), callerSays("I can't make Tuesday after all. Could we move it?"),
			agentSays("Let me look. I see the hygienist on Tuesday at 14:00. Next Monday at 09:00 is free.").using("find_slots", "1 slot", map[string]any{"kind": "hygienist"}),
			callerSays("Monday at nine is fine."), agentSays("Moved. Anything else?").using("move_slot", "moved", map[string]any{"to": "mon-09:00"}), callerSays("No, that's all.")}},
	{name: "pain", label: "emergency", outcome: "handed_over", reason: "Pain since last night, wanted a person",
		summary: "{first} has a swollen jaw and strong pain; passed to reception for an emergency slot.", next: "Ring back if the slot at 16:00 is not confirmed.",
		lines: []line{agentSays("Harbour Lane Dental, {agent} here."), callerSays("I've been up all night, my jaw is swollen and it really hurts."),
			agentSays("I am sorry to hear that. Is the swelling making it hard to breathe or swallow?"), callerSays("No, it's just very sore. Can I talk to a person?"),
			agentSays("Of course, I am putting you through to reception now.").using("transfer_to_queue", "queued", map[string]any{"queue": "reception"})}},
	{name: "price", label: "price_question", outcome: "answered", reason: "Prices are public",
		summary: "{first} asked what a crown costs and will think about it.", next: "None.",
		lines: []line{agentSays("Good morning, Harbour Lane Dental."), callerSays("How much is a crown with you?"),
			agentSays("A porcelain crown is from 620 pounds, with an examination first at 58.").using("price_list", "crown 620, exam 58", map[string]any{"item": "crown"}),
			callerSays("That's more than I thought. I'll think about it."), agentSays("Take your time. We can also spread it over ten months.")}},
	{name: "complaint", label: "complaint", outcome: "callback_promised", reason: "Charged twice",
		summary: "{first} was charged twice for the same filling and wants the money back this week.", next: "Practice manager to ring back by Friday.",
		lines: []line{agentSays("Harbour Lane Dental, {agent} speaking."), callerSays("You've charged me twice for one filling and nobody answers my emails."),
			agentSays("I am sorry. Let me look at the account.").using("find_invoice", "timeout after 5000 ms", map[string]any{"days": 30}).failing(),
			agentSays("I cannot open the invoices just now. I will have the practice manager ring you."), callerSays("By when?"), agentSays("By Friday at the latest."), callerSays("I will hold you to that.")}},
	{name: "directions", label: "general_question", outcome: "answered", reason: "On the website too",
		summary: "{first} asked where to park.", next: "None.",
		lines: []line{agentSays("Harbour Lane Dental, how can I help?"), callerSays("Where can I park near you?"), agentSays("There is a car park behind the fish market, two minutes on foot."), callerSays("Great, see you at three.")}},
	{name: "cancel", label: "appointment_cancellation", outcome: "cancelled", reason: "Caller is abroad",
		summary: "{first} cancelled Friday's check-up and will ring again in January.", next: "Offer a slot in January.",
		lines: []line{agentSays("Harbour Lane Dental, this is {agent}."), callerSays("I need to cancel Friday, I'm abroad until the new year."),
			agentSays("No problem, I have cancelled it. Shall I note that you would like January?").using("cancel_slot", "cancelled", map[string]any{"slot": "fri-11:00"}), callerSays("Please do.")}},
	{name: "repeat_prescription", label: "clinical_question", outcome: "handed_over", reason: "Needs a clinician",
		summary: "{first} asked for more of the mouthwash on prescription; reception took over.", next: "Dr Okafor to sign.",
		lines: []line{agentSays("Harbour Lane Dental, {agent} here."), callerSays("I've run out of the prescription mouthwash. Can you send it to the chemist?"),
			agentSays("A dentist has to look at that. I am putting you through.").using("transfer_to_queue", "queued", map[string]any{"queue": "reception"})}},

	{name: "reminder", outbound: true, label: "appointment_reminder", outcome: "confirmed", reason: "Contact will come",
		summary: "{first} confirmed tomorrow's appointment.", next: "None.",
		lines: []line{agentSays("Hello, this is {agent}, the AI assistant of Harbour Lane Dental. Am I speaking with {first}?"), callerSays("Yes, that's me."),
			agentSays("You have an appointment tomorrow at 11:40. Can you still come?"), callerSays("Yes, I'll be there."),
			agentSays("Wonderful, see you then.").using("confirm_slot", "confirmed", map[string]any{"slot": "11:40"})}},
	{name: "recall", outbound: true, label: "recall", outcome: "booked", reason: "A check-up was due",
		summary: "{first} is due a check-up and took Wednesday at 16:20.", next: "Send the confirmation by email.",
		lines: []line{agentSays("Hello {first}, this is {agent}, the AI assistant of Harbour Lane Dental. You are due a check-up. Shall we find a time?"),
			callerSays("Oh, yes. Do you have something after four?"),
			agentSays("Wednesday at 16:20?").using("find_slots", "1 slot", map[string]any{"after": "16:00"}), callerSays("Perfect."),
			agentSays("Booked.").using("book_slot", "booked", map[string]any{"slot": "wed-16:20"})}},
	{name: "not_interested", outbound: true, label: "recall", outcome: "declined", reason: "Has another dentist",
		summary: "{first} has moved to another practice and wants no more calls.", next: "Mark as do not call.",
		lines: []line{agentSays("Hello {first}, this is {agent}, the AI assistant of Harbour Lane Dental."), callerSays("I've changed dentists. Please take me off your list."),
			agentSays("I will note that. All the best.")}},
	{name: "voicemail", outbound: true, voicemail: true, label: "voicemail", outcome: "voicemail_left", reason: "Nobody picked up",
		summary: "Left a message asking {first} to ring back.", next: "Try again tomorrow.",
		lines: []line{callerSays("The person you are calling is not available. Please leave a message after the tone."),
			agentSays("This is {agent} from Harbour Lane Dental, about your appointment. Please ring us on 020 7946 0018. Thank you.")}},
}

func scriptNamed(name string) *script {
	for _, s := range scripts {
		if s.name == name {
			return s
		}
	}
	return scripts[0]
}

// fillNames inserts the names into a text of a script.
func fillNames(text, first, agentName string) string {
	if first == "" {
		first = "the caller"
	}
	return strings.NewReplacer("{first}", first, "{agent}", agentName).Replace(text)
}
