package tui

import (
	"strings"
	"testing"
)

// TestImageWithoutKernel: the page says of the selected image, and of no other, that it cannot be installed.
func TestImageWithoutKernel(t *testing.T) {
	f := lab()
	f.Welcome.Images[1].NoKernel = true
	m := New("test", false, Actions{})
	m.found = f
	for i, want := range []bool{false, true} {
		m.cursor = i
		if got := strings.Contains(strings.Join(m.imagePage(), "\n"), "no kernel"); got != want {
			t.Errorf("with image %d the page says that it has no kernel: %v, want %v", i, got, want)
		}
	}
}
