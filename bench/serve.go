package main

import (
	"bufio"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"strconv"
	"strings"
	"sync/atomic"
	"syscall"
	"time"

	"github.com/caddyserver/caddy/v2"
	"github.com/caddyserver/caddy/v2/caddyconfig"
	_ "github.com/caddyserver/caddy/v2/modules/standard"

	_ "github.com/caddy-webhooks/caddy-webhooks"
)

// serve is the child process: a Caddy with the given Caddyfile. It ends when
// its standard input does, so that it cannot outlive its parent.
func serve(args []string) error {
	if len(args) != 1 {
		return errors.New("serve takes a Caddyfile")
	}
	text, err := os.ReadFile(args[0])
	if err != nil {
		return fmt.Errorf("reading the Caddyfile: %w", err)
	}
	config, _, err := caddyconfig.GetAdapter("caddyfile").Adapt(text, map[string]any{"filename": args[0]})
	if err != nil {
		return fmt.Errorf("adapting the Caddyfile: %w", err)
	}
	if err := caddy.Load(config, true); err != nil {
		return fmt.Errorf("loading the configuration: %w", err)
	}
	_, _ = fmt.Fprintln(os.Stdout, "ready")
	ended := make(chan os.Signal, 1)
	signal.Notify(ended, syscall.SIGTERM)
	go func() {
		_, _ = io.Copy(io.Discard, os.Stdin)
		ended <- syscall.SIGTERM
	}()
	<-ended
	return caddy.Stop()
}

// child is a running Caddy.
type child struct {
	cmd   *exec.Cmd
	stdin io.Closer
	admin string
	addrs map[string]string
	began time.Duration // from exec to ready
}

// site is what a child serves at one address.
type site struct{ name, block string }

// start runs a Caddy with one listener for each site.
func start(dir, global string, sites ...site) (*child, error) {
	c := &child{admin: freeAddr(), addrs: map[string]string{}}
	var file strings.Builder
	fmt.Fprintf(&file, "{\n\tadmin %s\n\tpersist_config off\n\tlog {\n\t\tlevel ERROR\n\t}\n%s\n}\n", c.admin, global)
	for _, s := range sites {
		c.addrs[s.name] = freeAddr()
		fmt.Fprintf(&file, "http://%s {\n%s\n}\n", c.addrs[s.name], s.block)
	}
	path := filepath.Join(dir, "Caddyfile")
	if err := os.WriteFile(path, []byte(file.String()), 0o600); err != nil {
		return nil, fmt.Errorf("writing the Caddyfile: %w", err)
	}
	self, err := os.Executable()
	if err != nil {
		return nil, fmt.Errorf("finding this program: %w", err)
	}
	c.cmd = exec.Command(self, "serve", path)
	c.cmd.Env = append(os.Environ(), "XDG_DATA_HOME="+dir, "XDG_CONFIG_HOME="+dir, "BENCH_SECRET="+secret)
	c.cmd.Stderr = os.Stderr
	out, err := c.cmd.StdoutPipe()
	if err != nil {
		return nil, fmt.Errorf("starting Caddy: %w", err)
	}
	if c.stdin, err = c.cmd.StdinPipe(); err != nil {
		return nil, fmt.Errorf("starting Caddy: %w", err)
	}
	began := time.Now()
	if err := c.cmd.Start(); err != nil {
		return nil, fmt.Errorf("starting Caddy: %w", err)
	}
	if line, err := bufio.NewReader(out).ReadString('\n'); err != nil || line != "ready\n" {
		return nil, errors.Join(errors.New("caddy did not start"), c.cmd.Wait())
	}
	c.began = time.Since(began)
	return c, nil
}

// end stops the child in order.
func (c *child) end() error {
	_ = c.stdin.Close()
	if err := c.cmd.Wait(); err != nil {
		return fmt.Errorf("stopping Caddy: %w", err)
	}
	return nil
}

// rss is the child's resident memory in MiB: what is its own, and the whole
// with what is mapped from files.
func (c *child) rss() (anon, all float64) {
	b, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", c.cmd.Process.Pid))
	if err != nil {
		return 0, 0
	}
	for line := range strings.Lines(string(b)) {
		name, value, _ := strings.Cut(line, ":")
		kib, err := strconv.ParseFloat(strings.Trim(value, " \tkB\n"), 64)
		if err != nil {
			continue
		}
		switch name {
		case "RssAnon":
			anon = kib / 1024
		case "VmRSS":
			all = kib / 1024
		}
	}
	return anon, all
}

// pending asks the gateway what waits.
func (c *child) pending() (int, error) {
	resp, err := http.Get("http://" + c.admin + "/webhooks/sources")
	if err != nil {
		return 0, fmt.Errorf("asking the gateway: %w", err)
	}
	defer func() { _ = resp.Body.Close() }()
	var v struct {
		Sources []struct {
			Destinations []struct {
				Pending int `json:"pending"`
			} `json:"destinations"`
		} `json:"sources"`
	}
	if err := json.NewDecoder(resp.Body).Decode(&v); err != nil {
		return 0, fmt.Errorf("asking the gateway: %w", err)
	}
	n := 0
	for _, s := range v.Sources {
		for _, d := range s.Destinations {
			n += d.Pending
		}
	}
	return n, nil
}

// freeAddr gives a loopback address that nobody listens on just now.
func freeAddr() string {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return "127.0.0.1:0"
	}
	defer func() { _ = l.Close() }()
	return l.Addr().String()
}

// backend is the trivial application, in the parent's process. While it hangs,
// it answers nobody.
type backend struct {
	addr string
	got  atomic.Int64
	gate atomic.Pointer[chan struct{}]
	srv  *http.Server
}

func newBackend() (*backend, error) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return nil, fmt.Errorf("starting the backend: %w", err)
	}
	b := &backend{addr: l.Addr().String()}
	b.srv = &http.Server{ReadHeaderTimeout: time.Minute, Handler: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		_, _ = io.Copy(io.Discard, r.Body)
		if gate := b.gate.Load(); gate != nil {
			select {
			case <-*gate:
			case <-r.Context().Done():
			}
			http.Error(w, "try again", http.StatusServiceUnavailable)
			return
		}
		b.got.Add(1)
	})}
	go func() { _ = b.srv.Serve(l) }()
	return b, nil
}

// hang makes the backend answer nobody until release is called; whoever
// waits then gets 503.
func (b *backend) hang() (release func()) {
	gate := make(chan struct{})
	b.gate.Store(&gate)
	return func() {
		b.gate.Store(nil)
		close(gate)
	}
}
