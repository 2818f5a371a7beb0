package tui

import (
	"errors"
	"fmt"
	"reflect"
	"strings"
	"testing"

	"griddle/appliance/job"
)

func TestConfirmNamesTheDisk(t *testing.T) {
	tests := []struct {
		name, typed string
		want        *job.Choice
	}{
		{"bare name", "nvme0n1",
			&job.Choice{Image: "web:20261121.2@amd64", Disk: "serial:S4EWNF0M", Erase: "S4EWNF0M"}},
		{"path", "/dev/nvme0n1",
			&job.Choice{Image: "web:20261121.2@amd64", Disk: "serial:S4EWNF0M", Erase: "S4EWNF0M"}},
		{"serial", "S4EWNF0M", &job.Choice{Image: "web:20261121.2@amd64", Disk: "serial:S4EWNF0M", Erase: "S4EWNF0M"}},
		{"another disk", "vda", nil},
		{"nothing", "", nil},
		{"yes", "yes", nil},
		{"part of the serial", "S4EW", nil},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			var got *job.Choice
			m := send(New("1.0", false, Actions{Choose: func(c job.Choice) { got = &c }}), lab())
			m = press(t, m, "i", "enter", "enter", "enter")
			m = press(t, press(t, m, strings.Split(tt.typed, "")...), "enter")
			if (got == nil) != (tt.want == nil) || got != nil && !reflect.DeepEqual(got, tt.want) {
				t.Errorf("typing %q chose %+v, want %+v\n%s", tt.typed, got, tt.want, m.View())
			}
		})
	}
}

// Two disks whose serials look the same are told apart by their paths alone.
func TestSharedSerialNamesNoDisk(t *testing.T) {
	f := lab()
	f.Inventory.Disks[2].Serial = "S4EWNF0M\x01"
	var got *job.Choice
	m := send(New("1.0", false, Actions{Choose: func(c job.Choice) { got = &c }}), f)
	m = press(t, m, "i", "enter", "enter", "enter")
	m = press(t, press(t, m, strings.Split("S4EWNF0M", "")...), "enter")
	if got != nil {
		t.Fatalf("a serial that two disks bear chose %+v", *got)
	}
	press(t, press(t, m, append([]string{"ctrl+u"}, strings.Split("nvme0n1", "")...)...), "enter")
	if got == nil || got.Disk != "path:/dev/nvme0n1" || got.Erase != "/dev/nvme0n1" {
		t.Errorf("choice = %+v, want the path", got)
	}
}

func TestNothingInterruptsAnInstall(t *testing.T) {
	f := lab()
	f.Welcome.Job = &job.Spec{Image: job.Image{Ref: "web:1@amd64"}}
	powered := false
	m := send(New("1.0", false, Actions{Power: func(Power) { powered = true }}), f)
	m = send(m, running()...)
	before := m.View()
	m = press(t, m, "r", "p", "s", "q", "esc", "enter", "ctrl+c")
	if powered || m.View() != before {
		t.Errorf("a key changed the progress page:\n%s", m.View())
	}
	if again := send(m, lab()); again.page != pageProgress {
		t.Error("a second answer of the server took the running install off the screen")
	}
}

// While a job waits for an operator, nothing is written: the machine may be switched off, and after the wait nothing
// interrupts the install.
func TestWaiting(t *testing.T) {
	var did []string
	m := New("1.0", false, Actions{Power: func(p Power) { did = append(did, fmt.Sprint(p)) }})
	f := lab()
	f.Welcome.Job = &job.Spec{Image: job.Image{Ref: "web:1@amd64"}}
	m = press(t, send(m, f, Waiting{Code: "7K4M-QX2D"}), "q", "s", "r", "p")
	if got := strings.Join(did, " "); got != "2 0 1" || !strings.Contains(m.View(), "7K4M-QX2D") {
		t.Errorf("did %q on the page:\n%s", got, m.View())
	}
	m = press(t, send(m, running()[1], Waiting{}), "s", "r", "p")
	if len(did) != 3 || strings.Contains(m.View(), "7K4M-QX2D") || !strings.Contains(m.View(), "Partition") {
		t.Errorf("after the wait: did %q on the page:\n%s", did, m.View())
	}
	m = send(m, Waiting{Code: "7K4M-QX2D"}, Ended{errors.New("the server has ended this job")})
	if !strings.Contains(m.View(), "has ended this job") || strings.Contains(send(m, f).View(), "7K4M-QX2D") {
		t.Errorf("a code stays on the screen after the end of its job:\n%s", m.View())
	}
}

func TestPowerAndRetry(t *testing.T) {
	var did []string
	a := Actions{Power: func(p Power) { did = append(did, fmt.Sprint("power ", p)) },
		Retry: func() { did = append(did, "retry") }}
	press(t, New("1.0", false, a), "s")
	press(t, send(New("1.0", false, a), lab()), "a", "r", "p")
	press(t, send(New("1.0", false, a), lab(), Ended{errors.New("x")}), "enter")
	press(t, send(New("1.0", false, a), lab(), Ended{}), "enter")
	if got, want := strings.Join(did, ", "), "power 2, retry, power 0, power 1, retry, power 0"; got != want {
		t.Errorf("did %q, want %q", got, want)
	}
}

// TestContinue: the install that this machine's screen began goes on by one key, on the disk with its mark, with
// nothing else to erase; other marks are not offered.
func TestContinue(t *testing.T) {
	var chosen []job.Choice
	l := lab()
	l.Inventory.Disks[2].Unfinished = "j1"
	l.Inventory.Disks[1].Unfinished = "j2"
	a := Actions{Choose: func(c job.Choice) { chosen = append(chosen, c) }}
	if got := press(t, send(New("1.0", false, a), l), "c"); len(chosen) != 0 || got.page != pageWelcome {
		t.Fatalf("without leave from the server %v was chosen", chosen)
	}
	l.Welcome.Unfinished = []job.Unfinished{{Job: "j1", Image: "web:1"}}
	got := press(t, send(New("1.0", false, a), l), "c")
	if want := (job.Choice{Continue: "j1", Disk: "serial:blank-1"}); len(chosen) != 1 ||
		!reflect.DeepEqual(chosen[0], want) || got.page != pageProgress {
		t.Errorf("chosen %+v, want %+v", chosen, want)
	}
	got = press(t, send(New("1.0", false, a), l, noLink()), "c")
	if len(chosen) != 1 || got.page != pageWelcome || !strings.Contains(got.View(), "Not started. enp1s0 has no link") {
		t.Errorf("without a link %+v was chosen:\n%s", chosen, got.View())
	}
}
