package divide

import (
	"bytes"
	"context"
	"encoding/json"
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

// runIt has the errand of this process, which carries out a plan until it is killed.
const runIt = "GRIDDLE_TEST_DIVIDE"

type errand struct {
	Plan    plan.Plan
	Disks   map[string]string
	Journal string
}

func runs() {
	var e errand
	if err := json.Unmarshal([]byte(os.Getenv(runIt)), &e); err != nil {
		fmt.Println(err)
		os.Exit(2)
	}
	find := func(ctx context.Context) ([]job.Disk, error) { return look(ctx, e.Disks) }
	_, err := Run(context.Background(), Options{Job: jobID, Plan: e.Plan, Journal: file(e.Journal), Find: find,
		Sys: "/sys"})
	if err != nil {
		fmt.Println(err)
		os.Exit(1)
	}
	os.Exit(0)
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
			arg, err := json.Marshal(e)
			if err != nil {
				t.Fatal(err)
			}
			cmd := exec.Command("/proc/self/exe")
			cmd.Env = append(os.Environ(), runIt+"="+string(arg))
			var out bytes.Buffer
			cmd.Stdout = &out
			if err := cmd.Start(); err != nil {
				t.Fatal(err)
			}
			ended := make(chan error, 1)
			go func() { ended <- cmd.Wait() }()
			// When it is killed is counted in entries, and a moment more: how fast it is says nothing.
			for entries := rand.IntN(2 * len(e.Plan.Steps)); ; time.Sleep(time.Millisecond) {
				journal, _ := os.ReadFile(e.Journal)
				if bytes.Count(journal, []byte("\n")) > entries || len(ended) > 0 {
					break
				}
			}
			time.Sleep(time.Duration(rand.IntN(50)) * time.Millisecond)
			_ = cmd.Process.Kill()
			<-ended
			if out.Len() > 0 {
				t.Fatalf("the program says %q", out.String())
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
