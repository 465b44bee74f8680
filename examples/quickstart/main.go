// Command quickstart runs the gateway and a small application behind it, in
// one process and with nothing else installed. Send it a webhook from another
// terminal:
//
//	go run ./cmd/caddy webhooks send github http://localhost:8080/github --secret quickstart
//
// Press Enter to take the application down, and again to bring it back.
package main

import (
	"bufio"
	_ "embed"
	"flag"
	"fmt"
	"io"
	"log"
	"net"
	"net/http"
	"os"
	"os/signal"
	"path/filepath"
	"sync"
	"syscall"
	"time"

	"github.com/caddyserver/caddy/v2"
	"github.com/caddyserver/caddy/v2/caddyconfig"
	_ "github.com/caddyserver/caddy/v2/modules/standard"

	_ "github.com/caddy-webhooks/caddy-webhooks"
)

//go:embed Caddyfile
var caddyfile []byte

func main() {
	data := flag.String("data", filepath.Join(os.TempDir(), "webhooks-quickstart"), "directory for stored events")
	flag.Parse()
	if err := run(*data); err != nil {
		log.Fatal(err)
	}
}

func run(data string) error {
	app := &application{addr: "localhost:3000", out: os.Stdout}
	if err := app.up(); err != nil {
		return err
	}
	defer app.down()
	if err := startGateway(data); err != nil {
		return err
	}
	_, _ = fmt.Fprintln(os.Stdout, "gateway on http://localhost:8080/github, application on http://localhost:3000, events in", data)
	_, _ = fmt.Fprintln(os.Stdout, "press Enter to take the application down and up, Ctrl+C to end")
	go app.toggle(os.Stdin)
	stop := make(chan os.Signal, 1)
	signal.Notify(stop, os.Interrupt, syscall.SIGTERM)
	<-stop
	return caddy.Stop()
}

func startGateway(data string) error {
	for name, value := range map[string]string{"QUICKSTART_SECRET": "quickstart", "QUICKSTART_DATA": data} {
		if err := os.Setenv(name, value); err != nil {
			return fmt.Errorf("setting %s: %w", name, err)
		}
	}
	config, _, err := caddyconfig.GetAdapter("caddyfile").Adapt(caddyfile, map[string]any{"filename": "Caddyfile"})
	if err != nil {
		return fmt.Errorf("adapting the Caddyfile: %w", err)
	}
	if err := caddy.Load(config, true); err != nil {
		return fmt.Errorf("starting the gateway: %w", err)
	}
	return nil
}

// application is the backend: it prints what it gets.
type application struct {
	addr string
	out  io.Writer

	mu     sync.Mutex
	server *http.Server
}

func (a *application) up() error {
	a.mu.Lock()
	defer a.mu.Unlock()
	listener, err := net.Listen("tcp", a.addr)
	if err != nil {
		return fmt.Errorf("starting the application: %w", err)
	}
	a.server = &http.Server{Handler: http.HandlerFunc(a.receive), ReadHeaderTimeout: 5 * time.Second}
	go func(s *http.Server) { _ = s.Serve(listener) }(a.server)
	return nil
}

func (a *application) down() {
	a.mu.Lock()
	defer a.mu.Unlock()
	if a.server != nil {
		_ = a.server.Close()
		a.server = nil
	}
}

func (a *application) receive(w http.ResponseWriter, r *http.Request) {
	body, err := io.ReadAll(r.Body)
	if err != nil {
		http.Error(w, err.Error(), http.StatusBadRequest)
		return
	}
	_, _ = fmt.Fprintf(a.out, "application: %s %s, event %s, attempt %s, %d bytes\n",
		r.Method, r.URL, r.Header.Get("Webhook-Event-Id"), r.Header.Get("Webhook-Attempt"), len(body))
}

// toggle takes the application down and up at each line.
func (a *application) toggle(in io.Reader) {
	running := true
	for lines := bufio.NewScanner(in); lines.Scan(); running = !running {
		if running {
			a.down()
			_, _ = fmt.Fprintln(a.out, "application: down; events are kept")
			continue
		}
		if err := a.up(); err != nil {
			_, _ = fmt.Fprintln(a.out, err)
			continue
		}
		_, _ = fmt.Fprintln(a.out, "application: up again")
	}
}
