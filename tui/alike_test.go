package tui

import (
	"fmt"
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
