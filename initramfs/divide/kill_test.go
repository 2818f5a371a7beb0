package divide

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"testing"
	"time"

	"griddle/appliance/job"
	"griddle/appliance/layout/plan"
)

// runIt names the file with the errand of this process, which carries out a plan until it is killed.
const runIt = "GRIDDLE_TEST_DIVIDE"

type errand struct {
	Plan    plan.Plan
	Past    []Entry
	Disks   map[string]string
	Journal string
}

func runs() {
	var e errand
	b, err := os.ReadFile(os.Getenv(runIt))
	if err = errors.Join(err, json.Unmarshal(b, &e)); err != nil {
		fmt.Println(err)
		os.Exit(2)
	}
	find := func(ctx context.Context) ([]job.Disk, error) { return look(ctx, e.Disks) }
	if _, err := Run(context.Background(), Options{Job: jobID, Plan: e.Plan, Past: e.Past, Journal: file(e.Journal),
		Find: find, Sys: "/sys"}); err != nil {
		fmt.Println(err)
		os.Exit(1)
	}
	os.Exit(0)
}

// killedAfter carries a plan out in another process, and kills that when its journal has more than some entries, and a
// moment later: how fast it is says nothing. It returns what the process said, and whether it ended before.
func (e errand) killedAfter(t testing.TB, entries int, moment time.Duration) (said string, done bool) {
	t.Helper()
	arg := filepath.Join(t.TempDir(), "errand")
	b, err := json.Marshal(e)
	if err = errors.Join(err, os.WriteFile(arg, b, 0o600)); err != nil {
		t.Fatal(err)
	}
	cmd := exec.Command("/proc/self/exe")
	cmd.Env = append(os.Environ(), runIt+"="+arg)
	var out bytes.Buffer
	cmd.Stdout = &out
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	ended := make(chan error, 1)
	go func() { ended <- cmd.Wait() }()
	for ; ; time.Sleep(time.Millisecond) {
		journal, _ := os.ReadFile(e.Journal)
		if bytes.Count(journal, []byte("\n")) > entries || len(ended) > 0 {
			break
		}
	}
	time.Sleep(moment)
	_ = cmd.Process.Kill()
	err = <-ended
	return out.String(), err == nil
}

// file is a journal in a file.
type file string

func (f file) Record(_ context.Context, e Entry) error {
	line, err := json.Marshal(e)
	if err != nil {
		return err
	}
	to, err := os.OpenFile(string(f), os.O_WRONLY|os.O_CREATE|os.O_APPEND, 0o600)
	if err != nil {
		return err
	}
	defer to.Close()
	_, err = to.Write(append(line, '\n'))
	return err
}

// TestKilled kills the program at any time, and continues in another one.
func TestKilled(t *testing.T) {
	times := 2
	if torture {
		times = 60
	}
	for n := range times {
		c := methods()[n%len(methods())]
		t.Run(fmt.Sprint(n, " ", c.name), func(t *testing.T) {
			m := &machine{t: t}
			dev := m.windows(512)
			e := errand{Plan: m.plan(c.doc), Disks: m.disks, Journal: filepath.Join(t.TempDir(), "journal")}
			before := sums(t, dev, staying(e.Plan)...)
			if said, _ := e.killedAfter(t, rand.IntN(2*len(e.Plan.Steps)),
				time.Duration(rand.IntN(50))*time.Millisecond); said != "" {
				t.Fatalf("the program says %q", said)
			}
			same(t, before, sums(t, dev, staying(e.Plan)...))
			var b book
			journal, err := os.ReadFile(e.Journal)
			if err != nil {
				t.Fatal(err)
			}
			for line := range bytes.Lines(journal) {
				b.lines = append(b.lines, line)
			}
			m.must(e.Plan, &b)
			same(t, before, sums(t, dev, staying(e.Plan)...))
		})
	}
}
