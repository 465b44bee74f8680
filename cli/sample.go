package cli

import (
	"encoding/json"
	"fmt"
	"strconv"
	"strings"
	"time"
)

// samples are small payloads in each provider's shape. ID, TYPE, SECONDS and
// MILLIS are replaced.
var samples = map[string]string{
	"stripe":            `{"id":"ID","object":"event","type":"TYPE","created":SECONDS,"data":{"object":{"id":"in_1","object":"invoice"}}}`,
	"github":            `{"zen":"Keep it logically awesome.","action":"opened","repository":{"full_name":"octo/hello"}}`,
	"gitlab":            `{"object_kind":"push","ref":"refs/heads/main","project":{"path_with_namespace":"octo/hello"}}`,
	"standard-webhooks": `{"type":"TYPE","timestamp":"TIME","data":{"id":"user_1"}}`,
	"openai":            `{"id":"ID","object":"event","type":"TYPE","created_at":SECONDS,"data":{"id":"resp_1"}}`,
	"slack":             `{"type":"event_callback","event_id":"ID","event_time":SECONDS,"event":{"type":"TYPE","user":"U1"}}`,
	"shopify":           `{"id":1,"email":"jon@example.com","total_price":"10.00"}`,
	"paddle":            `{"event_id":"ID","event_type":"TYPE","occurred_at":"TIME","data":{"id":"txn_1"}}`,
	"linear":            `{"action":"create","type":"Issue","webhookTimestamp":MILLIS,"data":{"id":"issue_1"}}`,
	"discord":           `{"version":1,"application_id":"1","type":1,"event":{"type":"TYPE","timestamp":"TIME","data":{"id":"ID"}}}`,
	"telegram":          `{"update_id":NUMBER,"message":{"message_id":1,"text":"hello"}}`,
	"gitea":             `{"ref":"refs/heads/main","repository":{"full_name":"octo/hello"}}`,
	"forgejo":           `{"ref":"refs/heads/main","repository":{"full_name":"octo/hello"}}`,
}

// kinds are event types that each provider really has; elsewhere it is "test".
var kinds = map[string]string{
	"stripe": "invoice.paid", "github": "issues", "gitlab": "Push Hook", "openai": "response.completed", "slack": "app_mention",
	"shopify": "orders/create", "paddle": "transaction.completed", "discord": "APPLICATION_AUTHORIZED", "gitea": "push", "forgejo": "push",
}

func sample(provider string) string {
	if s, ok := samples[provider]; ok {
		return s
	}
	return `{"id":"ID","type":"TYPE","created":SECONDS}`
}

// fill puts the values of this sending into a payload.
func fill(payload, id, kind string, at time.Time) (string, error) {
	var number uint64
	for _, c := range []byte(id) {
		number = number*31 + uint64(c)
	}
	quotedID, err := json.Marshal(id)
	if err != nil {
		return "", fmt.Errorf("quoting the ID: %w", err)
	}
	quotedKind, err := json.Marshal(kind)
	if err != nil {
		return "", fmt.Errorf("quoting the type: %w", err)
	}
	return strings.NewReplacer(
		`"ID"`, string(quotedID), `"TYPE"`, string(quotedKind), `"TIME"`, strconv.Quote(at.UTC().Format(time.RFC3339)),
		"SECONDS", strconv.FormatInt(at.Unix(), 10), "MILLIS", strconv.FormatInt(at.UnixMilli(), 10),
		"NUMBER", strconv.FormatUint(number%1e9, 10),
	).Replace(payload), nil
}
