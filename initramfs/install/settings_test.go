package install

import (
	"context"
	"crypto/ed25519"
	"crypto/tls"
	"encoding/json"
	"errors"
	"io/fs"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"griddle/appliance/job"
	"griddle/appliance/setting"
	"griddle/initramfs/disk"
	"griddle/initramfs/disk/disktest"
	"griddle/initramfs/machinekey"
)

// accounts is what a tree needs for users of the settings.
var accounts = map[string]string{
	"etc/passwd": "root:x:0:0:root:/root:/bin/bash\n", "etc/shadow": "root:*:19000:0:99999:7:::\n",
	"etc/group": "root:x:0:\n", "bin/bash": "a program", "etc/skel/.profile": "# hello\n",
	"etc/locale.gen": "# de_DE.UTF-8 UTF-8\n",
	"usr/sbin/locale-gen": "#!/bin/busybox sh\n" +
		"/bin/busybox hostname >/home/hostname\n/bin/busybox cp /etc/locale.gen /persistent/locale.gen\n",
	"etc/fstab": "LABEL=old /swap ext4 defaults 0 0\ntmpfs /swap tmpfs defaults 0 0\n",
	"etc/hosts": "127.0.0.1 localhost\n127.0.1.1 template\n", "home/alice/notes": "hers",
}

// What newroot leaves for cloud-init.
const (
	seedFolder  = "var/lib/cloud/seed/nocloud"
	sourcesFile = "etc/cloud/cloud.cfg.d/zz-griddle.cfg"
	sources     = `# Written by Griddle when this system was installed.
datasource_list: [NoCloud, None]
datasource:
  NoCloud:
    fs_label: null
network: null
`
)

const hash = "$6$saltsalt$0123456789"

// given are settings that a server sends as JSON.
func given(t testing.TB, text string) func(context.Context) (setting.Settings, error) {
	t.Helper()
	d, err := setting.Decode("machine", []byte(text))
	if err != nil {
		t.Fatal(err)
	}
	s, err := setting.Merge(d).Resolve(setting.Machine{})
	return func(context.Context) (setting.Settings, error) { return s, err }
}

const declaration = `{"hostname": "lab-1", "domain": "example.org", "locale": "de_DE.UTF-8",
	"swap": "16M", "args": ["quiet", "net.ifnames=0"],
	"users": [{"name": "ada", "passwordHash": "` + hash + `"}],
	"files": [{"path": "/etc/lab.key", "content": "x\n", "secret": true},
		{"path": "/home/ada/todo", "content": "sleep\n", "owner": "ada", "group": "ada"},
		{"path": "/persistent/lab", "content": "kept\n"}]}`

// mounted gives the top of the pool on dev to look, read-only.
func mounted(t *testing.T, dev string, look func(top string)) {
	t.Helper()
	node, err := disk.Node(dev, "/sys", 3)
	if err != nil {
		t.Fatal(err)
	}
	top := t.TempDir()
	disktest.Tool(t, "mount", "-o", "ro,subvolid=5", node, top)
	defer disktest.Tool(t, "umount", top)
	look(top)
}

// checkFiles compares files below dir, "" for one that must not exist, and that those of the secrets have mode 0600.
func checkFiles(t *testing.T, dir string, want map[string]string, secrets ...string) {
	t.Helper()
	for name, text := range want {
		b, err := os.ReadFile(filepath.Join(dir, name))
		if err != nil && text != "" || text == "" && !errors.Is(err, fs.ErrNotExist) || string(b) != text {
			t.Errorf("%s = %q, %v, want %q", name, b, err, text)
		}
	}
	for _, name := range secrets {
		if st, err := os.Stat(filepath.Join(dir, name)); err != nil || st.Mode() != 0o600 {
			t.Errorf("%s: %v, %v, want a file of mode 0600", name, st, err)
		}
	}
}

