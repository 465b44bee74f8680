package e2e

import (
	"bufio"
	"fmt"
	"net"
	"net/http"
	"testing"
	"time"

	"github.com/caddy-webhooks/caddy-webhooks/internal/testkit"
)

// It takes the thirty seconds that a body may take.
func TestABodyThatDoesNotComeInTimeIsAnswered408AndNotStored(t *testing.T) {
	t.Parallel()
	app := testkit.NewApp(t)
	g := testkit.New(t).Start(simple(app))
	c, err := net.Dial("tcp", g.Addr)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = c.Close() }()
	if err := c.SetDeadline(time.Now().Add(time.Minute)); err != nil {
		t.Fatal(err)
	}
	began := time.Now()
	_, err = fmt.Fprintf(c, "POST /hook HTTP/1.1\r\nHost: %s\r\nX-GitHub-Delivery: slow\r\nX-Hub-Signature-256: %s\r\nContent-Length: 100\r\n\r\n{\"half\":", g.Addr, signature("{}"))
	if err != nil {
		t.Fatal(err)
	}
	resp, err := http.ReadResponse(bufio.NewReader(c), nil)
	if err != nil {
		t.Fatalf("after %v: %v", time.Since(began), err)
	}
	defer func() { _ = resp.Body.Close() }()
	if resp.StatusCode != http.StatusRequestTimeout || resp.Header.Get("Webhook-Status") != "rejected" {
		t.Errorf("%d %v, want 408 and rejected", resp.StatusCode, resp.Header)
	}
	if took := time.Since(began); took < 29*time.Second {
		t.Errorf("the body had %v, want 30 seconds", took)
	}
	var v struct{ Events []any }
	if g.Get("/webhooks/events", &v); len(v.Events) > 0 {
		t.Errorf("%v was stored", v.Events)
	}
}
