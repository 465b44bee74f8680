package cli

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"net/url"
	"slices"
	"strings"
	"testing"
	"time"
)

// tailed are the connections that a stream makes, one after the other: what each
// gets, and then its end; "hang" leaves it open, and a number is a status.
type tailServer struct {
	*httptest.Server
	asked chan string
}

const hang = "hang"

func tailing(t *testing.T, answers ...string) *tailServer {
	t.Helper()
	s := &tailServer{asked: make(chan string, 1000)}
	n := 0
	s.Server = httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		answer := answers[min(n, len(answers)-1)]
		n++
		s.asked <- r.URL.RawQuery + " " + r.Header.Get("Last-Event-ID")
		if status, words, refused := strings.Cut(answer, "!"); refused {
			w.Header().Set("Content-Type", jsonType)
			w.WriteHeader(map[string]int{"409": 409, "502": 502, "503": 503, "400": 400}[status])
			_, _ = fmt.Fprintf(w, `{"error":%q}`, words)
			return
		}
		w.Header().Set("Content-Type", eventsType)
		text, stays := strings.CutSuffix(answer, hang)
		_, _ = io.WriteString(w, text)
		_ = http.NewResponseController(w).Flush()
		if stays {
			<-r.Context().Done()
		}
	}))
	t.Cleanup(s.Close)
	return s
}

// following runs a stream until so many events have come.
func following(t *testing.T, s *tailServer, q url.Values, last string, silence time.Duration, n int) (got []string, said string, err error) {
	t.Helper()
	c, _ := listening(t, s.Server)
	beside := &notes{}
	c.note = beside
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	follows := &stream{c: c, q: q, last: last, silence: silence, handle: func(_ context.Context, data []byte) error {
		if got = append(got, string(data)); len(got) == n {
			cancel()
		}
		return nil
	}}
	err = follows.follow(ctx)
	return got, beside.String(), err
}

func (s *tailServer) requests() (list []string) {
	for {
		select {
		case one := <-s.asked:
			list = append(list, one)
		default:
			return list
		}
	}
}

func TestAConnectionThatDiedWithoutAWordIsMadeAgain(t *testing.T) {
	t.Parallel()
	s := tailing(t, "id: 5\n\n"+hang, "id: 5\n\nid: 6\ndata: {\"n\":1}\n\n"+hang)
	got, said, err := following(t, s, url.Values{}, "", 50*time.Millisecond, 1)
	if err != nil || len(got) != 1 || !strings.Contains(said, "nothing came for 50ms") || !strings.Contains(said, "connected again; nothing was missed") {
		t.Errorf("%v %v %q", got, err, said)
	}
	if asked := s.requests(); asked[1] != " 5" {
		t.Errorf("it goes on at %q", asked)
	}
}

// The number of an empty store's newest event is 0, which is no cursor of a page.
func TestTheFirstEventOfAnEmptyStoreIsNotMissed(t *testing.T) {
	t.Parallel()
	s := tailing(t, "id: 0\n\n", "id: 0\n\nid: 1\ndata: {\"n\":1}\n\n"+hang)
	got, said, err := following(t, s, url.Values{}, "", 0, 1)
	if err != nil || len(got) != 1 || !strings.Contains(said, "nothing was missed") {
		t.Errorf("%v %v %q", got, err, said)
	}
	if asked := s.requests(); !slices.Equal(asked, []string{" ", " 0"}) {
		t.Errorf("asked %q", asked)
	}
}

func TestAnotherStoreIsNamedAndFollowedFromItsBeginning(t *testing.T) {
	t.Parallel()
	s := tailing(t, "id: zz\ndata: {\"n\":1}\n\n", "409!the cursor is beyond the newest event", "id: 0\n\nid: 1\ndata: {\"n\":2}\n\n"+hang)
	got, said, err := following(t, s, url.Values{"since": {"-10m"}}, "", 0, 2)
	if err != nil || len(got) != 2 {
		t.Fatalf("%v %v", got, err)
	}
	if strings.Contains(said, "nothing was missed") || !strings.Contains(said, "another store now") || !strings.Contains(said, "--cursor zz") ||
		!strings.Contains(said, "every event of the store that is there now follows") {
		t.Errorf("it says %q", said)
	}
	if asked := s.requests(); !slices.Equal(asked, []string{"since=-10m ", " zz", " 0"}) {
		t.Errorf("asked %q", asked)
	}
}

func TestACursorOfAnotherStoreIsAnError(t *testing.T) {
	t.Parallel()
	s := tailing(t, "409!the cursor is beyond the newest event")
	_, _, err := following(t, s, url.Values{}, "zz", 0, 1)
	if !errors.Is(err, errOtherStore) || !strings.Contains(err.Error(), "beyond the newest event") {
		t.Errorf("%v", err)
	}
	if asked := s.requests(); len(asked) != 1 {
		t.Errorf("it asks %d times", len(asked))
	}
}

// -10m means the time before the command began, whenever the connection is made.
func TestARelativeTimeStaysWhereItWas(t *testing.T) {
	t.Parallel()
	s := tailing(t, "id: 0\n\n", "id: 0\n\nid: 3\ndata: {\"n\":1}\n\n", "id: 3\n\nid: 4\ndata: {\"n\":1}\n\n"+hang)
	if _, _, err := following(t, s, url.Values{"since": {"-10m"}}, "", 0, 2); err != nil {
		t.Fatal(err)
	}
	asked := s.requests()
	q, err := url.ParseQuery(strings.Fields(asked[1])[0])
	if err != nil {
		t.Fatal(err)
	}
	if at, err := time.Parse(time.RFC3339, q.Get("since")); err != nil || time.Since(at) < 10*time.Minute {
		t.Errorf("the second asks for %q", asked[1])
	}
	if asked[0] != "since=-10m " || asked[2] != " 3" {
		t.Errorf("asked %q", asked)
	}
}

func TestAConnectionThatBringsNothingIsNoSuccess(t *testing.T) {
	t.Parallel()
	s := tailing(t, "id: 1\n\n", "", "", "", "", "id: 1\n\nid: 2\ndata: {}\n\n"+hang)
	_, said, err := following(t, s, url.Values{}, "", 0, 1)
	if err != nil || strings.Count(said, "connected again") != 1 || strings.Count(said, "has ended") != 1 {
		t.Errorf("%v %q", err, said)
	}
}

func TestAFirstConnectionThatBreaksIsMadeAgain(t *testing.T) {
	t.Parallel()
	s := tailing(t, "", "id: 1\n\nid: 2\ndata: {}\n\n"+hang)
	if got, _, err := following(t, s, url.Values{}, "", 0, 1); err != nil || len(got) != 1 {
		t.Errorf("%v %v", got, err)
	}
	s = tailing(t, "id: 1\n\n", "502!a proxy", "503!not yet", "id: 1\n\nid: 2\ndata: {}\n\n"+hang)
	if got, _, err := following(t, s, url.Values{}, "", 0, 1); err != nil || len(got) != 1 {
		t.Errorf("%v %v", got, err)
	}
	for _, answer := range []string{"400!no such parameter", "503!32 follow already"} {
		s := tailing(t, answer)
		if _, _, err := following(t, s, url.Values{}, "", 0, 1); err == nil || !strings.Contains(err.Error(), answer[4:]) {
			t.Errorf("%v, want %s", err, answer)
		}
	}
	s = tailing(t, "id: 1\ndata: <html>\n\n")
	if _, _, err := following(t, s, url.Values{}, "", 0, 1); err == nil || !strings.Contains(err.Error(), "this is no event: <html>") {
		t.Errorf("%v", err)
	}
}
