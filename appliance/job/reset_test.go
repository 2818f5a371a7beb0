package job

import "testing"

func TestReset(t *testing.T) {
	for _, s := range []string{"", "no", "system", "home"} {
		if r, err := ParseReset(s); err != nil || string(r) != s {
			t.Errorf("ParseReset(%q) = %q, %v", s, r, err)
		}
	}
	for _, s := range []string{"yes", "System", "home ", "\x1b"} {
		if r, err := ParseReset(s); err == nil {
			t.Errorf("ParseReset(%q) = %q", s, r)
		}
	}
	for _, c := range []struct{ order, old, want Reset }{
		{"", "", ""}, {"", ResetHome, ResetHome}, {ResetNo, ResetHome, ""}, {ResetSystem, "", ResetSystem},
		{ResetHome, ResetSystem, ResetHome}, {ResetNo, "", ""},
	} {
		if got := c.order.After(c.old); got != c.want {
			t.Errorf("%q after %q is %q, want %q", c.order, c.old, got, c.want)
		}
	}
}
