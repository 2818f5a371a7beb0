package newroot

import (
	"strings"
	"testing"

	"griddle/appliance/job"
	"griddle/appliance/setting"
)

// TestSeedNeedsHostname: without one in the settings, the seed has that of the job or of the machine.
func TestSeedNeedsHostname(t *testing.T) {
	for _, c := range []struct{ hostname, want, fqdn string }{
		{"abc-123", "abc-123", ""}, {"Lab-2.example.org", "lab-2", "lab-2.example.org"},
	} {
		files, err := seedOf(job.Spec{ID: "5b2f0a4e-7a1c-4d3e-9f00-0123456789ab"}, c.hostname, setting.Settings{})
		if err != nil {
			t.Fatal(err)
		}
		all := ""
		for _, f := range files {
			all += string(f.Content)
		}
		if !strings.Contains(all, `"local-hostname": "`+c.want+`"`) || !strings.Contains(all, c.fqdn) {
			t.Errorf("with the hostname %q the seed is\n%s", c.hostname, all)
		}
	}
}
