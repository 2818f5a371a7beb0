package agree

import (
	"bytes"
	"errors"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/creack/pty"

	"griddle/appliance/api"
	"griddle/appliance/griddle/cli"
	"griddle/appliance/job"
	"griddle/appliance/layout"
	"griddle/appliance/layout/plan"
)

// one is a machine with a disk that loses a filesystem, or a blank one.
func one(t *testing.T, name string, blank bool) One {
	t.Helper()
	d := job.Disk{Path: "/dev/sda", Serial: "S-" + name, Size: 64 << 30, SectorSize: 512, Sampled: job.Zeros}
	if !blank {
		d.Sampled, d.Table, d.TableID = "", "gpt", "a"
		d.Partitions = []job.Partition{{Number: 1, Start: 1 << 20, Size: 32 << 30, Filesystem: "ext4", Label: "photos"}}
	}
	p, err := plan.Make(plan.Input{Disks: []job.Disk{d}, Layout: layout.Form{Version: 1, Layout: layout.WholeDisk,
		Wipe: true, Match: job.Match{Size: job.Largest}}.Document()})
	if err != nil {
		t.Fatal(err)
	}
	return One{Asked: name, Planned: api.Planned{Machine: name, Plan: &p, Since: time.Unix(0, 0)}}
}

func of(all ...One) All { return All{Hash: hash(all), Machines: all} }

// TestAsk: what is typed on the terminal, and what it comes to.
func TestAsk(t *testing.T) {
	a, b, blank := one(t, "lab-1", false), one(t, "lab-2", false), one(t, "lab-3", true)
	for _, c := range []struct {
		name     string
		all      All
		typed    string
		asks, is string // the question, and the error
	}{
		{"one", of(a), "lab-1\n", "type the name of the machine, lab-1:", ""},
		{"one, yes", of(a), "y\n", "lab-1:", `installing: that is not "lab-1", and nothing was changed`},
		{"one, nothing", of(a), "\n", "lab-1:", "nothing was changed"},
		{"one, part of it", of(a), "lab\n", "lab-1:", "nothing was changed"},
		{"two, a name", of(a, b), "lab-1\n", "smaller: 2. To agree", `that is not "2"`},
		{"three, all of them", of(a, b, blank), "3\n", "smaller: 2.", `that is not "2"`},
		{"three, those that lose", of(blank, a, b), " 2 \n", "type this number:", ""},
		{"blank", of(blank), "", "", ""},
	} {
		t.Run(c.name, func(t *testing.T) {
			screen, terminal, err := pty.Open()
			if err != nil {
				t.Fatal(err)
			}
			defer screen.Close()
			defer terminal.Close()
			if _, err := screen.WriteString(c.typed); err != nil {
				t.Fatal(err)
			}
			var out bytes.Buffer
			err = c.all.Ask(&cli.Env{Stdin: terminal, Stdout: &out, Stderr: &out}, "", "installing")
			if !strings.Contains(out.String(), c.asks) || c.asks == "" && out.Len() > 0 {
				t.Errorf("Ask() asks %q, want %q", out.String(), c.asks)
			}
			if c.is == "" && err != nil || c.is != "" && (err == nil || !strings.Contains(err.Error(), c.is)) {
				t.Errorf("Ask() = %v, want %q", err, c.is)
			}
		})
	}
}

// TestAskScript: without a terminal only the hash of all plans agrees.
func TestAskScript(t *testing.T) {
	a, b, blank := one(t, "lab-1", false), one(t, "lab-2", false), one(t, "lab-3", true)
	in, err := os.Open(os.DevNull)
	if err != nil {
		t.Fatal(err)
	}
	defer in.Close()
	e := &cli.Env{Stdin: in, Stdout: &bytes.Buffer{}, Stderr: &bytes.Buffer{}}
	for _, c := range []struct {
		name  string
		all   All
		given string
		is    string
	}{
		{"nothing", of(a), "", "standard input is not a terminal"},
		{"its hash", of(a), a.Plan.Hash, ""},
		{"another machine's", of(a), b.Plan.Hash, "the plan is now " + a.Plan.Hash},
		{"one of two", of(a, b), a.Plan.Hash, "the plan is now"},
		{"both, in any order", of(a, b), of(b, a).Hash, ""},
		{"one more machine", of(a, b, blank), of(a, b).Hash, "the plan is now"},
		{"another one is named so", of(a, One{Planned: api.Planned{Machine: "lab-2", Plan: blank.Plan}}), of(a, b).Hash,
			"the plan is now"},
		{"blank", of(blank), "", ""},
		{"blank, and a hash", of(blank), a.Plan.Hash, "the plan is now"},
		{"not known", of(One{Asked: "lab-4"}), a.Plan.Hash, "no machine has a plan"},
		{"not known, without a hash", of(One{Asked: "lab-4"}), "", ""},
	} {
		err := c.all.Ask(e, c.given, "installing")
		if c.is == "" && err != nil || c.is != "" && (err == nil || !strings.Contains(err.Error(), c.is)) {
			t.Errorf("%s: Ask() = %v, want %q", c.name, err, c.is)
		}
	}
}

// TestText: each machine has its losses, and its reasons, and one machine its whole plan.
func TestText(t *testing.T) {
	read := func(all All) string {
		var b strings.Builder
		if err := all.Text(&b, 80); err != nil {
			t.Fatal(err)
		}
		return b.String()
	}
	refused := One{Asked: "lab-5", Planned: api.Planned{Machine: "lab-5", Refused: "it does not fit:\na\x1b[31m\nb"}}
	failed := One{Asked: "lab-6", Err: errors.New("no such\nmachine")}
	stale := one(t, "lab-7", true)
	stale.Stale = true
	past := One{Asked: "lab-8", Planned: api.Planned{Machine: "lab-8", Stale: true, Since: time.Now()}}
	got := read(of(one(t, "lab-1", false), one(t, "lab-3", true), One{Asked: "lab-4"}, refused, failed, stale, past))
	for _, want := range []string{
		"lab-1\n  disk     main: /dev/sda, 68.7 GB, serial S-lab-1\n  LOST     disk main: partition 1: ",
		"lab-3\n  disk     main: /dev/sda, 68.7 GB, serial S-lab-3\n           nothing is lost, and nothing becomes ",
		"lab-4\n  note     the server does not know the disks",
		"lab-5\n  refused  it does not fit:\n           a [31m\n           b\n",
		"lab-6\n  error    no such machine\n",
		"  note     an install of this machine has finished after it reported these",
		"lab-8\n  note     an install of this machine has finished after it reported its disks",
		"it out only if nothing is lost",
		"\nplans    sha256:"} {
		if !strings.Contains(got, want) {
			t.Errorf("Text() has no %q:\n%s", want, got)
		}
	}
	if strings.Contains(got, "steps") {
		t.Errorf("Text() of several machines has steps:\n%s", got)
	}
	if got := read(of(one(t, "lab-1", false))); !strings.Contains(got, "\nsteps     1. disk main:") ||
		strings.Contains(got, "\nplans") {
		t.Errorf("Text() of one machine is\n%s", got)
	}
	err := of(refused, failed, one(t, "lab-1", false)).Err()
	if err == nil || strings.Count(err.Error(), "planning for") != 2 {
		t.Errorf("Err() = %v, want what is wrong with two machines", err)
	}
}
