package main

import (
	"bufio"
	"bytes"
	"crypto/hmac"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"net"
	"slices"
	"strconv"
	"sync"
	"sync/atomic"
	"time"
)

const secret = "bench-secret"

// ids are unique over the whole run.
var ids atomic.Uint64

// payload is 1 KiB.
var payload = append([]byte(`{"action":"opened","padding":"`), append(bytes.Repeat([]byte("x"), 1024-32), '"', '}')...)

// load is what one measurement found.
type load struct {
	rate     float64
	p50, p99 time.Duration
	all      []time.Duration
	elapsed  time.Duration
}

// hammer sends events over conns connections, each as fast as the answers
// come, for span or until limit have been sent.
func hammer(addr string, conns int, span time.Duration, limit int64) (load, error) {
	return hammerWith(good, addr, conns, span, limit)
}

// kind is what is sent, and how it has to be answered.
type kind struct {
	secret string
	status byte // first digit
}

var (
	good = kind{secret, '2'}
	bad  = kind{"wrong-secret", '4'}
)

func hammerWith(k kind, addr string, conns int, span time.Duration, limit int64) (load, error) {
	var left atomic.Int64
	left.Store(limit)
	stop := time.Now().Add(span)
	took := make([][]time.Duration, conns)
	errs := make([]error, conns)
	var wg sync.WaitGroup
	began := time.Now()
	for i := range conns {
		wg.Go(func() {
			took[i], errs[i] = drive(k, addr, func() bool {
				return (limit == 0 || left.Add(-1) >= 0) && time.Now().Before(stop)
			})
		})
	}
	wg.Wait()
	elapsed := time.Since(began)
	all := slices.Concat(took...)
	if err := errors.Join(errs...); err != nil {
		return load{}, err
	}
	if len(all) == 0 {
		return load{}, errors.New("nothing was sent")
	}
	return load{all: all, elapsed: elapsed}.sum(), nil
}

// and adds a second measurement of the same.
func (l load) and(more load) load {
	return load{all: append(l.all, more.all...), elapsed: l.elapsed + more.elapsed}.sum()
}

func (l load) sum() load {
	slices.Sort(l.all)
	l.rate = float64(len(l.all)) / l.elapsed.Seconds()
	l.p50, l.p99 = l.all[len(l.all)/2], l.all[len(l.all)*99/100]
	return l
}

// drive is one connection.
func drive(k kind, addr string, more func() bool) ([]time.Duration, error) {
	c, err := net.Dial("tcp", addr)
	if err != nil {
		return nil, err
	}
	defer func() { _ = c.Close() }()
	r := bufio.NewReader(c)
	mac := hmac.New(sha256.New, []byte(k.secret))
	var took []time.Duration
	var request []byte
	for more() {
		request = appendRequest(request[:0], addr, mac)
		began := time.Now()
		if _, err := c.Write(request); err != nil {
			return took, err
		}
		if err := readAnswer(r, k.status); err != nil {
			return took, err
		}
		took = append(took, time.Since(began))
	}
	return took, nil
}

type hasher interface {
	io.Writer
	Reset()
	Sum([]byte) []byte
}

func appendRequest(b []byte, host string, mac hasher) []byte {
	id := ids.Add(1)
	mac.Reset()
	_, _ = mac.Write(payload)
	b = append(b, "POST /hook HTTP/1.1\r\nHost: "...)
	b = append(b, host...)
	b = append(b, "\r\nUser-Agent: GitHub-Hookshot/bench\r\nContent-Type: application/json\r\nX-GitHub-Event: push\r\nX-GitHub-Delivery: "...)
	b = fmt.Appendf(b, "%08x-bench-%d", id, benchRun)
	b = append(b, "\r\nX-Hub-Signature-256: sha256="...)
	b = hex.AppendEncode(b, mac.Sum(nil))
	b = append(b, "\r\nContent-Length: "...)
	b = strconv.AppendInt(b, int64(len(payload)), 10)
	b = append(b, "\r\n\r\n"...)
	return append(b, payload...)
}

// benchRun keeps the IDs of two runs over one directory apart.
var benchRun = time.Now().UnixNano()

// readAnswer reads one answer, and insists on its status.
func readAnswer(r *bufio.Reader, want byte) error {
	status, err := r.ReadSlice('\n')
	if err != nil {
		return err
	}
	if len(status) < 12 || status[9] != want {
		return fmt.Errorf("answered %q", bytes.TrimSpace(status))
	}
	length := 0
	for {
		line, err := r.ReadSlice('\n')
		if err != nil {
			return err
		}
		line = bytes.TrimRight(line, "\r\n")
		if len(line) == 0 {
			break
		}
		if v, ok := bytes.CutPrefix(line, []byte("Content-Length: ")); ok {
			if length, err = strconv.Atoi(string(v)); err != nil {
				return err
			}
		}
	}
	_, err = r.Discard(length)
	return err
}
