package recipients

import "strings"

// Kind is a sort of number.
type Kind string

// The kinds. Which numbers are of which kind each country's numbering plan says.
const (
	Mobile            Kind = "mobile"
	FixedLine         Kind = "fixed_line"
	FixedLineOrMobile Kind = "fixed_line_or_mobile" // where a plan does not tell them apart, as in North America
	TollFree          Kind = "toll_free"
	PremiumRate       Kind = "premium_rate"
	SharedCost        Kind = "shared_cost"
	VoIP              Kind = "voip"
	PersonalNumber    Kind = "personal_number" // follows a person from line to line, such as the British 070; often dear
	Pager             Kind = "pager"
	UAN               Kind = "uan" // one number for a whole company
	Voicemail         Kind = "voicemail"
	ShortCode         Kind = "short_code" // works inside its own country, such as directory enquiries; often dear
	Emergency         Kind = "emergency"
	Unknown           Kind = "unknown" // for rules to name; a number of which no plan knows the sort is refused
)

// Kinds lists them all.
var Kinds = []Kind{Mobile, FixedLine, FixedLineOrMobile, TollFree, PremiumRate, SharedCost, VoIP, PersonalNumber,
	Pager, UAN, Voicemail, ShortCode, Emergency, Unknown}

// Words writes the kind for a reader, such as `fixed line or mobile`.
func (k Kind) Words() string { return strings.ReplaceAll(string(k), "_", " ") }
