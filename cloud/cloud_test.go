package cloud

import (
	"cmp"
	"context"
	"errors"
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"

	"griddle/cloud/bootreport"
	"griddle/cloud/plan"
	"griddle/cloud/plan/plantest"
	"griddle/cloud/provider"
	"griddle/cloud/provider/providertest"
	"griddle/cloud/stack"
	"griddle/cloud/state"
)

var update = flag.Bool("update", false, "write goldens anew")

func golden(t *testing.T, name, got string) {
	t.Helper()
	path := filepath.Join("testdata", name)
	if *update {
		if err := os.MkdirAll("testdata", 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, []byte(got), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if got != string(want) {
		t.Errorf("%s: got\n%s\nwant\n%s", path, got, want)
	}
}

// images is a catalog of one template.
type images struct {
	mu     sync.Mutex
	stable string         // the version that web:stable means
	built  map[string]int // how often a version was built
	fault  error          // what Check says
}

func (i *images) Check(_ context.Context, version, arch string, servers []stack.Server, _ provider.Format) error {
	if !strings.HasPrefix(version, "web:") || arch != "amd64" || len(servers) == 0 {
		return fmt.Errorf("Check of %s for %s and %d servers", version, arch, len(servers))
	}
	return i.fault
}

func (i *images) Resolve(_ context.Context, ref, arch string) (string, error) {
	if ref != "web:stable" {
		return "", fmt.Errorf("there is no %s", ref)
	}
	return i.stable, nil
}

func (i *images) Build(_ context.Context, version, arch string, f provider.Format) (provider.Image, error) {
	i.mu.Lock()
	defer i.mu.Unlock()
	if i.built == nil {
		i.built = make(map[string]int)
	}
	i.built[version]++
	n := 0
	fmt.Sscanf(version, "web:%d", &n)
	image := *providertest.Blank(f, n)
	image.Name = strings.ReplaceAll(version, ":", "-") + "-" + arch
	return image, nil
}

// shell answers as servers would that the provider has.
type shell struct {
	m     *providertest.Memory
	mu    sync.Mutex
	ran   []string
	boot  map[string]int                               // how often a server has to be asked until it answers
	exits map[string]int                               // of cloud-init, by server
	slow  map[string]int                               // how often a rebooted server answers as it was before
	files map[string]string                            // what a server has, by "SERVER PATH"
	hook  func(t Target, command string) (bool, error) // may answer in its place
}

func (h *shell) Run(ctx context.Context, t Target, command string) ([]byte, int, error) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.ran = append(h.ran, t.Server+": "+command)
	if h.hook != nil {
		if done, err := h.hook(t, command); done {
			return nil, 0, err
		}
	}
	if _, ok := h.m.Server(t.Stack, t.Server); !ok {
		return nil, 0, errors.New("no route to host")
	}
	if h.boot[t.Server] > 0 {
		h.boot[t.Server]--
		return nil, 0, errors.New("connection refused")
	}
	for _, path := range []string{bootreport.Path, bootreport.CloudInitResult,
		bootreport.CloudInitStatus, bootreport.Log} {
		if strings.Contains(command, path) {
			if text, ok := h.files[t.Server+" "+path]; ok {
				return []byte(text), 0, nil
			}
			return nil, 1, nil
		}
	}
	switch {
	case command == bootedCommand:
		boots := 0
		for _, c := range h.m.Calls() {
			if c.Op == "control" && c.Name == t.Server && c.Action == provider.Reboot {
				boots++
			}
		}
		if boots > 0 && h.slow[t.Server] > 0 { // it still shuts down
			h.slow[t.Server]--
			boots--
		}
		return fmt.Appendf(nil, "boot-%d\n", boots), 0, nil
	case strings.Contains(command, "'/etc/token'"):
		return []byte("tok-en\n"), 0, nil
	case strings.Contains(command, "'/etc/cluster id'"):
		return []byte("c1\n"), 0, nil
	}
	return []byte("status: done\n"), h.exits[t.Server], nil
}

// bench is a Cloud over a Memory, with what it says.
type bench struct {
	*Cloud
	m     *providertest.Memory
	cat   *images
	sh    *shell
	said  *strings.Builder
	files string // directory of stack demo
}

func newBench(t testing.TB) *bench {
	// In memory: every step is synced, and the tests make thousands.
	dir, err := os.MkdirTemp("/dev/shm", "griddle-cloud-")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { os.RemoveAll(dir) })
	m := &providertest.Memory{Steps: 1}
	b := &bench{m: m, cat: &images{stable: "web:1"}, sh: &shell{m: m, boot: map[string]int{}, exits: map[string]int{}},
		said: new(strings.Builder)}
	b.files = filepath.Join(dir, "stacks", "demo")
	b.Cloud = &Cloud{
		State: state.Stacks{Dir: filepath.Join(dir, "stacks"), Identity: filepath.Join(dir, "identity")}, Provider: m,
		Images: b.cat, Shell: b.sh, Render: plantest.Render, Key: plantest.Key, Command: "griddle cloud test",
		Jitter: func() float64 { return 0.5 },
		Secrets: state.Secrets{Base: dir,
			Env: func(name string) (string, bool) { return "key of " + name, name == "API_KEY" }},
		Report: Printer(b.said),
	}
	return b
}

// up brings s up, and wants that to work.
func (b *bench) up(t testing.TB, s *stack.Stack) *plan.Plan {
	t.Helper()
	p, err := b.Up(t.Context(), s, Options{})
	if err != nil {
		t.Fatalf("Up = %v\n%s", err, b.said)
	}
	return p
}

// planned is the plan as printed.
func (b *bench) planned(t testing.TB, s *stack.Stack, all bool) string {
	t.Helper()
	p, err := b.Plan(t.Context(), s)
	if err != nil {
		t.Fatal(err)
	}
	return printed(t, p, all)
}

func printed(t testing.TB, p *plan.Plan, all bool) string {
	var out strings.Builder
	if err := p.Print(&out, all); err != nil {
		t.Fatal(err)
	}
	return out.String()
}

// output is what was said, with paths and identifiers that differ from run to run masked.
func (b *bench) output() string {
	return strings.ReplaceAll(b.said.String(), filepath.Dir(b.State.Dir), "DIR")
}

// standing describes what the provider has, without IDs.
func standing(m *providertest.Memory) string {
	all := m.All()
	names := make(map[string]string)
	for _, r := range all {
		names[r.ID] = r.Name
	}
	slices.SortFunc(all, func(a, b provider.Resource) int {
		return cmp.Or(cmp.Compare(a.Kind, b.Kind), cmp.Compare(a.Stack, b.Stack), cmp.Compare(a.Name, b.Name))
	})
	var out strings.Builder
	for _, r := range all {
		fmt.Fprintf(&out, "%s %s/%s %s", r.Kind, r.Stack, r.Name, r.State)
		if r.Private.IsValid() {
			fmt.Fprintf(&out, " at %v from %s", r.Private, names[r.Image])
		}
		if r.Bound != "" {
			fmt.Fprintf(&out, " of %s", names[r.Bound])
		}
		if r.Kind == provider.KindVolume {
			fmt.Fprintf(&out, " %d GiB", r.Size>>30)
		}
		out.WriteByte('\n')
	}
	return out.String()
}
