package tui

import (
	"slices"
	"strings"
	"testing"
)

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
