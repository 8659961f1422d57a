package recipients

import (
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

func TestFromArguments(t *testing.T) {
	const ada, ben = "c0000000-0000-4000-8000-00000000000A", "c0000000-0000-4000-8000-00000000000b"
	type in = map[string]any
	contacts := []Recipient{{Contact: strings.ToLower(ada)}, {Contact: ben}}
	for name, c := range map[string]struct {
		action string
		input  in
		want   *Set
		known  bool
	}{
		"nobody":         {"barge_call", in{"callUuid": "x"}, nil, true},
		"a number":       {"start_outbound_call", in{"phoneNumber": "+442079460123"}, &Set{Count: 1, List: []Recipient{{Number: "+442079460123", Country: "GB", Kind: FixedLine}}}, true},
		"a group":        {"start_bulk_outbound_call", in{"groupId": ben, "contactLimit": 7}, &Set{Count: 7, Group: ben}, true},
		"one contact":    {"start_outbound_call", in{"contactId": ada}, &Set{Count: 1, List: contacts[:1]}, false},
		"two contacts":   {"start_bulk_outbound_call", in{"contactIds": []string{ada, ben}}, &Set{Count: 2, List: contacts}, false},
		"one of two":     {"start_bulk_outbound_call", in{"contactIds": []string{ada, ben}, "contactLimit": 1}, &Set{Count: 1, List: contacts}, false},
		"limit too high": {"start_bulk_outbound_call", in{"contactIds": []string{ada, ben}, "contactLimit": 9}, &Set{Count: 2, List: contacts}, false},
	} {
		t.Run(name, func(t *testing.T) {
			got, known, fault := FromArguments(t.Context(), check(t, c.action, c.input))
			if fault != nil || known != c.known {
				t.Fatalf("known %v, %v", known, fault)
			}
			if got != nil {
				got.Digest = ""
			}
			if d := cmp.Diff(c.want, got); d != "" {
				t.Error(d)
			}
		})
	}
	if set, known, fault := FromArguments(t.Context(), check(t, "start_bulk_outbound_call", in{"groupId": ben})); set != nil || !known || fault == nil {
		t.Errorf("a group of unknown size: %v %v %v", set, known, fault)
	}
}

func TestFromTextFails(t *testing.T) {
	for text, want := range map[string]string{
		"10001":   "10001 is not a count from 0 to 10000",
		"0207946": "207946 is not a count",
		"-1":      "-1 is not a count",
		"":        "a number is empty", "+442079460123,": "a number is empty",
		"+44,+33":            `the number "+44" is not in E.164`,
		"+4402079460123":     "is not in E.164: write +442079460123",
		`[{"nummer":"x"}]`:   "the list is not valid: write one such as [{",
		`[{"kind":"phone"}]`: `unknown kind of number "phone": use one of mobile, `,
		`[`:                  "the list is not valid",
		`["+44"] []`:         "the list is not valid",
	} {
		if set, _, err := FromText(text); err == nil || set != nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%q: %v %v", text, set, err)
		}
	}
}
