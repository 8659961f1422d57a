package sandbox

import (
	"fmt"
	"testing"
	"time"

	"github.com/sippet-ai/sippet-mcp/schemas"
	"pgregory.net/rapid"
)

// Random actions at random times must not crash, and must leave calls, participants, queue entries
// and bulk calls consistent.
func TestRandomActionsKeepConsistency(t *testing.T) {
	rapid.Check(t, func(rt *rapid.T) {
		o := open(t, Options{Seed: rapid.Uint64Range(1, 5).Draw(rt, "seed")})
		for range rapid.IntRange(5, 40).Draw(rt, "steps") {
			o.randomStep(rt)
		}
		o.checkConsistent(rt)
		o.advance(24 * time.Hour) // every call ends
		o.checkConsistent(rt)
		if rows := o.list(`{"action":"list_calls","fields":["id","status","callSource"],"filter":{"status":{"in":["initiated","ringing","answered"]},"callSource":{"notEq":"mine"}}}`); len(rows) > 0 {
			rt.Fatalf("calls that never end: %v", rows)
		}
		if rows := o.list(`{"action":"list_bulk_outbound_calls","fields":["id"],"filter":{"status":{"notEq":"completed"}}}`); len(rows) > 0 {
			rt.Fatalf("bulk calls that never complete: %v", rows)
		}
	})
}

// randomStep runs a random action, or advances the clock.
func (o *testOrg) randomStep(rt *rapid.T) {
	pick := func(list, field string) any {
		rows := o.list(`{"action":"` + list + `","fields":["` + field + `"]}`)
		if len(rows) == 0 {
			return nil
		}
		return rows[rapid.IntRange(0, len(rows)-1).Draw(rt, "row")][field]
	}
	live := func() any {
		rows := o.list(`{"action":"list_calls","fields":["callUuid"],"filter":{"status":{"in":["initiated","ringing","answered"]}}}`)
		if len(rows) == 0 {
			return "none"
		}
		return rows[rapid.IntRange(0, len(rows)-1).Draw(rt, "call")]["callUuid"]
	}
	do := func(action string, more map[string]any) {
		req := map[string]any{"action": action}
		for k, v := range more {
			req[k] = v
		}
		if a, err := schemas.Find(action); err == nil {
			if has, _ := a.Key("fields"); has {
				req["fields"] = a.Resource.Names()
			}
		}
		if status, out := o.post("run", req); status != 200 {
			rt.Fatalf("%v: status %d, %v", req, status, out)
		}
	}
	onLive := []string{"call_codec", "barge_call", "resume_ai_call", "transfer_call_to_queue", "leave_call", "end_call", "issue_operator_media_access"}
	switch kind := rapid.IntRange(0, 13).Draw(rt, "kind"); kind {
	case 0, 1, 2:
		o.advance(time.Duration(rapid.IntRange(1, 90).Draw(rt, "seconds")) * time.Second)
	case 3, 4, 5:
		do(rapid.SampledFrom(onLive).Draw(rt, "action"), map[string]any{"input": map[string]any{"callUuid": live()}})
	case 6:
		do("start_outbound_call", map[string]any{"input": map[string]any{"contactId": pick("list_contacts", "id")}})
	case 7:
		do("start_outbound_call", map[string]any{"input": map[string]any{"phoneNumber": fmt.Sprintf("+44770090090%d", rapid.IntRange(0, 9).Draw(rt, "number"))}})
	case 8:
		do("start_bulk_outbound_call", map[string]any{"input": map[string]any{"contactIds": []any{pick("list_contacts", "id"), pick("list_contacts", "id")}, "concurrency": rapid.IntRange(1, 3).Draw(rt, "concurrency")}})
	case 9:
		do("accept_call_queue_entry", map[string]any{"identity": pick("list_call_queue_entries", "id")})
	case 10:
		do(rapid.SampledFrom([]string{"archive_contact", "flag_call_for_review", "clear_call_review_flag"}).Draw(rt, "action"),
			map[string]any{"identity": pick(rapid.SampledFrom([]string{"list_contacts", "list_calls"}).Draw(rt, "of"), "id")})
	case 11:
		do("delete_contact", map[string]any{"input": map[string]any{"contactId": pick("list_contacts", "id")}})
	case 12:
		do("create_call", map[string]any{"input": map[string]any{"direction": "inbound", "fromNumber": "+1", "toNumber": "+2", "callSource": "mine",
			"callUuid": fmt.Sprint("mine ", rapid.IntRange(0, 3).Draw(rt, "uuid")), "status": rapid.SampledFrom([]any{"answered", "initiated", nil}).Draw(rt, "status")}})
	case 13:
		do("import_inbound_email", map[string]any{"input": map[string]any{"recipientAddress": "hello@harbourlane.example",
			"structuredPayload": map[string]any{"from": rapid.SampledFrom([]string{"a@b.example", "beth.c@example.com"}).Draw(rt, "from"), "text": "refund"}}})
	}
}

func (o *testOrg) checkConsistent(rt *rapid.T) {
	over := map[any]bool{}
	uuids := map[any]bool{}
	for _, c := range o.list(`{"action":"list_calls","fields":["id","callUuid","status","endedAt","currentHandlerType","answeredAt","callSource"]}`) {
		switch c["status"] {
		case "initiated", "ringing", "answered", nil:
			if c["endedAt"] != nil {
				rt.Fatalf("live call has endedAt: %v", c)
			}
		default:
			over[c["id"]], uuids[c["callUuid"]] = true, true
			if c["endedAt"] == nil || c["currentHandlerType"] != nil {
				rt.Fatalf("ended call has no endedAt, or a handler: %v", c)
			}
		}
	}
	for _, p := range o.list(`{"action":"list_call_participants","fields":["callId","role","leftAt"]}`) {
		if over[p["callId"]] != (p["leftAt"] != nil) && over[p["callId"]] {
			rt.Fatalf("participant has not left an ended call: %v", p)
		}
	}
	for _, e := range o.list(`{"action":"list_call_queue_entries","fields":["callUuid","state","answeredAt","completedAt","abandonedAt"]}`) {
		if uuids[e["callUuid"]] && (e["state"] == "waiting" || e["state"] == "answered") {
			rt.Fatalf("open queue entry of an ended call: %v", e)
		}
	}
	for _, b := range o.list(`{"action":"list_bulk_outbound_calls","fields":["id","status","totalCount","startedCount","completedCount","failedCount","concurrency"]}`) {
		counts := map[any]float64{}
		for _, e := range o.list(with(`{"action":"list_bulk_outbound_call_entries","fields":["status"],"filter":{"bulkOutboundCallId":{"eq":"<id>"}}}`, "id", b["id"])) {
			counts[e["status"]]++
		}
		if counts["completed"] != b["completedCount"] || counts["failed"] != b["failedCount"] || counts["calling"] > b["concurrency"].(float64) ||
			(b["status"] == "completed") != (counts["pending"]+counts["calling"] == 0) {
			rt.Fatalf("counters of %v differ from its entries: %v", b, counts)
		}
	}
}
