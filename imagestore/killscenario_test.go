package imagestore_test

import (
	"bufio"
	"fmt"
	"io"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"griddle/imagestore"
	"griddle/imagestore/durable"
	"griddle/imagestore/minisign"
)

// The test program runs itself with these set, as a process that does what a scenario does, and is killed.
const (
	killScenario = "GRIDDLE_TEST_KILL_SCENARIO"
	killRoot     = "GRIDDLE_TEST_KILL_ROOT"
	killKey      = "GRIDDLE_TEST_KEY"
)

// TestKilled kills processes that publish a directory, pull, expire with a stream to derive first, and recompress with
// dictionaries: at a random file operation, and at a random moment, which may also be in what is no operation of the
// store's: the copy of the source, the reception of a tree, a program. After each: see crash.check.
func TestKilled(t *testing.T) {
	if name := os.Getenv(killScenario); name != "" {
		all := scenarios()
		beKilled(t, all[slices.IndexFunc(all, func(s scenario) bool { return s.name == name })])
		return
	}
	for _, s := range scenarios() {
		if !slices.Contains([]string{"source", "pull", "expire", "dictionary"}, s.name) {
			continue
		}
		t.Run(s.name, func(t *testing.T) {
			t.Parallel()
			c := newCrash(t, s)
			key := filepath.Join(c.dir, "key")
			c.must(os.WriteFile(key, c.key.File(), 0o600))
			root := c.copied()
			span, died := c.kill(root, key, -1, -1)
			if died {
				t.Fatal("it died without being killed")
			}
			os.RemoveAll(root)
			seed := rand.Uint64()
			r := rand.New(rand.NewPCG(seed, 0))
			deaths := 0
			for round := range killRounds {
				what := fmt.Sprintf("kill %d of seed %d", round, seed)
				at, after := -1, time.Duration(-1)
				if round%2 == 0 {
					at = r.IntN(len(c.trace))
					what += fmt.Sprintf(" at file operation %d of %d", at, len(c.trace))
				} else {
					after = time.Duration(r.Int64N(int64(span)))
					what += fmt.Sprintf(" after %v of %v", after, span)
				}
				root := c.copied()
				_, died := c.kill(root, key, at, after)
				if died {
					deaths++
				}
				c.check(what, root, !died)
			}
			if deaths < killRounds/2 {
				t.Errorf("of %d processes %d were killed before they were done: "+
					"the kills come too late to show anything", killRounds, deaths)
			}
			t.Logf("figure: %d processes, %d killed under way, seed %d", killRounds, deaths, seed)
		})
	}
}

// kill runs a process that does c's scenario, kills it at a file operation or after a time unless they are negative,
// and gives how long it took and whether it died.
func (c *crash) kill(root, key string, at int, after time.Duration) (time.Duration, bool) {
	c.Helper()
	cmd := exec.Command(os.Args[0], "-test.run=^TestKilled$", "-test.v")
	cmd.Env = append(os.Environ(), killScenario+"="+c.name, killRoot+"="+root, killKey+"="+key,
		killAt+"="+strconv.Itoa(at))
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	stdout, err := cmd.StdoutPipe()
	c.must(err)
	cmd.Stderr = cmd.Stdout
	c.must(cmd.Start())
	out := bufio.NewReader(stdout)
	var said strings.Builder
	for line := ""; line != "begin\n"; {
		line, err = out.ReadString('\n')
		said.WriteString(line)
		if err != nil {
			c.Fatalf("%v\n%s", err, said.String())
		}
	}
	start := time.Now()
	if after >= 0 {
		time.Sleep(after) // the moment of the kill, not a wait for something
		cmd.Process.Kill()
	}
	rest, err := io.ReadAll(out)
	c.must(err)
	span := time.Since(start)
	err = cmd.Wait()
	// A program that it ran may outlive it.
	syscall.Kill(-cmd.Process.Pid, syscall.SIGKILL)
	done := strings.Contains(string(rest), "done\n")
	if status, ok := cmd.ProcessState.Sys().(syscall.WaitStatus); err != nil &&
		!(ok && status.Signal() == syscall.SIGKILL) {
		c.Fatalf("the process failed: %v\n%s%s", err, said.String(), rest)
	}
	return span, !done
}

// beKilled is the process.
func beKilled(t *testing.T, s scenario) {
	k, err := minisign.ReadKey(os.Getenv(killKey), nil)
	if err != nil {
		t.Fatal(err)
	}
	at, err := strconv.Atoi(os.Getenv(killAt))
	if err != nil {
		t.Fatal(err)
	}
	var n atomic.Int64
	disk := durable.Disk{Before: func(*durable.Op) error {
		if at >= 0 && n.Add(1) > int64(at) {
			syscall.Kill(os.Getpid(), syscall.SIGKILL)
			select {} // never goes on
		}
		return nil
	}}
	dir := filepath.Join(os.Getenv(killRoot), "store")
	fmt.Println("begin")
	st, err := imagestore.OpenOn(disk, dir)
	if err == nil {
		st.Key = k
		err = s.act(&fixture{t, dir, st, k})
	}
	if err != nil {
		t.Fatal(err)
	}
	fmt.Println("done")
}
