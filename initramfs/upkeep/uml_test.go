package upkeep

import (
	"crypto/ed25519"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"net/netip"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"griddle/appliance/authority"
	"griddle/appliance/job"
	"griddle/appliance/site"
	"griddle/imagestore/minisign"
	"griddle/initramfs/machinekey"
	"griddle/initramfs/pool"
	"griddle/initramfs/resident"
	"griddle/initramfs/resident/contact"
	"griddle/initramfs/resident/order"
	"griddle/initramfs/subvolume"
	"griddle/initramfs/umltest"
	"griddle/initramfs/update"
)

// serverEnv makes the test program the server of a site, in a system of TestSystem; it names its folder.
const serverEnv = "GRIDDLE_TEST_SERVER"

// serverUnit starts it, and what else the system needs.
const serverUnit = `[Unit]
Before=griddle-agent.service
[Service]
Environment=` + serverEnv + `=/persistent/server
ExecStart=/usr/lib/test-server
StandardOutput=journal+console
[Install]
WantedBy=multi-user.target
`

// mountUnit mounts @persistent. A line of fstab would wait for udev, which these systems do without.
const mountUnit = `[Unit]
DefaultDependencies=no
After=scan.service
Before=sysinit.target
[Service]
Type=oneshot
RemainAfterExit=yes
ExecStart=/bin/mount -t btrfs -o subvol=@persistent /dev/ubda3 /persistent
`

const umlJob = "5b2f0a4e-7a1c-4d3e-9f00-0123456789ab"

// serve is a site whose server orders an update, refuses the way to its image, and ends when it hears of that.
func serve(dir string) error {
	a, err := authority.Open(dir, netip.MustParseAddr("127.0.0.1"), nil, time.Now)
	if err != nil {
		return err
	}
	http.HandleFunc("POST "+job.CheckInPath, func(w http.ResponseWriter, r *http.Request) {
		var in job.CheckIn
		out := job.CheckedIn{Time: time.Now(), Machine: "web1", Next: 60}
		if err := json.NewDecoder(r.Body).Decode(&in); err != nil {
			fmt.Println("SERVER:", err)
		}
		if in.Job == nil {
			out.Job = &job.Spec{ID: umlJob, Kind: job.Update, Image: job.Image{Ref: "web:2@amd64"}}
		}
		b, _ := json.Marshal(in)
		fmt.Printf("SERVER: checked in: %s\n", b)
		json.NewEncoder(w).Encode(out)
		if in.Job != nil && in.Job.State == job.Failed && len(in.Roots) > 0 {
			fmt.Println("SERVER: heard all", changeLate())
			_ = exec.Command("systemctl", "--no-block", "poweroff").Run()
		}
	})
	http.HandleFunc("POST "+job.PlanPath, func(w http.ResponseWriter, _ *http.Request) {
		w.WriteHeader(http.StatusConflict)
		json.NewEncoder(w).Encode(job.NewProblem(http.StatusConflict, "the pool of web1 is not known here"))
	})
	s := &http.Server{Addr: "127.0.0.1:8443", TLSConfig: a.TLSConfig()}
	return s.ListenAndServeTLS("", "")
}

// changeLate has the root two wait for its first start, as after an update, and then changes the one that runs. The
// unit that does its work at the shutdown hands that over.
func changeLate() error {
	place, err := pool.Here()
	if err != nil {
		return err
	}
	p, err := pool.Open(place)
	if err != nil {
		return err
	}
	defer p.Close()
	roots, made := filepath.Join(p.Dir(), "@roots"), filepath.Join(p.Dir(), update.Folder)
	return errors.Join(subvolume.Snapshot(roots+"/one", roots, "two"), os.MkdirAll(made, 0o700),
		subvolume.Snapshot(roots+"/one", made, ".old"),
		os.WriteFile("/persistent/griddle/refresh.json", []byte(`{"root":"two","old":"one"}`), 0o600),
		p.Switch("two"), os.MkdirAll("/root/.ssh", 0o700),
		os.WriteFile("/root/.ssh/authorized_keys", []byte("changed late\n"), 0o600))
}