// TestSettings stops an install in its last phase, as a power cut does, and starts it again: the system is as
// declared, and the key of the boot is on the disk in both cases.
func TestSettings(t *testing.T) {
	busybox, err := os.ReadFile("/bin/busybox")
	if err != nil {
		t.Fatalf("%v (apt-get install busybox-static)", err)
	}
	tree := maps.Clone(accounts)
	tree["bin/busybox"] = string(busybox)
	img, o := small(t, tree), options(t)
	o.Settings = given(t, declaration)
	if o.Key, err = job.NewKey(); err != nil {
		t.Fatal(err)
	}
	dev := disktest.Loop(t, 1<<30, 512)
	ctx, cancel := context.WithCancel(t.Context())
	if err := Run(ctx, spec(dev), img, []job.Disk{found(t, dev, "D1")}, &journal{on: func(e job.Event) {
		if strings.HasPrefix(e.Message, "settings: ") || e.Phase == job.PhaseBootable {
			cancel()
		}
	}}, o); err == nil {
		t.Fatal("the install was not stopped")
	}
	mounted(t, dev, func(top string) { checkKey(t, top, o.Key) })

	j := &journal{}
	if err := Run(t.Context(), spec(dev), img, []job.Disk{found(t, dev, "D1")}, j, o); err != nil {
		t.Fatal(err)
	}
	if e := j.last(); !strings.HasSuffix(e.Message, " as lab-1") {
		t.Errorf("the last event is %q, want the hostname of the settings", e.Message)
	}
	mounted(t, dev, func(top string) {
		checkKey(t, top, o.Key)
		root := filepath.Join(top, "@roots/web-20261120.1@amd64")
		checkFiles(t, root, map[string]string{
			"etc/hostname": "lab-1\n", "etc/hosts": "127.0.0.1 localhost\n127.0.1.1\tlab-1.example.org lab-1\n",
			"etc/passwd": "root:x:0:0:root:/root:/bin/bash\nada:x:1000:1000::/home/ada:/bin/bash\n",
			"etc/shadow": "root:*:19000:0:99999:7:::\nada:" + hash + "::0:99999:7:::\n",
			// What is mounted there at its start is not below it.
			"home/ada": "", "persistent/lab": "", seedFolder: "", sourcesFile: "",
		}, "etc/lab.key")
		checkFiles(t, top, map[string]string{"@home/ada/.profile": "# hello\n", "@home/ada/todo": "sleep\n",
			"@home/alice/notes": "hers", "@persistent/lab": "kept\n",
			// A program of the image ran with all in its place.
			"@home/hostname": "lab-1\n", "@persistent/locale.gen": "de_DE.UTF-8 UTF-8\n"},
			"@persistent/griddle/machine.key")
	})
	mounted(t, dev, func(top string) {
		fstab, err := os.ReadFile(filepath.Join(top, "@roots/web-20261120.1@amd64/etc/fstab"))
		if err != nil || strings.Count(string(fstab), " /swap ") != 1 ||
			!strings.Contains(string(fstab), "subvol=/@swap") ||
			!strings.Contains(string(fstab), "/swap/swapfile none swap") {
			t.Errorf("fstab = %s, %v", fstab, err)
		}
		if st, err := os.Stat(filepath.Join(top, "@swap/swapfile")); err != nil || st.Size() != 16<<20 {
			t.Errorf("the swap file: %v, %v, want 16 MiB", st, err)
		}
	})
	esp, err := disk.Node(dev, "/sys", 2)
	if err != nil {
		t.Fatal(err)
	}
	if grub := disktest.Tool(t, "mtype", "-i", esp, "::/griddle/grub.cfg"); !strings.Contains(grub,
		"'net.ifnames=0' 'quiet'") ||
		strings.Count(grub, "net.ifnames=0") != strings.Count(grub, "quiet") {
		t.Errorf("the kernel arguments of the job and then of the settings, each once, are not in\n%s", grub)
	}
	if out := disktest.Tool(t, "findmnt", "-rn", "-o", "TARGET"); strings.Contains(out, o.Mount) {
		t.Errorf("something is still mounted below %s:\n%s", o.Mount, out)
	}

	// Once more, as if the report were lost: a finished install asks for no settings.
	o.Settings = func(context.Context) (setting.Settings, error) { return setting.Settings{}, errors.New("asked") }
	if err := Run(t.Context(), spec(dev), img, []job.Disk{found(t, dev, "D1")}, &journal{}, o); err != nil {
		t.Errorf("Run of a finished job = %v", err)
	}
}

func checkKey(t *testing.T, top string, want tls.Certificate) {
	t.Helper()
	dir, err := os.OpenRoot(filepath.Join(top, "@persistent", machinekey.Folder))
	if err != nil {
		t.Error(err)
		return
	}
	defer dir.Close()
	if got, err := machinekey.Load(dir); err != nil || !slices.Equal(
		got.PrivateKey.(ed25519.PrivateKey), want.PrivateKey.(ed25519.PrivateKey)) {
		t.Errorf("the key on the disk is not the boot's, %v", err)
	}
}

