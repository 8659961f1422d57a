package sandbox

import (
	"fmt"
	"strconv"
	"time"

	"github.com/sippet-ai/sippet-mcp/internal/sandbox/ash"
)

var (
	firstNames = []string{"Amara", "Bruno", "Chiara", "Dilip", "Esme", "Femi", "Gwen", "Hugo", "Imogen", "Joao", "Kofi", "Lena", "Maeve", "Niall", "Orla", "Pedro"}
	lastNames  = []string{"Abbott", "Byrne", "Castell", "Dunne", "Ellery", "Farrow", "Gill", "Hosseini", "Iqbal", "Jessop", "Khan", "Lowry", "Moss", "Nolan", "Osei", "Price", "Reeve"}
)

// addScale plants many contacts, and many calls without what was said on
// them: before the week that the rest of the seed tells of, one in four minutes.
func (p *seeder) addScale() error {
	added := p.ago(500 * 24 * time.Hour)
	statuses := []string{"completed", "completed", "completed", "no_answer", "completed", "busy", "failed"}
	for n := range p.o.scale {
		key := "scale " + strconv.Itoa(n)
		contact := p.o.newContact(key, firstNames[n*7%len(firstNames)]+" "+lastNames[n*5%len(lastNames)], added)
		contact["phoneE164"] = fmt.Sprintf("+447700900%03d", n%900)
		contact["email"] = fmt.Sprintf("patient%d@example.com", n)
		if err := p.insert("Contact", contact); err != nil {
			return err
		}
		at := p.now.Add(-8*24*time.Hour - time.Duration(n)*4*time.Minute)
		id := p.o.idOf("call", key)
		call := ash.Record{"id": id, "direction": "inbound", "fromNumber": contact["phoneE164"], "toNumber": mainLine, "callUuid": "scale-" + id,
			"callSource": "sip", "startedAt": at.Format(ash.TimeLayout), "answeredAt": at.Add(6 * time.Second).Format(ash.TimeLayout), "contactId": contact["id"],
			"currentAiAgentId": p.agents["Molly"]["id"], "currentAiAgentName": "Molly"}
		for k, v := range p.o.endedAttributes(call, statuses[n%len(statuses)], at.Add(time.Duration(30+n*37%400)*time.Second)) {
			call[k] = v
		}
		if err := p.insert("Call", call); err != nil {
			return err
		}
	}
	return nil
}
