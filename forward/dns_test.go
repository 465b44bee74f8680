package forward_test

import (
	"crypto/tls"
	"fmt"
	"net"
	"net/http/httptest"
	"strings"
	"sync/atomic"
	"testing"

	"golang.org/x/net/dns/dnsmessage"

	"github.com/caddy-webhooks/caddy-webhooks/event"
)

// zone is the one name that a nameserver of a test knows.
const zone = "backend.test"

// nameserver answers for zone: 127.0.0.1 while there is true, and no such name
// otherwise.
type nameserver struct {
	addr  string
	there atomic.Bool
}

func newNameserver(t *testing.T) *nameserver {
	t.Helper()
	c, err := net.ListenPacket("udp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	n := &nameserver{addr: c.LocalAddr().String()}
	done := make(chan struct{})
	go func() {
		defer close(done)
		buffer := make([]byte, 1500)
		for {
			size, from, err := c.ReadFrom(buffer)
			if err != nil {
				return
			}
			var m dnsmessage.Message
			if m.Unpack(buffer[:size]) == nil && len(m.Questions) == 1 {
				n.answer(&m)
				if packed, err := m.Pack(); err == nil {
					_, _ = c.WriteTo(packed, from)
				}
			}
		}
	}()
	t.Cleanup(func() {
		_ = c.Close()
		<-done
	})
	return n
}

func (n *nameserver) answer(m *dnsmessage.Message) {
	q := m.Questions[0]
	m.Response, m.Authoritative, m.Additionals = true, true, nil
	if !n.there.Load() || !strings.EqualFold(q.Name.String(), zone+".") {
		m.RCode = dnsmessage.RCodeNameError
		return
	}
	if q.Type == dnsmessage.TypeA {
		m.Answers = []dnsmessage.Resource{{
			Header: dnsmessage.ResourceHeader{Name: q.Name, Class: q.Class, TTL: 1},
			Body:   &dnsmessage.AResource{A: [4]byte{127, 0, 0, 1}},
		}}
	}
}

// comesAndGoes makes attempts while the name is there, gone, and there again.
func comesAndGoes(t *testing.T, handlers string, n *nameserver, seen witness) (gone event.Outcome) {
	t.Helper()
	c := chain(t, handlers)
	for number, there := range []bool{false, true, false, true, true} {
		n.there.Store(there)
		e := strange()
		out := c.Forward(t.Context(), try(e, number+1, false))
		if !there {
			if out.Verdict != event.Again || out.Status != 0 || !out.Unreached || len(seen) != 0 {
				t.Fatalf("attempt %d, without the name: %+v", number+1, out)
			}
			gone = out
			continue
		}
		if out.Verdict != event.Done {
			t.Fatalf("attempt %d: %+v", number+1, out)
		}
		unchanged(t, e, seen.only(t))
	}
	return gone
}

func portOf(t *testing.T, addr string) string {
	t.Helper()
	_, port, err := net.SplitHostPort(addr)
	if err != nil {
		t.Fatal(err)
	}
	return port
}

func TestAnUpstreamThatDNSForgetsIsUnreachedUntilItIsBack(t *testing.T) {
	t.Parallel()
	t.Run("dynamic a", func(t *testing.T) {
		t.Parallel()
		n, seen := newNameserver(t), newWitness()
		h := fmt.Sprintf(`{"handler":"reverse_proxy","transport":{"protocol":"http","compression":false,"keep_alive":{"enabled":false}},`+
			`"dynamic_upstreams":{"source":"a","name":%q,"port":%q,"refresh":1,"resolver":{"addresses":[%q]},"versions":{"ipv4":true}}}`,
			zone, portOf(t, start(t, seen, nil, nil).Listener.Addr().String()), "udp/"+n.addr)
		if out := comesAndGoes(t, h, n, seen); !out.NoUpstream {
			t.Errorf("without the name: %+v", out)
		}
	})
	t.Run("a name as the upstream", func(t *testing.T) {
		t.Parallel()
		n, seen := newNameserver(t), newWitness()
		transport := fmt.Sprintf(`,"keep_alive":{"enabled":false},"resolver":{"addresses":[%q]}`, "udp/"+n.addr)
		h := proxyTo(transport, "", zone+":"+portOf(t, start(t, seen, nil, nil).Listener.Addr().String()))
		if out := comesAndGoes(t, h, n, seen); out.NoUpstream || !strings.Contains(out.Error, "no such host") {
			t.Errorf("without the name: %+v", out)
		}
	})
}

func TestWhatAnUpstreamOverTLSIsCalled(t *testing.T) {
	t.Parallel()
	ca, leaf := authority(t)
	n, seen := newNameserver(t), newWitness()
	n.there.Store(true)
	s := start(t, seen, nil, func(s *httptest.Server) {
		s.TLS = &tls.Config{Certificates: []tls.Certificate{leaf}, MinVersion: tls.VersionTLS12}
	})
	port, e := portOf(t, s.Listener.Addr().String()), strange()
	for name, c := range map[string]struct{ dial, tls, further, host, sni string }{
		"as it is":        {zone + ":" + port, "", "", zone + ":" + port, zone},
		"an address":      {"127.0.0.1:" + port, "", "", "127.0.0.1:" + port, ""},
		"host kept":       {zone + ":" + port, "", keepHost, e.Host, zone},
		"tls_server_name": {"127.0.0.1:" + port, `,"server_name":"` + zone + `"`, "", "127.0.0.1:" + port, zone},
		"both":            {"127.0.0.1:" + port, `,"server_name":"` + zone + `"`, keepHost, e.Host, zone},
	} {
		transport := fmt.Sprintf(`,"resolver":{"addresses":[%q]},"tls":{"ca":{"provider":"inline","trusted_ca_certs":[%q]}%s}`, "udp/"+n.addr, ca, c.tls)
		if out := chain(t, proxyTo(transport, c.further, c.dial)).Forward(t.Context(), try(e, 1, false)); out.Verdict != event.Done {
			t.Fatalf("%s: %+v", name, out)
		}
		r := seen.only(t).request
		if r.Host != c.host || r.TLS.ServerName != c.sni || r.Header.Get("X-Forwarded-Host") != e.Host {
			t.Errorf("%s: host %q, SNI %q, forwarded for %q; want %q, %q, %q", name,
				r.Host, r.TLS.ServerName, r.Header.Get("X-Forwarded-Host"), c.host, c.sni, e.Host)
		}
	}
}
