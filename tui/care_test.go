package tui

import (
	"strings"
	"testing"

	"griddle/appliance/job"
	"griddle/tui/care"
)

func installedPools() care.Pools {
	return care.Pools{Pools: []care.Pool{{Disk: "/dev/vda", Name: "/dev/vda (20.0 GB)",
		Free: "12.0 GB of 20.0 GB are free", System: "web-1",
		Roots: []care.Entry{{Name: "web-1", Made: "2026-11-20 09:00", State: "boots"}}}}}
}

// The pages of an installed system stay while the server is asked, and a job takes them away.
func TestCare(t *testing.T) {
	looked := 0
	fresh := New("1.0", false, Actions{Care: care.Actions{Look: func() { looked++ }}})
	if m := press(t, send(fresh, lab()), "m"); m.page != pageWelcome {
		t.Errorf("without an installed system m shows page %d", m.page)
	}
	m := press(t, send(fresh, Installed{true}), "v")
	if m.page != pageCare || looked != 1 {
		t.Errorf("v shows page %d, looked %d times", m.page, looked)
	}
	if m = send(m, installedPools(), lab(), Asking{}, lab()); m.page != pageCare {
		t.Errorf("the server's answer took the page away: %d", m.page)
	}
	many := lab()
	many.Inventory.NICs = append(many.Inventory.NICs, many.Inventory.NICs...)
	many.Inventory.Disks[0].Unfinished, many.Inventory.Disks[1].Unfinished = "a", "b"
	many.Welcome.Unfinished = []job.Unfinished{{Job: "a", Image: "web:1"}, {Job: "b", Image: "web:2"}}
	if view := send(fresh, Installed{true}, many).View(); !strings.Contains(view, "p  Power off") {
		t.Errorf("the page has no room for its menu:\n%s", view)
	}
	if back := press(t, m, "esc"); back.page != pageWelcome {
		t.Errorf("Esc shows page %d", back.page)
	}
	if back := press(t, send(m, Asking{}), "esc"); back.page != pageStart {
		t.Errorf("while the server is asked, Esc shows page %d", back.page)
	}
	ordered := lab()
	ordered.Welcome.Job = &job.Spec{Disk: "largest", Image: job.Image{Ref: "web:1"}}
	if m = send(m, ordered); m.page != pageProgress {
		t.Errorf("a job shows page %d", m.page)
	}
}
