// Command write renews docs/providers from the records. Run it from the root of
// the module: go run ./internal/providerdocs/write
package main

import (
	"fmt"
	"os"

	"github.com/caddy-webhooks/caddy-webhooks/internal/providerdocs"
)

func main() {
	if err := providerdocs.Write("."); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}
