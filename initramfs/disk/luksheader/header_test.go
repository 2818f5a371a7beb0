package luksheader

import (
	"bytes"
	"crypto/sha256"
	"errors"
	"os"
	"path/filepath"
	"reflect"
	"slices"
	"strings"
	"testing"

	"griddle/initramfs/disk/disktest"
)

const volume = "5b2f0a4e-7a1c-4d3e-9f00-0123456789ab"

// made is a volume that cryptsetup made, in a file.
func made(t testing.TB, more ...string) *os.File {
	t.Helper()
	name := filepath.Join(t.TempDir(), "volume")
	key := name + ".key"
	if err := errors.Join(os.WriteFile(name, nil, 0o600), os.Truncate(name, 32<<20),
		os.WriteFile(key, []byte("correct horse"), 0o600)); err != nil {
		t.Fatal(err)
	}
	disktest.Tool(t, "cryptsetup", append([]string{"luksFormat", "--batch-mode", "--type", "luks2", "--uuid", volume,
		"--label", "griddle", "--key-file", key, "--pbkdf", "pbkdf2", "--pbkdf-force-iterations", "1000", name},
		more...)...)
	f, err := os.OpenFile(name, os.O_RDWR, 0)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { f.Close() })
	return f
}

// dumped is a line of what cryptsetup says of a volume. It takes one that has a copy which is not whole, and repairs
// it.
func dumped(t *testing.T, name, line string) string {
	t.Helper()
	for l := range strings.Lines(disktest.Tool(t, "cryptsetup", "luksDump", name)) {
		if v, ok := strings.CutPrefix(l, line+":"); ok {
			return strings.TrimSpace(v)
		}
	}
	t.Fatalf("cryptsetup says no %s of %s", line, name)
	return ""
}

// cryptsetup reads what SetSubsystem wrote, and Read what cryptsetup wrote.
func TestPeer(t *testing.T) {
	for _, more := range [][]string{nil, {"--luks2-metadata-size", "64k", "--luks2-keyslots-size", "1m"}} {
		f := made(t, more...)
		want := Header{UUID: volume, Label: "griddle"}
		if h, ok := Read(f); !ok || !reflect.DeepEqual(h, want) {
			t.Fatalf("Read = %+v, %v, want %+v", h, ok, want)
		}
		for _, s := range []string{"griddle:U:" + volume, "short", strings.Repeat("x", MaxSubsystem), ""} {
			if err := SetSubsystem(f, s); err != nil {
				t.Fatal(err)
			}
			want.Subsystem = s
			if h, ok := Read(f); !ok || !reflect.DeepEqual(h, want) {
				t.Errorf("Read = %+v, %v, want %+v", h, ok, want)
			}
			if s == "" {
				s = "(no subsystem)"
			}
			if got := dumped(t, f.Name(), "Subsystem"); got != s {
				t.Errorf("cryptsetup says subsystem %q, want %q", got, s)
			}
		}
		token := filepath.Join(t.TempDir(), "token")
		if err := os.WriteFile(token, []byte(`{"type":"of others","keyslots":["0"]}`),
			0o600); err != nil {
			t.Fatal(err)
		}
		disktest.Tool(t, "cryptsetup", "token", "import", "--json-file", token, f.Name())
		disktest.Tool(t, "cryptsetup", "config", "--subsystem", "theirs", f.Name())
		if h, ok := Read(f); !ok || h.Subsystem != "theirs" || !slices.Equal(h.Tokens, []string{"of others"}) {
			t.Errorf("Read of what cryptsetup wrote = %+v, %v", h, ok)
		}
		for _, s := range []string{strings.Repeat("x", MaxSubsystem+1), "a\x00b"} {
			if err := SetSubsystem(f, s); err == nil {
				t.Errorf("SetSubsystem(%q) = nil", s)
			}
		}
	}
}

var errCut = errors.New("the power was cut")

// cut takes some writes, the last of them only in part.
type cut struct {
	*os.File
	writes, part int
}