// TestSystem runs an installed system with its units: the service, in its sandbox, leaves the server's order; systemd
// starts what carries it out; and the service reports what came of it, and the roots of the pool, which it cannot
// read itself. At the shutdown a root that waits for its first start gets what was changed meanwhile.
func TestSystem(t *testing.T) {
	m := umltest.New(t, 2<<30, "one")
	m.Fill(t, func(top string) {
		root := umltest.Root(t, top, "one")
		build := exec.Command("go", "build", "-ldflags=-s -w", "-o",
			filepath.Join(root.Name(), "usr/lib/griddle/griddle-agent"), "griddle/initramfs/griddle-agent")
		if out, err := build.CombinedOutput(); err != nil {
			t.Fatalf("building the agent: %v: %s", err, out)
		}
		self, err := os.Open("/proc/self/exe")
		if err != nil {
			t.Fatal(err)
		}
		defer self.Close()
		const units = "etc/systemd/system/"
		err = errors.Join(resident.Install(root), root.Copy("usr/lib/test-server", self, 0o755),
			root.Write("boot/vmlinuz-6.1.0", []byte("a kernel"), 0o644),
			root.Write(units+"test-server.service", []byte(serverUnit), 0o644),
			root.ReplaceLink("../test-server.service", units+"multi-user.target.wants/test-server.service"),
			root.Write(units+"test-persistent.service", []byte(mountUnit), 0o644),
			root.ReplaceLink("../test-persistent.service", units+"sysinit.target.wants/test-persistent.service"),
			site1(filepath.Join(top, "@persistent")))
		if err != nil {
			t.Fatal(err)
		}
	})
	_, console := m.Start(t)
	for _, want := range []string{`"features":["update"`, `"state":"failed"`, "the pool of web1 is not known here",
		`"roots":[{"name":"one","runs":true,`, "SERVER: heard all <nil>"} {
		if !strings.Contains(console, want) {
			t.Errorf("the console does not say %q", want)
		}
	}
	m.Fill(t, func(top string) {
		dir := filepath.Join(top, "@persistent/griddle")
		orders := order.Open(dir, t.TempDir())
		if w, err := orders.Waiting(); w != nil || err != nil {
			t.Errorf("the order is %+v, %v", w, err)
		}
		if r := orders.Result(); r == nil || r.Job != umlJob || r.State != order.Failed {
			t.Errorf("the result is %+v", r)
		}
		if _, err := os.Stat(filepath.Join(dir, "order.json")); err == nil {
			t.Error("the order is still there")
		}
		late := filepath.Join(top, "@roots/two/root/.ssh/authorized_keys")
		if b, err := os.ReadFile(late); err != nil || string(b) != "changed late\n" {
			t.Errorf("the root that starts next has of what changed last %q, %v", b, err)
		}
	})
	if t.Failed() {
		t.Log(console)
	}
}

// site1 leaves in @persistent what an install leaves, and the server's folder.
func site1(persistent string) error {
	server, dir := filepath.Join(persistent, "server"), filepath.Join(persistent, machinekey.Folder)
	if err := errors.Join(os.MkdirAll(server, 0o700), os.MkdirAll(dir, 0o755)); err != nil {
		return err
	}
	a, err := authority.Open(server, netip.MustParseAddr("127.0.0.1"), nil, time.Now)
	if err != nil {
		return err
	}
	root, err := os.OpenRoot(dir)
	if err != nil {
		return err
	}
	defer root.Close()
	key, err := job.NewKey()
	if err == nil {
		err = machinekey.Keep(root, key)
	}
	if _, ok := key.PrivateKey.(ed25519.PrivateKey); !ok || err != nil {
		return errors.Join(err, errors.New("no key"))
	}
	signer, err := minisign.GenerateKey()
	if err != nil {
		return err
	}
	conf, err := json.Marshal(contact.Config{Machine: "web1", Installed: time.Now().Add(-time.Hour), Site: site.Site{
		HTTP: "http://127.0.0.1:8080", HTTPS: "https://127.0.0.1:8443", CA: string(a.Bundle()),
		Catalog: site.Catalog{Key: signer.Public().String(), Seq: 1}}})
	if err != nil {
		return err
	}
	return os.WriteFile(filepath.Join(dir, contact.ConfigFile), conf, 0o600)
}
