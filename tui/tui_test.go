package tui

import (
	"errors"
	"flag"
	"fmt"
	"strings"
	"testing"
	"time"

	tea "github.com/charmbracelet/bubbletea"

	"griddle/appliance/job"
	"griddle/tui/frame"
	"griddle/tui/frame/frametest"
)

var update = flag.Bool("update", false, "rewrite the golden frames")

func lab() Found {
	return Found{
		Welcome: job.Welcome{Machine: "lab-07", Images: []job.ImageChoice{
			{Ref: "web:20261121.2@amd64", Description: "Debian 12 with nginx", Size: 301e6, Wire: 96e6,
				Published: time.Date(2026, 11, 21, 0, 0, 0, 0, time.UTC)},
			{Ref: "lab/desktop:20261120.1@amd64", Size: 4200e6, Wire: 1500e6,
				Published: time.Date(2026, 11, 20, 0, 0, 0, 0, time.UTC)},
		}},
		Identity: job.Identity{Vendor: "Dell Inc.", Product: "OptiPlex 7050", Serial: "5XK2LQ2",
			MACs: []string{"52:54:00:12:34:56"}},
		Inventory: job.Inventory{CPU: "Intel(R) Core(TM) i5-7500 CPU @ 3.40GHz", CPUs: 4, Memory: 8e9, Firmware: "uefi",
			NICs: []job.NIC{{Name: "enp1s0", MAC: "52:54:00:12:34:56", Carrier: true, Address: "10.77.0.21/24"},
				{Name: "enp2s0", MAC: "52:54:00:12:34:57"}},
			Disks: []job.Disk{
				{Path: "/dev/nvme0n1", Model: "Samsung SSD 970 EVO", Serial: "S4EWNF0M", Bus: "nvme", Size: 500e9,
					Table: "gpt", Partitions: []job.Partition{
						{Number: 1, Size: 512 << 20, Type: "EFI system", Filesystem: "vfat", Label: "SYSTEM"},
						{Number: 2, Size: 400e9, Filesystem: "ntfs", Label: "Windows"},
						{Number: 3, Size: 99e9, Filesystem: "ext4"}}},
				{Path: "/dev/sda", Model: "Tiny", Serial: "T1", Bus: "sata", Size: 200e6, Sampled: job.Ones},
				{Path: "/dev/vda", Serial: "blank-1", Bus: "virtio", Size: 20e9, Sampled: job.Zeros},
			}},
	}
}

// approving is a machine that an operator has to approve.
func approving() Found {
	f := lab()
	f.Welcome.Images, f.Welcome.Approval = nil, &job.Settings{State: job.Waiting, Code: "7K4M-QX2D"}
	return f
}

func press(t *testing.T, m Model, keys ...string) Model {
	t.Helper()
	for _, k := range keys {
		msg := tea.KeyMsg{Type: tea.KeyRunes, Runes: []rune(k)}
		for _, known := range []tea.KeyType{tea.KeyEnter, tea.KeyEsc, tea.KeyUp, tea.KeyDown, tea.KeyBackspace,
			tea.KeyCtrlU, tea.KeyCtrlC, tea.KeyHome, tea.KeyEnd, tea.KeyTab, tea.KeyShiftTab, tea.KeyPgUp,
			tea.KeyPgDown, tea.KeyF1} {
			if (tea.KeyMsg{Type: known}).String() == k {
				msg = tea.KeyMsg{Type: known}
			}
		}
		next, cmd := m.Update(msg)
		m = next.(Model)
		if cmd != nil {
			cmd()
		}
	}
	return m
}

func send(m Model, msgs ...tea.Msg) Model {
	for _, msg := range msgs {
		next, _ := m.Update(msg)
		m = next.(Model)
	}
	return m
}

func at(s int) time.Time { return time.Date(2026, 11, 21, 3, 0, s, 0, time.UTC) }

