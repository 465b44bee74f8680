package gateway

import (
	"fmt"
	"time"
)

// Held says in words what keeps new events of the source from being attempted at
// once; empty if nothing does any more.
func (s *Source) Held() string {
	l := s.gateway.live.Load()
	if l == nil {
		return "the store is closed"
	}
	for _, d := range l.store.Stats().Destinations {
		if d.Paused && d.Destination == s.names[0] {
			return "an operator has paused the destination"
		}
	}
	for _, d := range l.dispatcher.Stats() {
		switch {
		case d.Destination != s.names[0]:
		case d.Down:
			return "the destination is down: " + d.Why
		case time.Now().Before(d.HeldUntil):
			return "the application asked to be left alone until " + d.HeldUntil.UTC().Format(time.RFC3339)
		case d.Running >= d.Limit:
			return fmt.Sprintf("attempts are under way (%d), and no more may be just now", d.Running)
		case d.Fresh > 0:
			return fmt.Sprintf("events wait that came before it (%d)", d.Fresh)
		}
	}
	return ""
}
