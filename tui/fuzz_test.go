package tui

import (
	"errors"
	"strings"
	"testing"
	"time"

	tea "github.com/charmbracelet/bubbletea"
	"github.com/charmbracelet/x/ansi"

	"griddle/appliance/job"
	"griddle/tui/frame"
	"griddle/tui/frame/frametest"
)

// FuzzScreen draws every page with whatever hardware and network may say: each string of theirs is one of the five.
func FuzzScreen(f *testing.F) {
	f.Add("web:1@amd64", "Model", "S1", "ext4", "message", int64(20e9), uint8(3))
	f.Add("\x1b[2J", "\u202e", "\xff\xfe", "\n\n", strings.Repeat("x ", 500), int64(-1), uint8(250))
	f.Add("a", "\xff", "\xff", "\xff", "\xff", int64(1), uint8(1))
	f.Add("\xff", strings.Repeat("漢", 100), strings.Repeat("é", 100)+"\xff", "\x00", "\u0301", int64(1e15), uint8(9))
	f.Fuzz(func(t *testing.T, ref, model, serial, fs, message string, size int64, n uint8) {
		l := lab()
		l.Welcome.Machine, l.Welcome.Images[0].Ref, l.Welcome.Images[0].Description = ref, ref, message
		l.Welcome.Images[1].Ref = ref + serial
		l.Identity = job.Identity{Product: model, Vendor: message, Serial: serial}
		l.Inventory.CPU, l.Inventory.Firmware = model, fs
		l.Inventory.NICs[0] = job.NIC{Name: model, MAC: serial, Address: message}
		l.Welcome.Unfinished = []job.Unfinished{{Job: serial, Image: ref}}
		for i := range n {
			l.Inventory.Disks = append(l.Inventory.Disks,
				job.Disk{Path: "/dev/" + model, Model: model, Serial: serial, WWN: message, Place: fs, Bus: fs,
					Size: size, Signature: fs, Label: message, Table: model, Damaged: message, Unfinished: serial,
					Partitions: []job.Partition{
						{Number: int(i), Size: size, Label: serial, Name: model, Type: message}}})
		}
		l.Inventory.Disks = append(l.Inventory.Disks,
			job.Disk{Path: model, Serial: model, Size: 1e15, Sampled: message})
		fresh := send(New("1.0", false, Actions{}), Step{model, StepFailed, message, message})
		checkFrame(t, fresh.View())
		m := send(fresh, l)
		checkFrame(t, send(m,
			Link{NICs: []job.NIC{{Name: model, MAC: serial, Address: fs}}, Lost: message, Down: size%2 == 0}).View())
		small := m
		for _, k := range []string{"x", "i", "down", "/", fs, "enter", "esc", "tab", "pgdown", "?", "end", "x", "up",
			"enter", "end", "up", "down", "enter", "enter", serial, "enter", model, "enter"} {
			checkFrame(t, m.View())
			frametest.Check(t, small.View(), small.columns, small.rows)
			small = press(t, small.On(small.theme, 1+int(n)*7%170, 1+int(uint64(size)%60)), k)
			m = press(t, m, k)
		}
		checkFrame(t, m.View())
		m = send(m, Happened{job.Event{Job: ref, State: job.Started, Disk: serial, Level: job.Level(fs)}},
			Happened{job.Event{Job: ref, Phase: job.Phase(fs), Message: message,
				Progress: &job.Progress{Done: size, Total: size / 2, Left: time.Duration(size)}}})
		checkFrame(t, m.View())
		failed := send(m, HookFailed{Name: model, Origin: fs, Reason: message, Last: []string{serial, message, ref}})
		checkFrame(t, failed.View())
		frametest.Check(t, send(failed, tea.WindowSizeMsg{Width: 40, Height: 12}).View(), 40, 12)
		checkFrame(t, send(m, Ended{errors.New(message + "\n" + message)}).View())
		divided := l
		divided.Layouts, divided.Mirror = true, size%2 == 0
		divided.Welcome.Zone = job.Zone{{Offset: int(size), Short: fs}}
		d := &divided.Inventory.Disks[0]
		d.SectorSize, d.Partitions = 512, nil
		for i := range int(n % 9) {
			d.Partitions = append(d.Partitions, job.Partition{Number: i + 1, Start: mib + int64(i)*gib,
				Size: gib - size%gib,
				Type: message, Filesystem: []string{"ntfs", fs, "btrfs"}[i%3], Label: serial, Name: model, Used: size,
				Minimum: size % gib, Unfit: fs})
		}
		d.Partitions = append(d.Partitions, job.Partition{Number: int(n), Start: 100 * gib, Size: size,
			Type: "EFI system"})
		m = send(fresh, divided)
		small = m
		for _, k := range []string{"i", "enter", "enter", "end", "up", "enter", "up", "enter", "?", "x", "esc", "esc",
			"home", "down", "enter", "down", "enter", "end", "esc", "end", "enter", "pgdown", serial, "enter"} {
			frametest.Check(t, small.View(), small.columns, small.rows)
			small = press(t, small.On(small.theme, 1+int(n)*7%170, 1+int(uint64(size)%60)), k)
			m = press(t, m, k)
			checkFrame(t, m.View())
		}
		m = send(m, Happened{job.Event{Job: ref, Phase: job.PhaseReceive, Message: message, Time: time.Unix(size, 0)}})
		checkFrame(t, m.View())
		asked := l
		asked.Welcome.Job = &job.Spec{Disk: job.DiskRule(serial), Image: job.Image{Ref: ref}}
		checkFrame(t, send(fresh, asked).View())
	})
}

// TestEverySize draws pages in frames of sizes around those where something changes. What is chosen is always in them.
func TestEverySize(t *testing.T) {
	looks := []frame.Theme{frame.NewTheme(frame.Look{}), frame.NewTheme(frame.Look{Ink: frame.Colors, Lines: true})}
	welcome := send(New("1.0", false, Actions{}), lab())
	ways := press(t, send(New("1.0", false, Actions{}), shared()), "i", "enter", "enter")
	for name, m := range map[string]Model{"welcome": press(t, welcome, "end"), "image": press(t, welcome, "i", "end"),
		"disk": press(t, welcome, "i", "enter", "end"), "help": press(t, welcome, "?"),
		"ways": ways, "amounts": press(t, ways, "enter"), "plan": press(t, ways, "enter", "enter"),
		"hostile plan": press(t, send(New("1.0", false, Actions{}), evilShared()), "i", "enter", "enter", "end",
			"enter"),
		"confirm":  press(t, welcome, "i", "enter", "enter", "enter", "z"),
		"progress": send(send(welcome, running()...)), "hook": send(installing(Actions{}), joinFailed())} {
		for _, columns := range []int{1, 2, 15, 16, 17, 21, 40, 61, 80, 99, 100, 119, 120, 139} {
			for _, rows := range []int{1, 2, 3, 4, 6, 7, 8, 9, 12, 15, 24, 29, 30, 43} {
				drawn := m.On(looks[(columns+rows)%2], columns, rows).View()
				frametest.Check(t, ansi.Strip(drawn), columns, rows)
				if name == "welcome" && columns > 20 && rows > 2 && !strings.Contains(drawn, "> p  Power off") ||
					name == "confirm" && columns > 20 && rows > 5 && !strings.Contains(drawn, "> z_") {
					t.Fatalf("%s: %dx%d does not show what is chosen:\n%s", name, columns, rows, drawn)
				}
			}
		}
	}
}
