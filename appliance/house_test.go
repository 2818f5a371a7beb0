package appliance

import (
	"encoding/json"
	"errors"
	"io"
	"os/exec"
	"path"
	"slices"
	"strings"
	"testing"
)

// rule says what the packages below from must not import, not even through others. Conformance suites, the packages
// whose names end in "test", are tests and have no rules.
type rule struct {
	from   string   // package, or "dir/..." for it and all below
	itself bool     // only what the package imports itself counts
	except []string // packages below from that the rule leaves alone
	never  []string // packages or "dir/..."
	only   []string // of ours, it imports these and no others; nil for any
	why    string
}

// house is "Who may know whom" of docs/ARCHITECTURE.md.
var house = []rule{
	{from: "griddle/imagestore/sendstream", never: []string{"griddle/..."}, why: "a format knows no other package"},
	{from: "griddle/imagestore/document",
		only: []string{"griddle/imagestore/minisign", "griddle/imagestore/ref", "griddle/imagestore/packages",
			"griddle/imagestore/blob", "griddle/imagestore/sendstream", "griddle/imagestore/durable"},
		why: "what is signed is checked the same by everyone: agent, store and command line"},
	{from: "griddle/imagestore/head", only: []string{"griddle/imagestore/document", "griddle/imagestore/minisign",
		"griddle/imagestore/ref", "griddle/imagestore/packages", "griddle/imagestore/blob",
		"griddle/imagestore/sendstream", "griddle/imagestore/durable"},
		why: "a head is checked by machines that know no catalog"},
	{from: "griddle/imagestore/encoding", never: []string{"griddle/imagestore", "griddle/imagestore/head",
		"griddle/imagestore/receive"}, why: "frames know a stream's pieces, and no catalog"},
	{from: "griddle/imagestore/fetch", never: []string{"griddle/imagestore", "griddle/imagestore/head",
		"griddle/imagestore/receive", "net/http/httptest"}, why: "a machine that fetches knows no store"},
	{from: "griddle/imagestore/catalog", never: []string{"griddle/imagestore", "griddle/imagestore/receive",
		"griddle/imagestore/source"}, why: "the catalog says what there is, and makes nothing"},
	{from: "griddle/imagestore/catalog", itself: true, never: []string{"net/http"},
		why: "the server of it is above it"},
	{from: "griddle/imagestore", never: []string{"griddle/imagestore/remote", "griddle/imagestore/mirror"},
		why: "a store does not know who serves it"},
	{from: "griddle/initramfs/...", never: []string{"griddle/imagestore/remote", "griddle/imagestore/mirror"},
		why: "a machine fetches a plan, and no store"},
	{from: "griddle/imagestore/remote", never: []string{"griddle/imagestore/mirror"},
		why: "a server and its client know no other store"},
	{from: "griddle/imagestore/tarball", never: []string{"griddle/imagestore", "griddle/imagestore/catalog"},
		why: "an archive is of a tree, whatever image that is"},
	{from: "griddle/imagestore/ref", only: []string{"griddle/imagestore/packages"},
		why: "a name is text, whatever it names"},
	{from: "griddle/imagestore/minisign", only: []string{"griddle/imagestore/durable"},
		why: "minisign's formats know nothing of images"},
	{from: "griddle/imagestore/multicast/datagram", never: []string{"griddle/..."},
		why: "a format knows no other package"},
	{from: "griddle/imagestore/multicast/parity", never: []string{"griddle/..."}, why: "a code knows no other package"},
	{from: "griddle/imagestore/multicast/...", never: []string{
		"griddle/imagestore", "griddle/imagestore/receive", "griddle/imagestore/sendstream",
	}, why: "multicast moves blobs, whatever is in them"},
	{from: "griddle/imagestore/multicast", never: []string{
		"griddle/imagestore/multicast/sender/...", "griddle/imagestore/multicast/receiver/...",
		"griddle/imagestore/multicast/relay/...", "griddle/imagestore/multicast/fetcher/...",
		"griddle/imagestore/multicast/coordinator/...",
	}, why: "what all sides share knows none of them"},
	{from: "griddle/imagestore/multicast/watchdog", never: []string{
		"griddle/imagestore/multicast", "griddle/imagestore/multicast/...",
	}, why: "any reader may want it"},
	{from: "griddle/imagestore/multicast/sender", never: []string{
		"griddle/imagestore/multicast/receiver", "griddle/imagestore/multicast/relay",
		"griddle/imagestore/multicast/fetcher",
		"griddle/imagestore/multicast/coordinator",
	}, why: "a sender does not know who ordered it"},
	{from: "griddle/imagestore/multicast/receiver", never: []string{
		"griddle/imagestore/multicast/sender", "griddle/imagestore/multicast/relay",
		"griddle/imagestore/multicast/fetcher",
		"griddle/imagestore/multicast/coordinator",
	}, why: "a machine that receives does not send"},
	{from: "griddle/imagestore/multicast/fetcher", never: []string{
		"griddle/imagestore/multicast/sender", "griddle/imagestore/multicast/relay",
		"griddle/imagestore/multicast/coordinator",
	}, why: "relaying is given to it: who only fetches does not send"},
	{from: "griddle/imagestore/multicast/coordinator", never: []string{
		"griddle/imagestore/multicast/receiver", "griddle/imagestore/multicast/relay",
		"griddle/imagestore/multicast/fetcher",
	}, why: "the host that sends does not receive"},
	{from: "griddle/netboot/dhcp", never: []string{"griddle/..."}, why: "a protocol knows no other package"},
	{from: "griddle/netboot/tftp", never: []string{"griddle/..."}, why: "a protocol knows no other package"},
	{from: "griddle/netboot/lease", never: []string{"griddle/..."}, why: "leases are addresses and time"},
	{from: "griddle/netboot/bootscript", never: []string{"griddle/..."}, why: "a format knows no other package"},
	{from: "griddle/initramfs/disk", never: []string{"griddle/..."}, why: "disks are what the kernel says"},
	{from: "griddle/initramfs/kmod", never: []string{"griddle/..."}, why: "modules are loaded the same, whoever asks"},
	{from: "griddle/initramfs/console", only: []string{"griddle/appliance/site"},
		why: "a terminal is the same, whatever is drawn on it; the site gives the keymap"},
	{from: "griddle/initramfs/sysroot", never: []string{"griddle/..."},
		why: "a tree is written the same way, whatever it gets"},
	{from: "griddle/appliance/firewall", never: []string{"griddle/..."},
		why: "the rules are the same for servers in clouds and for machines"},
	{from: "griddle/initramfs/setting", only: []string{"griddle/appliance/setting", "griddle/appliance/job",
		"griddle/appliance/firewall", "griddle/initramfs/sysroot"},
		why: "settings are written the same by the installer and on the installed system"},
	{from: "griddle/initramfs/hardware", never: []string{"griddle/..."},
		why: "firmware is the same, whatever is installed"},
	{from: "griddle/appliance/quota", never: []string{"griddle/..."},
		why: "a limit knows no other package, so that all can use it"},
	{from: "griddle/appliance/glossary", never: []string{"griddle/..."},
		why: "words are found in text, whatever it describes"},
	{from: "griddle/appliance/httpserver", never: []string{"griddle/appliance", "griddle/appliance/api",
		"griddle/appliance/fleet", "griddle/imagestore/..."}, why: "slow clients are the same whatever is served"},
	{from: "griddle/appliance/job", never: []string{"griddle/..."}, why: "the contract is what both sides can know"},
	{from: "griddle/appliance/setting", only: []string{"griddle/appliance/job"},
		why: "settings mean the same on machines and in clouds, and both sides check them"},
	{from: "griddle/appliance/setting", never: []string{"github.com/goccy/..."},
		why: "only the server and the command line read YAML"},
	{from: "griddle/appliance/setting/configurator",
		only: []string{"griddle/appliance/setting", "griddle/appliance/job"},
		why:  "what runs Puppet or Ansible is the same on machines and in clouds"},
	{from: "griddle/appliance/setting/settingfile",
		only: []string{"griddle/appliance/setting", "griddle/appliance/job", "griddle/cloud/yamltree"},
		why:  "settings are read from YAML in one place, for the server and the command line"},
	{from: "griddle/initramfs/...", never: []string{"griddle/appliance/setting/settingfile"},
		why: "settings travel as JSON, and machines read no YAML"},
	{from: "griddle/appliance/site", never: []string{"griddle/..."}, why: "the contract is what both sides can know"},
	{from: "griddle/appliance", itself: true, never: []string{"griddle/initramfs/..."},
		why: "the server makes the site's part of the boot image by its contract, and knows nothing of the rest"},
	{from: "griddle/netboot/...",
		never: []string{"griddle/appliance/...", "griddle/imagestore/...", "griddle/initramfs/...", "griddle/tui/..."},
		why:   "netboot knows machines and boot specs; Booter is its one seam"},
	{from: "griddle/imagestore/...",
		never: []string{"griddle/appliance/...", "griddle/netboot/...", "griddle/initramfs/...", "griddle/tui/..."},
		why:   "the store does not know who asks"},
	{from: "griddle/tui/...", never: []string{"griddle/appliance", "griddle/appliance/fleet", "griddle/appliance/api",
		"griddle/netboot/...", "griddle/imagestore/...", "griddle/initramfs/..."},
		why: "the screens know the contract and draw it"},
	{from: "griddle/tui", itself: true, never: []string{"net/http", "os/exec", "database/sql"},
		why: "the screens do no I/O of their own"},
	{from: "griddle/initramfs/...", never: []string{"griddle/netboot/...", "griddle/appliance",
		"griddle/appliance/fleet", "griddle/appliance/api", "griddle/appliance/griddle", "modernc.org/..."},
		why: "the agent stays small, and the machine's side knows the server by the contract alone"},
	{from: "griddle/initramfs/install", itself: true, never: []string{"net/http", "griddle/imagestore/blob"},
		why: "install gets verified bytes, never a URL"},
	{from: "griddle/appliance/fleet",
		never: []string{"griddle/imagestore/...", "griddle/initramfs/...", "griddle/appliance/api", "griddle/tui/..."},
		why:   "machines and jobs are below the API, and name images without opening them"},
	{from: "griddle/appliance/api",
		never: []string{"griddle/imagestore/...", "griddle/initramfs/...", "griddle/tui/..."},
		why:   "the API asks for images through its own interface"},
	{from: "griddle/appliance/config",
		never: []string{"griddle/appliance", "griddle/appliance/api", "griddle/imagestore/...",
			"griddle/initramfs/...", "griddle/tui/..."}, why: "a configuration is read and checked without a server"},
	{from: "griddle/appliance/griddle/cli", never: []string{"griddle/appliance/griddle/..."},
		why: "flags, output and errors mean the same in every command, so they know none of them"},
	{from: "griddle/...", except: []string{"griddle/appliance/griddle/..."},
		never: []string{"griddle/appliance/griddle/..."},
		why:   "commands are for people: a program calls what is behind them"},
	{from: "griddle/cloud/userdata", never: []string{"griddle/..."},
		why: "a format knows no others; its YAML comes as values"},
	{from: "griddle/cloud/userdata/pyyaml", only: []string{"griddle/cloud/yamltree"},
		why: "what PyYAML reads is the same, whatever is made of it"},
	{from: "griddle/cloud/userdata/seed", never: []string{"griddle/..."},
		why: "a disk for cloud-init is the same for all providers"},
	{from: "griddle/cloud/userdata/declared", only: []string{"griddle/appliance/setting",
		"griddle/appliance/setting/configurator", "griddle/appliance/job", "griddle/appliance/firewall",
		"griddle/cloud/userdata",
		"griddle/cloud/userdata/pyyaml", "griddle/cloud/userdata/secure", "griddle/cloud/userdata/seed",
		"griddle/cloud/yamltree"},
		why: "settings become the same user-data, whatever machine or provider gets it"},
	{from: "griddle/cloud/audit", never: []string{"griddle/..."},
		why: "an audit knows what it sees, not how it came about"},
	{from: "griddle/cloud/userdata/secure", itself: true, never: []string{"griddle/cloud", "griddle/cloud/stack",
		"griddle/cloud/provider"}, why: "what a server is told is the same for all providers"},
	{from: "griddle/cloud/diskimage", itself: true, never: []string{"griddle/cloud", "griddle/cloud/stack",
		"griddle/cloud/provider"}, why: "a disk is the same for all that boot it"},
	{from: "griddle/...", except: []string{"griddle/cloud/yamltree", "griddle/cloud/provider/openstack",
		"griddle/appliance/griddle/cli"}, itself: true,
		never: []string{"github.com/goccy/..."}, why: "one reader has the bounds and the places; cli only writes, " +
			"and the library of OpenStack reads its own file"},
	{from: "griddle/cloud/yamltree", never: []string{"griddle/..."},
		why: "YAML is the same for every format that is written in it"},
	{from: "griddle/cloud/setup", only: []string{"griddle/cloud/yamltree", "griddle/cloud/stack",
		"griddle/imagestore/durable"}, why: "questions lead to a file, and make no server"},
	{from: "griddle/cloud/stack", only: []string{"griddle/cloud/yamltree"},
		why: "a format knows only what it is written in"},
	{from: "griddle/cloud/diskimage/tree", never: []string{"griddle/..."},
		why: "from one archive to another, whatever becomes of it"},
	{from: "griddle/cloud/diskimage/program", never: []string{"griddle/..."},
		why: "a tool is run the same way, whatever it makes"},
	{from: "griddle/cloud/diskimage/...", except: []string{"griddle/cloud/diskimage"},
		never: []string{"griddle/cloud/diskimage", "griddle/imagestore"},
		why:   "the parts of a disk know neither the catalog nor the cache"},
	{from: "griddle/cloud/provider/qemu/qmp", never: []string{"griddle/..."},
		why: "a protocol knows no other package, so that the tests' machines speak it too"},
	{from: "griddle/cloud/provider", never: []string{"griddle/..."}, why: "the interface is what both sides can know"},
	{from: "griddle/cloud/provider/...", itself: true,
		never: []string{"griddle/cloud", "griddle/cloud/stack", "griddle/cloud/userdata", "griddle/cloud/diskimage"},
		why:   "a provider makes what it is told, whatever stack it is of"},
	{from: "griddle/cloud/plan", itself: true, never: []string{"griddle/cloud", "net/http", "os", "os/exec"},
		why: "a plan is made from values alone"},
	{from: "griddle/cloud/bootreport", never: []string{"griddle/..."},
		why: "what servers write is the same for all readers"},
	{from: "griddle/cloud/provider/retry", only: []string{"griddle/cloud/provider"},
		why: "a call is repeated the same way, whatever it is for"},
	{from: "griddle/cloud/state", never: []string{"griddle/cloud", "griddle/cloud/plan"},
		why: "what is kept does not decide what happens"},
	{from: "griddle/cloud", never: []string{"griddle/cloud/provider/qemu/...", "griddle/cloud/provider/lxd/...",
		"griddle/cloud/provider/openstack/...", "griddle/cloud/provider/ec2/...", "griddle/cloud/diskimage",
		"griddle/cloud/userdata"}, why: "only mains build concrete providers and images"},
	{from: "griddle/cloud/...", never: []string{"griddle/appliance", "griddle/appliance/api", "griddle/appliance/fleet",
		"griddle/netboot/...", "griddle/tui/..."},
		why: "clouds are made from the catalog, and know no appliance"},
	{from: "griddle/imagestore/...", never: []string{"griddle/cloud/..."}, why: "the store does not know who asks"},
	{from: "griddle/initramfs/...", never: []string{"griddle/cloud/..."}, why: "the agent stays small"},
	{from: "griddle/...", except: []string{"griddle/appliance/e2e/..."},
		never: []string{"griddle/appliance/e2e/...", "testing"},
		why:   "no program carries the tests"},
}