func running() []tea.Msg {
	ev := func(s int, e job.Event) tea.Msg {
		e.Job, e.Time = "1b4e28ba-2fa1-11d2-883f-0016d3cca427", at(s)
		return Happened{e}
	}
	return []tea.Msg{
		ev(0, job.Event{Phase: job.PhaseCheck, Message: "signed by RWQf6LRC; the disk is large enough"}),
		ev(1, job.Event{Phase: job.PhasePartition, State: job.Started, Disk: "blank-1",
			Message: "partitioning /dev/vda"}),
		ev(4, job.Event{Phase: job.PhaseReceive, Message: "receiving stream 1 of 2"}),
		ev(30, job.Event{Phase: job.PhaseReceive, Level: job.Warning,
			Message: "the server does not answer (connection refused); trying again in 4 s, from frame 7"}),
		ev(40, job.Event{Phase: job.PhaseReceive, Progress: &job.Progress{Done: 120e6, Total: 301e6, Wire: 40e6,
			WireBps: 11.5e6, DiskBps: 34e6, Left: 65 * time.Second,
			Ways: &job.Ways{Now: "multicast", Multicast: 36e6, Repair: 1e6, HTTP: 4e6, Machines: 12, Loss: 0.011}}}),
	}
}

func TestFrames(t *testing.T) {
	fresh := New("1.0", false, Actions{})
	welcome := send(fresh, lab())
	confirm := press(t, welcome, "enter", "enter", "enter", "enter")
	begun := lab()
	begun.Inventory.Disks[2].Unfinished, begun.Inventory.Disks[1].Unfinished = "1b4e28ba-2fa1-11d2-883f-0016d3cca427",
		"another job's"
	begun.Welcome.Unfinished = []job.Unfinished{
		{Job: "1b4e28ba-2fa1-11d2-883f-0016d3cca427", Image: "web:20261121.2@amd64"}, {Job: "on no disk"}}
	unasked := lab()
	unasked.Welcome.Job = &job.Spec{Disk: "largest", Image: job.Image{Ref: "web:20261121.2@amd64"}}
	unasked.Welcome.Zone = job.Zone{{Offset: 3600, Short: "CET"}}
	small := lab()
	small.Inventory.Memory = 340e6
	evil := lab()
	evil.Welcome.Machine = "\x1b[2Jevil\r\n"
	evil.Identity.Vendor = "A\x1b]0;owned\x07" + strings.Repeat("W", 300)
	evil.Inventory.Disks[0].Model = "\u202egnp.exe" + strings.Repeat("漢", 50)
	evil.Inventory.Disks[0].Serial = "S\x00\x1b[31m1\xff"
	for i := range 40 {
		evil.Inventory.Disks[0].Partitions = append(evil.Inventory.Disks[0].Partitions,
			job.Partition{Number: 4 + i, Size: 1, Label: "\x1b[H\n"})
		evil.Inventory.NICs = append(evil.Inventory.NICs, job.NIC{Name: fmt.Sprint("e", i)})
	}
	unknown := lab()
	unknown.Inventory.Disks[2].Sampled = "data at byte 1048576 (0x41)"
	unknown.Inventory.Disks[1] = job.Disk{Path: "/dev/sda", Model: "Stick", Bus: "usb", Size: 64e9, Removable: true}
	unknown.Inventory.Disks[0].Damaged = "only its backup copy is left"
	frames := []struct {
		name string
		m    Model
	}{
		{"start", send(fresh, Step{"Network interfaces", StepDone, "enp1s0 (e1000e), link up", ""},
			Step{"Address", StepFailed, "enp1s0: no answer from a DHCP server for 20 s",
				"Check the cable and that a DHCP server serves this network; trying again."})},
		{"welcome", welcome},
		{"welcome-continue", send(fresh, begun)},
		{"continued", press(t, send(fresh, begun), "c")},
		{"image", press(t, welcome, "i", "down")},
		{"disk", press(t, welcome, "i", "enter")},
		{"disk-too-small", press(t, welcome, "i", "enter", "down", "enter")},
		{"method", press(t, welcome, "i", "enter", "enter")},
		{"confirm", press(t, confirm, "n", "v", "m")},
		{"confirm-wrong", press(t, confirm, "s", "d", "a", "enter")},
		{"confirm-blank", press(t, welcome, "i", "enter", "end", "enter", "enter", "b")},
		{"disk-unknown", press(t, send(fresh, unknown), "i", "enter", "down")},
		{"confirm-unknown", press(t, send(fresh, unknown), "i", "enter", "end", "enter", "enter")},
		{"confirm-damaged", press(t, send(fresh, unknown), "i", "enter", "enter", "enter")},
		{"progress", send(send(fresh, unasked), running()...)},
		{"done", send(send(fresh, unasked), append(running(), Ended{}, Countdown{5})...)},
		{"failed",
			send(send(fresh, unasked), append(running(), Ended{errors.New("receiving image: frame 7 at offset 12345: " +
				"digest differs: the bytes on the server are damaged\n" +
				"run `griddle image verify web` on the server")})...)},
		{"little-memory", send(fresh, small)},
		{"link-lost", send(welcome, noLink())},
		{"link-lost-confirm", press(t, send(press(t, confirm, "n", "v", "m", "e", "0", "n", "1"), noLink()), "enter")},
		{"approval", press(t, send(fresh, approving()), "i")},
		{"waiting", send(send(fresh, unasked), running()[0], Waiting{Code: "7K4M-QX2D"})},
		{"waiting-lost", send(send(fresh, unasked), Waiting{Code: "7K4M-QX2D",
			Lost: "the server does not answer (connection refused); trying again"})},
		{"asking-again", send(press(t, send(fresh, Step{"Server", StepDone, "https://10.77.0.1:8443", ""}, lab()), "a"),
			Step{"Server", StepFailed, "saying hello: connection refused", "Is \"griddle serve\" running?"})},
		{"start-installed", send(fresh, Installed{true})},
		{"welcome-installed", send(fresh, Installed{true}, lab())},
		{"recovery", send(press(t, send(fresh, Installed{true}, lab()), "v"), installedPools())},
		{"hostile-welcome", send(fresh, evil)},
		{"hostile-confirm", press(t, send(fresh, evil), "i", "enter", "enter", "enter")},
	}
	for _, f := range frames {
		t.Run(f.name, func(t *testing.T) {
			golden(t, f.name, f.m)
		})
	}
}

