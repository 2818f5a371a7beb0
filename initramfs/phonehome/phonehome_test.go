package phonehome

import (
	"encoding/json"
	"encoding/pem"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"slices"
	"testing"

	"griddle/appliance/job"
	"griddle/initramfs/newroot"
)

const hostKey = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIMgER+oTq/ggOWnGoqhy6QkLlMK2+XvJBHehHinQ8WHT"

func TestRun(t *testing.T) {
	for _, c := range []struct {
		name    string
		answers []int
		fails   bool
	}{
		{"at once", []int{204}, false},
		{"the server starts late", []int{503, 204}, false},
		{"the token was used", []int{401}, true},
	} {
		t.Run(c.name, func(t *testing.T) {
			calls := 0
			var report job.HomeReport
			srv := httptest.NewTLSServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
				if got := r.Header.Get("Authorization"); got != "Bearer once" {
					t.Errorf("authorization = %q", got)
				}
				if err := json.NewDecoder(r.Body).Decode(&report); err != nil {
					t.Error(err)
				}
				w.WriteHeader(c.answers[min(calls, len(c.answers)-1)])
				calls++
			}))
			defer srv.Close()
			etc := t.TempDir()
			files := Files{Config: filepath.Join(etc, "griddle", "phone-home.json"), Etc: etc}
			link := filepath.Join(etc, "systemd/system/multi-user.target.wants/griddle-phone-home.service")
			ca := string(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: srv.Certificate().Raw}))
			conf, err := json.Marshal(newroot.PhoneHome{Home: job.Home{URL: srv.URL + job.HomePath, Token: "once"},
				CA: ca, Root: "@roots/web"})
			if err != nil {
				t.Fatal(err)
			}
			for path, data := range map[string]string{files.Config: string(conf),
				filepath.Join(etc, "machine-id"): "0123\n", link: "",
				filepath.Join(etc, "ssh/ssh_host_ed25519_key.pub"): hostKey + " root@web\n",
				filepath.Join(etc, "ssh/ssh_host_ecdsa_key.pub"):   "damaged\n",
				filepath.Join(etc, "ssh/authority.pub"):            hostKey[:len(hostKey)-2] + "UU\n"} {
				if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
					t.Fatal(err)
				}
				if err := os.WriteFile(path, []byte(data), 0o600); err != nil {
					t.Fatal(err)
				}
			}
			if err := Run(t.Context(), files); (err != nil) != c.fails {
				t.Errorf("Run = %v, want an error: %t", err, c.fails)
			}
			if calls != len(c.answers) {
				t.Errorf("called %d times, want %d", calls, len(c.answers))
			}
			if report.Root != "@roots/web" || report.MachineID != "0123" || report.Kernel == "" {
				t.Errorf("report = %+v", report)
			}
			if !slices.Equal(report.HostKeys, []string{hostKey}) {
				t.Errorf("host keys = %q", report.HostKeys)
			}
			for _, path := range []string{files.Config, link} {
				if _, err := os.Stat(path); !os.IsNotExist(err) {
					t.Errorf("%s is still there (%v)", path, err)
				}
			}
			if err := Run(t.Context(), files); err != nil {
				t.Errorf("the second time = %v, want nothing to do", err)
			}
		})
	}
}

// The address from which the server is reached is the first one.
func TestAddresses(t *testing.T) {
	if got := addresses(t.Context(), "https://127.0.0.1:8443/v1"); len(got) == 0 || got[0] != "127.0.0.1" {
		t.Errorf("addresses = %q", got)
	}
	if got := addresses(t.Context(), "https://[::1]:8443"); len(got) == 0 {
		t.Errorf("addresses = %q", got)
	}
}
