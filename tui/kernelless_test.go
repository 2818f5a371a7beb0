package tui

import (
	"strings"
	"testing"
)

// TestImageWithoutKernel says of the image under the cursor that no machine can be installed with it, and of others not.
func TestImageWithoutKernel(t *testing.T) {
	f := lab()
	f.Welcome.Images[1].NoKernel = true
	m := New("test", false, Actions{})
	m.found = f
	for i, want := range []bool{false, true} {
		m.cursor = i
		if got := strings.Contains(strings.Join(m.imagePage(), "\n"), "no kernel"); got != want {
			t.Errorf("with image %d the page says that there is no kernel: %v, want %v", i, got, want)
		}
	}
}