// golden compares a page with its frames.
func golden(t *testing.T, name string, m Model) {
	t.Helper()
	frametest.Goldens(t, name, *update, func(theme frame.Theme, columns, rows int) string {
		return m.On(theme, columns, rows).View()
	})
}

func noLink() Link {
	nics := lab().Inventory.NICs
	nics[0].Carrier = false
	return Link{NICs: nics, Lost: "enp1s0 has no link. Plug in its cable, or check the switch port.", Down: true}
}

// Without a link nothing is confirmed; when the link is back, the same key does it. If only the server does not answer,
// the user may try.
func TestLinkLost(t *testing.T) {
	chosen := 0
	m := send(New("1.0", false, Actions{Choose: func(job.Choice) { chosen++ }}), lab())
	m = press(t, m, "i", "enter", "enter", "enter", "n", "v", "m", "e", "0", "n", "1")
	m = press(t, send(m, noLink()), "enter")
	if view := m.View(); chosen != 0 || !strings.Contains(view, "Not started. enp1s0 has no link") ||
		!strings.Contains(view, "> nvme0n1") {
		t.Errorf("confirmed %d times without a link:\n%s", chosen, view)
	}
	back := send(m, Link{NICs: lab().Inventory.NICs})
	if view := press(t, back, "x").View(); strings.Contains(view, "no link") {
		t.Errorf("the link is back, and the page says:\n%s", view)
	}
	press(t, back, "enter")
	if chosen != 1 {
		t.Errorf("with the link back it was confirmed %d times, want once", chosen)
	}
	silent := send(m,
		Link{NICs: lab().Inventory.NICs, Lost: "the server does not answer (connection refused); trying again"})
	if view := press(t, silent, "x").View(); !strings.Contains(view, "does not answer (connection refused)") {
		t.Errorf("the server does not answer, and the page says:\n%s", view)
	}
	press(t, silent, "enter")
	if chosen != 2 {
		t.Errorf("with a link it was confirmed %d times, want twice", chosen)
	}
}

// While the server is asked again nothing can be chosen by its last answer.
func TestAskingAgain(t *testing.T) {
	retried := 0
	m := send(New("1.0", false, Actions{Retry: func() { retried++ }}), lab())
	m = press(t, m, "a", "i", "enter", "enter", "enter")
	if retried != 1 || m.page != pageStart {
		t.Errorf("asked %d times, page %d:\n%s", retried, m.page, m.View())
	}
	if m = send(m, lab()); m.page != pageWelcome {
		t.Errorf("the answer shows page %d", m.page)
	}
	if m = send(m, Asking{}); m.page != pageStart {
		t.Errorf("asked by the agent it shows page %d", m.page)
	}
	if m = send(send(m, lab()), append(running(), Asking{})...); m.page != pageProgress {
		t.Errorf("an install was taken off the screen by page %d", m.page)
	}
}

// checkFrame holds every frame to what the VGA text console can draw.
func checkFrame(t *testing.T, frame string) {
	t.Helper()
	frametest.Check(t, frame, Columns, Rows)
}
