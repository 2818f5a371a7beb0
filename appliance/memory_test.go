package appliance

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"math/rand/v2"
	"net"
	"net/http"
	"net/netip"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"griddle/imagestore"
)

// streamMemory is what a server may take while strangers hold all the streams that they can, in bytes. Without bounds 250 slow
// readers of raw streams made it take 2.9 GB.
const streamMemory = 640 << 20

// memoryGroup makes a cgroup whose processes get no more than limit bytes of memory, swap included where the kernel counts it, and
// returns the directory of it. It works with either version (Documentation/admin-guide/cgroup-v1/memory.rst, cgroup-v2.rst).
func memoryGroup(t *testing.T, limit int64) string {
	t.Helper()
	own, err := os.ReadFile("/proc/self/cgroup")
	if err != nil {
		t.Fatal(err)
	}
	root, file, path := "/sys/fs/cgroup", "memory.max", ""
	for _, line := range strings.Split(strings.TrimSpace(string(own)), "\n") {
		f := strings.SplitN(line, ":", 3)
		switch {
		case len(f) == 3 && f[1] == "memory":
			root, file, path = "/sys/fs/cgroup/memory", "memory.limit_in_bytes", f[2]
		case len(f) == 3 && f[0] == "0" && path == "":
			path = f[2]
		}
	}
	if file == "memory.max" {
		path = "/" // only a group without processes may have groups with limits below it, and the root is one
		os.WriteFile(filepath.Join(root, "cgroup.subtree_control"), []byte("+memory"), 0)
	}
	dir := filepath.Join(root, path, fmt.Sprintf("griddle-test-%d", os.Getpid()))
	if err := os.Mkdir(dir, 0o755); err != nil {
		t.Fatalf("making a memory cgroup: %v (run this test as root, where cgroups can be made)", err)
	}
	t.Cleanup(func() {
		for range 100 { // until the last process is gone
			if err = os.Remove(dir); err == nil {
				return
			}
			time.Sleep(50 * time.Millisecond)
		}
		t.Error(err)
	})
	if err := os.WriteFile(filepath.Join(dir, file), []byte(strconv.FormatInt(limit, 10)), 0); err != nil {
		t.Fatal(err)
	}
	os.WriteFile(filepath.Join(dir, "memory.swap.max"), []byte("0"), 0)
	os.WriteFile(filepath.Join(dir, "memory.memsw.limit_in_bytes"), []byte(strconv.FormatInt(limit, 10)), 0)
	return dir
}

// inGroup runs a test of this binary in a process of its own in that group, with what the process prints on out.
func inGroup(t *testing.T, group, test string, env ...string) (*exec.Cmd, *bufio.Reader) {
	t.Helper()
	// The shell enters the group before the test begins.
	cmd := exec.Command("sh", "-c", `echo $$ >"$0/cgroup.procs" && exec "$@"`, group, os.Args[0], "-test.run=^"+test+"$", "-test.timeout=5m")
	cmd.Env = append(os.Environ(), env...)
	cmd.Stderr = os.Stderr
	cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	return cmd, bufio.NewReader(out)
}

