package job

import "testing"

func TestHealth(t *testing.T) {
	for _, c := range []struct {
		health        *Health
		text, warning string
	}{
		{nil, "", ""},
		{&Health{State: Healthy, Hours: 9000, Celsius: 38, Used: 3},
			"healthy, 9000 hours with power on, 38 °C, 3 % worn", ""},
		{&Health{State: Healthy, Reason: "8 sectors cannot be read"}, "healthy",
			"the disk says: 8 sectors cannot be read"},
		{&Health{State: Failing, Reason: "\x1b[2Jit is read-only"}, "FAILING",
			"the disk says that it is failing: [2Jit is read-only"},
		{&Health{State: Failing}, "FAILING", "the disk says that it is failing"},
		{&Health{State: UnknownHealth, Reason: "it did not answer in time"}, "", ""},
		{&Health{State: "of the future", Reason: "x"}, "", ""},
	} {
		if text, warning := c.health.String(), c.health.Warning(); text != c.text || warning != c.warning {
			t.Errorf("%+v is %q and warns %q, want %q and %q", c.health, text, warning, c.text, c.warning)
		}
		d := Disk{Health: c.health}
		if got := d.Warnings(nil); len(got) == 1 != (c.warning != "") {
			t.Errorf("Warnings() = %q, want %q", got, c.warning)
		}
	}
}
