package install

import (
	"encoding/json"
	"os"
	"path/filepath"
	"testing"

	"griddle/appliance/job"
	"griddle/appliance/site"
	"griddle/initramfs/disk/disktest"
	"griddle/initramfs/resident"
)

// TestService: a system gets the service if the server asks for it, with what it needs, and else nothing of it.
func TestService(t *testing.T) {
	img, o := small(t, accounts), options(t)
	o.Site = site.Site{HTTP: "http://10.0.0.1:8080", HTTPS: "https://10.0.0.1:8443", CA: "ca",
		Trusted: []string{"a"}, Catalog: site.Catalog{Key: "key", Seq: 7}}
	for _, asked := range []bool{true, false} {
		dev := disktest.Loop(t, 1<<30, 512)
		s := spec(dev)
		s.Service, s.Hostname = asked, "web1"
		if err := Run(t.Context(), s, img, []job.Disk{found(t, dev, "D1")}, &journal{}, o); err != nil {
			t.Fatal(err)
		}
		mounted(t, dev, func(top string) {
			root := filepath.Join(top, "@roots/web-20261120.1@amd64")
			unit := map[bool]string{true: resident.Unit}[asked]
			checkFiles(t, root, map[string]string{"etc/systemd/system/griddle-agent.service": unit,
				"etc/systemd/system/multi-user.target.wants/griddle-agent.service": unit})
			file := filepath.Join(top, "@persistent/griddle/agent.json")
			b, err := os.ReadFile(file)
			if !asked {
				if err == nil {
					t.Errorf("without the service there is %s", b)
				}
				return
			}
			var got resident.Config
			if err == nil {
				err = json.Unmarshal(b, &got)
			}
			if err != nil || got.Machine != "web1" || got.Site.HTTPS != o.Site.HTTPS ||
				got.Site.Catalog != o.Site.Catalog || got.Installed.IsZero() {
				t.Errorf("the service's configuration is %s, %v", b, err)
			}
			checkFiles(t, top, nil, "@persistent/griddle/agent.json")
		})
	}
}
