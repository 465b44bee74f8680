package local_test

import (
	"context"
	"fmt"
	"strings"
	"sync/atomic"
	"testing"

	"github.com/caddy-webhooks/caddy-webhooks/store/local"
)

// BenchmarkAccept64 is the rate at which 64 callers have events of 1 KiB with
// claims of their own made durable.
func BenchmarkAccept64(b *testing.B) {
	s, err := local.Open(local.Options{Dir: b.TempDir()})
	if err != nil {
		b.Fatal(err)
	}
	defer func() { _ = s.Close() }()
	body := strings.Repeat("x", 1024)
	var n atomic.Int64
	b.SetParallelism(32)
	b.ReportAllocs()
	b.ResetTimer()
	b.RunParallel(func(pb *testing.PB) {
		for pb.Next() {
			if _, err := s.Accept(context.Background(), admission(fmt.Sprint("id-", n.Add(1)), body)); err != nil {
				b.Error(err)
				return
			}
		}
	})
}