// shapeless names say nothing of what a package is for.
var shapeless = []string{"util", "utils", "common", "helper", "helpers", "misc", "base", "shared", "lib", "pkg", "core",
	"types", "models", "tools"}

type listed struct {
	ImportPath, Name, Doc string
	Imports, Deps         []string
	Error                 *struct{ Err string }
}

// TestHouse keeps the import rules. It is one run of the Go tool over everything, tests left out.
func TestHouse(t *testing.T) {
	cmd := exec.CommandContext(t.Context(), "go", "list", "-e",
		"-json=ImportPath,Name,Doc,Imports,Deps,Error", "griddle/...")
	var stderr strings.Builder
	cmd.Stderr = &stderr
	out, err := cmd.Output()
	if err != nil {
		t.Fatalf("listing packages: %v\n%s", err, stderr.String())
	}
	seen := map[string]bool{}
	for d := json.NewDecoder(strings.NewReader(string(out))); ; {
		var p listed
		if err := d.Decode(&p); errors.Is(err, io.EOF) {
			break
		} else if err != nil {
			t.Fatal(err)
		}
		seen[p.ImportPath] = true
		if p.Doc == "" && p.Error == nil && p.Name != "" {
			t.Errorf("%s has no package comment", p.ImportPath)
		}
		if slices.Contains(shapeless, path.Base(p.ImportPath)) || slices.Contains(shapeless, p.Name) {
			t.Errorf("%s: the name %q says nothing of what the package is for", p.ImportPath, path.Base(p.ImportPath))
		}
		for _, r := range house {
			if !below(p.ImportPath, r.from) || strings.HasSuffix(p.Name, "test") ||
				slices.ContainsFunc(r.except, func(e string) bool { return below(p.ImportPath, e) }) {
				continue
			}
			deps := p.Deps
			if r.itself {
				deps = p.Imports
			}
			for _, dep := range deps {
				within := func(pattern string) bool { return below(dep, pattern) }
				other := r.only != nil && below(dep, "griddle/...") && !slices.ContainsFunc(r.only, within)
				if dep != p.ImportPath && (other || slices.ContainsFunc(r.never, within)) {
					how := "through others"
					if slices.Contains(p.Imports, dep) {
						how = "itself"
					}
					t.Errorf("%s imports %s (%s): %s", p.ImportPath, dep, how, r.why)
				}
			}
		}
	}
	for _, r := range house {
		if from := strings.TrimSuffix(r.from, "/..."); !seen[from] && from != "griddle" && from == r.from {
			t.Errorf("there is a rule for %s, which does not exist", from)
		}
	}
}

// below says whether pkg is pattern, or below it where it ends in "/...".
func below(pkg, pattern string) bool {
	dir, all := strings.CutSuffix(pattern, "/...")
	return pkg == dir || all && strings.HasPrefix(pkg, dir+"/")
}