func (c *cut) WriteAt(b []byte, at int64) (int, error) {
	if c.writes--; c.writes < 0 {
		n, err := c.File.WriteAt(b[:min(c.part, len(b))], at)
		return n, errors.Join(err, errCut)
	}
	return c.File.WriteAt(b, at)
}

// Sync does not wait: TestPeer does.
func (c *cut) Sync() error { return nil }

// Cut at any place of any write, the volume has the old subsystem or the new one, for us and for cryptsetup, and all
// else of it stays. The next SetSubsystem makes both copies whole.
func TestIsCut(t *testing.T) {
	f := made(t)
	if err := SetSubsystem(f, "old"); err != nil {
		t.Fatal(err)
	}
	first, err := os.ReadFile(f.Name())
	if err != nil {
		t.Fatal(err)
	}
	for _, spoilt := range []int{-1, 0, 1} { // a copy that was not whole before
		for writes := range 3 {
			for _, part := range []int{0, 1, 512, 4096, 8192} {
				start := bytes.Clone(first[:32<<10])
				if spoilt >= 0 {
					start[spoilt*(16<<10)+300] ^= 1
				}
				if _, err := f.WriteAt(start, 0); err != nil {
					t.Fatal(err)
				}
				err := SetSubsystem(&cut{f, writes, part}, "new")
				h, ok := Read(f)
				if !ok || h.Label != "griddle" || h.UUID != volume || h.Subsystem != "old" && h.Subsystem != "new" ||
					err == nil && h.Subsystem != "new" {
					t.Fatalf("copy %d spoilt, after %d writes and %d bytes, and %v: %+v, %v", spoilt, writes, part, err,
						h, ok)
				}
				if part == 512 && spoilt < 1 {
					if got := dumped(t, f.Name(), "Subsystem"); got != h.Subsystem {
						t.Fatalf("copy %d spoilt, after %d writes: cryptsetup says %q, and Read %q", spoilt, writes,
							got, h.Subsystem)
					}
				}
				if err := SetSubsystem(&cut{f, 2, 0}, "old"); err != nil {
					t.Fatal(err)
				}
				if c := copies(f); c[0] == nil || c[1] == nil {
					t.Fatal("a copy is not whole")
				}
			}
		}
	}
	now, err := os.ReadFile(f.Name())
	if err != nil || !bytes.Equal(now[32<<10:], first[32<<10:]) {
		t.Errorf("more than the header has changed (%v)", err)
	}
	disktest.Tool(t, "cryptsetup", "open", "--test-passphrase", "--key-file", f.Name()+".key", f.Name())
}

// A volume of which both copies are damaged has no header, and is not written to.
func TestDamaged(t *testing.T) {
	f := made(t)
	b, err := os.ReadFile(f.Name())
	if err != nil {
		t.Fatal(err)
	}
	b[100], b[16<<10+100] = b[100]^1, b[16<<10+100]^1
	if err := os.WriteFile(f.Name(), b, 0o600); err != nil {
		t.Fatal(err)
	}
	if h, ok := Read(f); ok {
		t.Errorf("Read = %+v", h)
	}
	if err := SetSubsystem(f, "new"); err == nil {
		t.Error("SetSubsystem = nil")
	}
	if now, err := os.ReadFile(f.Name()); err != nil || !bytes.Equal(now, b) {
		t.Errorf("it has changed (%v)", err)
	}
}

func FuzzRead(f *testing.F) {
	b := make([]byte, 32<<10)
	if _, err := made(f).ReadAt(b, 0); err != nil {
		f.Fatal(err)
	}
	f.Add(b, true)
	f.Add(append(make([]byte, 16<<10), b[16<<10:]...), false)
	f.Fuzz(func(t *testing.T, b []byte, sum bool) {
		if sum && len(b) >= 16<<10 { // with the right sum, so that more than the sum is tried
			clear(b[sumAt : sumAt+sumSize])
			s := sha256.Sum256(b[:16<<10])
			copy(b[sumAt:], s[:])
		}
		h, ok := Read(bytes.NewReader(b))
		if ok && (len(h.Subsystem) > MaxSubsystem+1 || len(h.UUID) > 40 || len(h.Label) > 48) {
			t.Errorf("Read = %+v", h)
		}
	})
}