// TestCloudInit: an image with cloud-init gets a seed, which root alone can read, and nothing else.
func TestCloudInit(t *testing.T) {
	tree := map[string]string{"usr/bin/cloud-init": "a program", "etc/cloud/cloud.cfg.d/90_dpkg.cfg": "x\n",
		seedFolder + "/user-data": "the template's"}
	maps.Copy(tree, accounts)
	img, o := small(t, tree), options(t)
	o.Settings = given(t, strings.Replace(declaration, "{", `{"network": {"interfaces": [{"name": "lan0",
		"mac": "52:54:00:00:00:77", "addresses": ["192.0.2.7/24"]}]},`, 1))
	dev := disktest.Loop(t, 1<<30, 512)
	if err := Run(t.Context(), spec(dev), img, []job.Disk{found(t, dev, "D1")}, &journal{}, o); err != nil {
		t.Fatal(err)
	}
	mounted(t, dev, func(top string) {
		root := filepath.Join(top, "@roots/web-20261120.1@amd64")
		checkFiles(t, root, map[string]string{"etc/passwd": accounts["etc/passwd"], "etc/hostname": "lab-1\n",
			"etc/lab.key": "", sourcesFile: sources}, seedFolder+"/user-data", seedFolder+"/meta-data",
			seedFolder+"/network-config")
		if st, err := os.Stat(filepath.Join(root, seedFolder)); err != nil || st.Mode().Perm() != 0o700 {
			t.Errorf("/%s: %v, %v, want mode 0700", seedFolder, st, err)
		}
		if st, err := os.Stat(filepath.Join(root, "var/lib/cloud")); err != nil || st.Mode().Perm() != 0o755 {
			t.Errorf("/var/lib/cloud: %v, %v, want mode 0755", st, err)
		}
		b, err := os.ReadFile(filepath.Join(root, seedFolder, "meta-data"))
		var meta map[string]string
		if err := errors.Join(err, json.Unmarshal(b, &meta)); err != nil || meta["instance-id"] != jobID ||
			meta["local-hostname"] != "lab-1" {
			t.Errorf("meta-data = %s, %v", b, err)
		}
		b, err = os.ReadFile(filepath.Join(root, seedFolder, "user-data"))
		if err != nil || !strings.HasPrefix(string(b), "#cloud-config") || !strings.Contains(string(b), hash) ||
			strings.Contains(string(b), "swap='1") {
			t.Errorf("user-data = %s, %v", b, err)
		}
	})
}

// TestWrongSettings: settings that cannot be applied end the job before anything is written.
func TestWrongSettings(t *testing.T) {
	o := options(t)
	plain, cloudInit := small(t, accounts), small(t, map[string]string{"usr/bin/cloud-init": "a program"})
	dev := disktest.Loop(t, 1<<30, 512)
	blank := sum(t, dev)
	direct := func(s setting.Settings) func(context.Context) (setting.Settings, error) {
		return func(context.Context) (setting.Settings, error) { return s, nil }
	}
	long := make([]string, 8)
	for i := range long {
		long[i] = strings.Repeat("x", 180) + string(rune('a'+i))
	}
	full := spec(dev)
	full.Args = append(full.Args, "y="+strings.Repeat("y", 200))
	lost := errors.New("the server refused")
	for name, c := range map[string]struct {
		spec     job.Spec
		img      Image
		settings func(context.Context) (setting.Settings, error)
		want     string
	}{
		"not got": {spec(dev), plain, func(context.Context) (setting.Settings, error) {
			return setting.Settings{Hostname: "x"}, lost
		}, lost.Error()},
		"not valid": {spec(dev), plain, direct(setting.Settings{Hostname: "../x"}),
			`hostname: "../x" is not a hostname`},
		"many args": {full, plain, direct(setting.Settings{Args: long}), "the limit is 1536"},
		"much swap": {spec(dev), plain, direct(setting.Settings{Swap: 1 << 30}), "needs 1.88 GB"},
		"user-data": {spec(dev), cloudInit, direct(setting.Settings{UserData: "#cloud-config\nusers: [\n"}),
			"userData"},
	} {
		j := &journal{}
		o.Settings = c.settings
		err := Run(t.Context(), c.spec, c.img, []job.Disk{found(t, dev, "D1")}, j, o)
		if err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s: Run = %v, want %q in it", name, err, c.want)
		}
		if e := j.last(); e.State != job.Failed || e.Phase != job.PhaseCheck ||
			!strings.HasSuffix(e.Message, "nothing was written to disk") || len(j.started) > 0 {
			t.Errorf("%s: the last event is %+v", name, e)
		}
	}
	if sum(t, dev) != blank {
		t.Error("the disk has changed")
	}
	// User-data is for cloud-init alone.
	j := &journal{}
	o.Settings = direct(setting.Settings{UserData: "#cloud-config\nusers: [\n"})
	if err := Run(t.Context(), spec(dev), plain, []job.Disk{found(t, dev, "D1")}, j, o); err != nil ||
		!slices.ContainsFunc(j.events, func(e job.Event) bool {
			return e.Level == job.Warning && strings.Contains(e.Message, "userData has no effect")
		}) {
		t.Errorf("user-data without cloud-init: %v, %+v", err, j.events)
	}
}

// TestNotes: what has no effect is a warning to the operator.
func TestNotes(t *testing.T) {
	img, o := small(t, accounts), options(t)
	o.Settings = given(t, `{"users": [{"name": "ada", "shell": "/bin/none"}]}`)
	dev := disktest.Loop(t, 1<<30, 512)
	j := &journal{}
	if err := Run(t.Context(), spec(dev), img, []job.Disk{found(t, dev, "D1")}, j, o); err != nil {
		t.Fatal(err)
	}
	if !slices.ContainsFunc(j.events, func(e job.Event) bool {
		return e.Level == job.Warning && e.Phase == job.PhaseBootable && strings.Contains(e.Message, "/bin/none")
	}) {
		t.Errorf("no warning about the shell in %+v", j.events)
	}
}
