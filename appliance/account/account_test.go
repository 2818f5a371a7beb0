package account

import "testing"

// TestMay is the whole table of what roles may do.
func TestMay(t *testing.T) {
	may := map[Role][]Role{
		Viewer:    {Viewer},
		Operator:  {Viewer, Operator},
		Publisher: {Viewer, Publisher},
		Admin:     {Viewer, Operator, Publisher, Admin},
		"":        nil,
		"root":    nil,
		"Admin":   nil,
	}
	for r, want := range may {
		for _, needs := range []Role{Viewer, Operator, Publisher, Admin, "", "root", "Admin"} {
			allowed := false
			for _, w := range want {
				allowed = allowed || w == needs
			}
			if got := r.May(needs); got != allowed {
				t.Errorf("Role(%q).May(%q) = %v, want %v", r, needs, got, allowed)
			}
		}
	}
}
