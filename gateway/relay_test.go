package gateway

import (
	"bytes"
	"log/slog"
	"strings"
	"testing"
)

func TestALoggerThatOutlivesAConfigurationWritesToThePresentOne(t *testing.T) {
	t.Parallel()
	var first, second bytes.Buffer
	r := newRelay()
	l := slog.New(r).With("store", "x").WithGroup("g").With("a", 1)
	l.Info("to nobody")
	r.to(slog.New(slog.NewTextHandler(&first, nil)).With("config", 1))
	l.Info("one", "b", 2)
	r.to(slog.New(slog.NewTextHandler(&second, nil)))
	l.Info("two")
	l.Debug("below the level")
	if got := first.String(); strings.Count(got, "\n") != 1 || !strings.Contains(got, "msg=one config=1 store=x g.a=1 g.b=2") {
		t.Errorf("the first has %q", got)
	}
	if got := second.String(); strings.Count(got, "\n") != 1 || !strings.Contains(got, "msg=two store=x g.a=1") {
		t.Errorf("the second has %q", got)
	}
}