// TestSlowStreamsAreBounded has 250 strangers at 20 addresses ask for raw streams and read nothing, of a server that a memory cgroup holds to
// streamMemory. It lives, refuses those for whom there is no room, and gives a machine with a job its stream meanwhile.
func TestSlowStreamsAreBounded(t *testing.T) {
	const env = "GRIDDLE_TEST_STREAMS"
	if os.Getenv(env) != "" {
		serveStreams(t)
		return
	}
	group := memoryGroup(t, streamMemory)
	cmd, out := inGroup(t, group, "TestSlowStreamsAreBounded", env+"=1")
	ended := make(chan error, 1)
	base, token := "", ""
	for base == "" {
		line, err := out.ReadString('\n')
		if err != nil {
			t.Fatalf("the server ended before it served: %v, %v", err, cmd.Wait())
		}
		fmt.Sscanf(line, "serving %s %s", &base, &token)
	}
	go func() { io.Copy(io.Discard, out); ended <- cmd.Wait() }()
	defer func() {
		cmd.Process.Kill()
		if err := <-ended; err == nil || !strings.Contains(err.Error(), "signal: killed") {
			t.Errorf("the server ended by itself: %v", err)
		}
	}()

	address := strings.TrimPrefix(base, "http://")
	taken, refused := 0, 0
	for i := range 250 {
		c, err := (&net.Dialer{LocalAddr: &net.TCPAddr{IP: net.IPv4(127, 0, 1, byte(i%20+1))}}).Dial("tcp", address)
		if err != nil {
			t.Fatal(err)
		}
		defer c.Close()
		c.(*net.TCPConn).SetReadBuffer(4 << 10)
		fmt.Fprintf(c, "GET %s/stream?ref=web&format=raw HTTP/1.1\r\nHost: a\r\n\r\n", imagestore.ImagesPath)
		line, err := bufio.NewReaderSize(c, 64).ReadString('\n')
		switch {
		case err != nil:
			t.Fatalf("stranger %d: %v", i, err)
		case strings.Contains(line, "200"):
			taken++
		case strings.Contains(line, "503"):
			refused++
		default:
			t.Errorf("stranger %d got %q", i, line)
		}
	}
	if taken < 3 || refused < 100 {
		t.Errorf("%d strangers have a stream and %d were refused, want some to be served and most refused", taken, refused)
	}
	// The machine says who it is over TLS; here its token does so once, and its address is known from then on.
	known := &http.Client{Transport: &http.Transport{DialContext: (&net.Dialer{LocalAddr: &net.TCPAddr{IP: net.IPv4(127, 0, 2, 1)}}).DialContext}}
	req, err := http.NewRequest(http.MethodPost, base+"/test/known", strings.NewReader(token))
	if err != nil {
		t.Fatal(err)
	}
	resp, err := known.Do(req)
	if err != nil || resp.StatusCode != http.StatusOK {
		t.Fatalf("making the machine known: %v, %v", resp, err)
	}
	resp.Body.Close()
	resp, err = known.Get(base + imagestore.ImagesPath + "/stream?ref=web&format=raw")
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	n, err := io.Copy(io.Discard, resp.Body)
	if resp.StatusCode != http.StatusOK || err != nil || n != rawStream {
		t.Errorf("a machine with a job got %d bytes, status %d, %v, want %d", n, resp.StatusCode, err, rawStream)
	}
	t.Logf("figure: %d of 250 strangers have a stream, and the most memory was %s", taken, peakOf(group))
}

// peakOf is what the group's processes took at the most.
func peakOf(group string) string {
	for _, name := range []string{"memory.peak", "memory.max_usage_in_bytes"} {
		if b, err := os.ReadFile(filepath.Join(group, name)); err == nil {
			n, _ := strconv.ParseInt(strings.TrimSpace(string(b)), 10, 64)
			return fmt.Sprintf("%d MB", n>>20)
		}
	}
	return "not told by this kernel"
}

const rawStream = 40 << 20 // bytes; random, so that frames are as long as what they hold

// serveStreams is the other process: the plain listener as Serve makes it.
func serveStreams(t *testing.T) {
	st, err := openState(filepath.Join(t.TempDir(), "state"))
	if err != nil {
		t.Fatal(err)
	}
	store, err := imagestore.Open(filepath.Join(st.dir, "store"))
	if err != nil {
		t.Fatal(err)
	}
	key, err := imagestore.GenerateKey()
	if err != nil {
		t.Fatal(err)
	}
	if err := store.TrustKey(t.Context(), key.Public()); err != nil {
		t.Fatal(err)
	}
	raw := make([]byte, rawStream)
	rand.NewChaCha8([32]byte{1}).Read(raw)
	publishRaw(t, store, key, "web:1@amd64", raw)
	raw = nil
	conf := DefaultConfig()
	conf.HTTP = 0
	s := &server{config: conf, log: slog.New(slog.DiscardHandler), now: time.Now, state: st, store: store, addr: netip.MustParseAddr("127.0.0.1"), limits: newLimits()}
	s.callers = s.newCallers()
	s.callers.job = func(_ context.Context, token string) error {
		if token != "machine" {
			return errors.New("no job")
		}
		return nil
	}
	l, err := s.listen(t.Context(), 0, "a test", "http")
	if err != nil {
		t.Fatal(err)
	}
	mux := http.NewServeMux()
	mux.Handle("/", s.images(nil))
	mux.HandleFunc("POST /test/known", func(w http.ResponseWriter, r *http.Request) {
		b, _ := io.ReadAll(io.LimitReader(r.Body, 100))
		if _, err := s.callers.boot(r, string(b)); err != nil {
			http.Error(w, err.Error(), http.StatusForbidden)
		}
	})
	fmt.Printf("serving http://%s machine\n", l.Addr())
	t.Error(newHTTPServer(s.limits.inTurn(s.callers.acquainted, mux), s.log).Serve(l))
}
