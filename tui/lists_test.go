package tui

import (
	"fmt"
	"slices"
	"strings"
	"testing"

	"griddle/appliance/job"
)

// TestLookAlikes: on the pages with lists each line is another, whatever is cut off.
func TestLookAlikes(t *testing.T) {
	l := lab()
	name := strings.Repeat("very-long-name", 4)
	l.Welcome.Images, l.Inventory.Disks = nil, nil
	for i := range 5 {
		l.Welcome.Images = append(l.Welcome.Images,
			job.ImageChoice{Ref: fmt.Sprintf("lab/%s%d:20261120.1@amd64", name, i), Size: 1e6, Wire: 1e6})
		l.Inventory.Disks = append(l.Inventory.Disks,
			job.Disk{Path: fmt.Sprintf("/dev/cciss/c0d1000%d", i), Model: fmt.Sprint("Model ", name, i),
				Serial: fmt.Sprintf("%s%d%s", name, i, name), Size: 20e9, Sampled: job.Zeros})
	}
	m := send(New("1.0", false, Actions{}), l)
	images := press(t, m, "i")
	disks := press(t, images, "enter")
	for what, page := range map[string]string{"image": images.View(), "disk": disks.View()} {
		checkFrame(t, page)
		seen := map[string]bool{}
		for line := range strings.Lines(page) {
			if strings.Contains(line, " MB ") || strings.Contains(line, " GB ") {
				seen[strings.TrimLeft(line, " >")] = true
			}
		}
		if len(seen) != 5 {
			t.Errorf("the %s page has %d different lines, want 5:\n%s", what, len(seen), page)
		}
	}
	for i, want := range disks.found.Inventory.Disks {
		if !strings.Contains(disks.View(), fmt.Sprintf("%dvery", i)) {
			t.Errorf("the page does not show what differs in %s:\n%s", want.Serial, disks.View())
		}
	}
	// The full name of the chosen one is there too.
	if got := strings.Join(strings.Fields(images.View()), ""); !strings.Contains(got, l.Welcome.Images[0].Ref) {
		t.Errorf("the page does not show all of %s:\n%s", l.Welcome.Images[0].Ref, images.View())
	}
}

// TestImageWithoutKernel: the page says of an image, and of no other, that it cannot be installed, and no key chooses
// it.
func TestImageWithoutKernel(t *testing.T) {
	for at, name := range []string{"web:20261121.2@amd64", "lab/desktop:20261120.1@amd64"} {
		f := lab()
		f.Welcome.Images[at].NoKernel = true
		m := press(t, send(New("test", false, Actions{}), f), "i")
		said, offered := false, 0
		for line := range strings.Lines(m.View()) {
			said = said || strings.Contains(line, name+": no kernel")
			if strings.Contains(line, "no kernel") && !strings.Contains(line, name) {
				t.Errorf("another image has no kernel: %s", line)
			}
			if strings.Contains(line, "2026-11-") {
				offered++
			}
		}
		if !said || offered != 1 || slices.Contains(m.images(), at) {
			t.Errorf("the page offers %d images, and says why %s is not one: %v\n%s", offered, name, said, m.View())
		}
		if m = press(t, m, "down", "end", "enter"); m.image != 1-at {
			t.Errorf("image %d was chosen, want %d", m.image, 1-at)
		}
	}
	f := lab()
	f.Welcome.Images[0].NoKernel, f.Welcome.Images[1].NoKernel = true, true
	if m := press(t, send(New("test", false, Actions{}), f), "i"); m.page != pageWelcome ||
		!strings.Contains(m.View(), "none has a kernel") {
		t.Errorf("without an image to install the page is\n%s", m.View())
	}
}
