package kexec

import (
	"errors"
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"griddle/appliance/job"
	"griddle/initramfs/bootloader/arguments"
	"griddle/initramfs/bootloader/bootenv"
	"griddle/initramfs/kexec/attempt"
	"griddle/initramfs/mounttest"
	"griddle/initramfs/pool"
	"griddle/initramfs/pool/pooltest"
	"griddle/initramfs/sysroot"

	"golang.org/x/sys/unix"
)

// bed is an installed machine with a kernel that loads everything.
type bed struct {
	machine
	t      *testing.T
	made   pooltest.Made
	pool   *pool.Pool
	loaded []string // kernel, initrd and command line, as they were loaded; unloading empties it
}

func newBed(t *testing.T) *bed {
	t.Helper()
	b := &bed{t: t, made: pooltest.Installed(t)}
	p, err := pool.Open(pool.Place{Pool: b.made.Device, ESP: b.made.ESP})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { p.Close() })
	b.pool = p
	b.machine = machine{
		load: func(kernel, initrd *os.File, line string) error {
			b.loaded = nil
			for _, f := range []*os.File{kernel, initrd} {
				text := []byte("none")
				if f != nil {
					var err error
					if text, err = io.ReadAll(f); err != nil {
						t.Error(err)
					}
				}
				b.loaded = append(b.loaded, string(text))
			}
			b.loaded = append(b.loaded, line)
			return nil
		},
		unload: func() error { b.loaded = nil; return nil },
		start:  attempt.Start{Boot: "first"},
		model:  attempt.Model{Vendor: "QEMU", Product: "PC"},
	}
	return b
}

func (b *bed) env() bootenv.Env {
	b.t.Helper()
	c, err := b.pool.Read()
	if err != nil {
		b.t.Fatal(err)
	}
	return bootenv.Env{Good: c.Good, Candidate: c.Candidate, Tries: c.Tries}
}

func (b *bed) attempt() *attempt.Attempt {
	b.t.Helper()
	dir, err := pool.Persistent(b.pool.Dir())
	if err != nil {
		b.t.Fatal(err)
	}
	defer dir.Close()
	a, err := attempt.Read(dir)
	if err != nil {
		b.t.Fatal(err)
	}
	return a
}

// comesUp is the next start of the machine.
func (b *bed) comesUp(line string) *attempt.Attempt {
	b.t.Helper()
	b.start, b.loaded = attempt.Start{Boot: b.start.Boot + "+", CommandLine: line}, nil
	dir, err := pool.Persistent(b.pool.Dir())
	if err != nil {
		b.t.Fatal(err)
	}
	defer dir.Close()
	a, err := attempt.Settle(dir, b.start)
	if err != nil {
		b.t.Fatal(err)
	}
	return a
}

func TestGoodRoot(t *testing.T) {
	b := newBed(t)
	if _, err := b.prepare(b.pool, "one@amd64"); err != nil {
		t.Fatal(err)
	}
	line := "root=UUID=" + b.made.ID + " rootflags=subvol=@roots/one@amd64 rw "
	if len(b.loaded) != 3 || b.loaded[0] != "a kernel" || b.loaded[1] != "none" ||
		!strings.HasPrefix(b.loaded[2], line) || !strings.HasSuffix(b.loaded[2], " quiet net.ifnames=0 griddle.kexec") {
		t.Errorf("loaded %q, want the kernel with %q", b.loaded, line)
	}
	if e := b.env(); e != (bootenv.Env{Good: "one@amd64"}) {
		t.Errorf("grubenv says %+v: a good root needs no try", e)
	}
	a := b.attempt()
	if a == nil || a.State != attempt.Tried || a.Root != "one@amd64" || a.Kernel != "boot/vmlinuz-6.1.0" ||
		a.Model != b.model || time.Since(a.Time) > time.Hour {
		t.Errorf("the record says %+v", a)
	}
	if a := b.comesUp(b.loaded[2]); a.State != attempt.Worked {
		t.Errorf("after the start the record says %+v", a)
	}
}

func TestCandidate(t *testing.T) {
	b := newBed(t)
	pooltest.Put(t, b.made.Top, map[string]string{"@roots/two@amd64/boot/initrd.img-6.1.0": "an initrd"})
	if err := b.pool.Switch("two@amd64"); err != nil {
		t.Fatal(err)
	}
	l, err := b.prepare(b.pool, "two@amd64")
	if err != nil {
		t.Fatal(err)
	}
	if len(b.loaded) != 3 || b.loaded[1] != "an initrd" || !strings.Contains(b.loaded[2], "subvol=@roots/two@amd64 ") ||
		!strings.HasSuffix(b.loaded[2], " griddle.try griddle.kexec") {
		t.Errorf("loaded %q", b.loaded)
	}
	if e := b.env(); e != (bootenv.Env{Good: "one@amd64", Candidate: "two@amd64"}) {
		t.Errorf("grubenv says %+v: this start counts", e)
	}
	if err := l.cancel(); err != nil {
		t.Fatal(err)
	}
	if e := b.env(); e != (bootenv.Env{Good: "one@amd64", Candidate: "two@amd64", Tries: 1}) || b.loaded != nil ||
		b.attempt() != nil {
		t.Errorf("a jump that does not happen leaves %+v, %q, %+v", e, b.loaded, b.attempt())
	}
	// It is as new: once more, and now it hangs. The firmware starts the good root.
	if _, err := b.prepare(b.pool, "two@amd64"); err != nil {
		t.Fatal(err)
	}
	if a := b.comesUp("root=UUID=x rw"); a.State != attempt.Failed || a.Root != "two@amd64" {
		t.Errorf("after a start by the firmware the record says %+v", a)
	}
	if failed, err := b.pool.Failed(); failed != "two@amd64" || err != nil {
		t.Errorf("Failed() = %q, %v, want two@amd64", failed, err)
	}
	if err := b.pool.Forget("two@amd64"); err != nil {
		t.Fatal(err)
	}
	// From now on, this model restarts in the ordinary way, and another one does not.
	_, err = b.prepare(b.pool, "one@amd64")
	if !errors.Is(err, ErrFailedBefore) || b.loaded != nil || !strings.Contains(err.Error(), "kexec.json") {
		t.Errorf("after a failure: %v, loaded %q", err, b.loaded)
	}
	b.model.Product = "another"
	if _, err = b.prepare(b.pool, "one@amd64"); err != nil {
		t.Error(err)
	}
}

// An attempt that no system settled was followed by the firmware.
func TestUnsettled(t *testing.T) {
	b := newBed(t)
	if _, err := b.prepare(b.pool, "one@amd64"); err != nil {
		t.Fatal(err)
	}
	b.start.Boot = "second"
	if _, err := b.prepare(b.pool, "one@amd64"); !errors.Is(err, ErrFailedBefore) {
		t.Errorf("after an attempt that was not settled: %v", err)
	}
	if a := b.attempt(); a == nil || a.State != attempt.Failed {
		t.Errorf("the record says %+v", a)
	}
}

func TestRefuses(t *testing.T) {
	for name, c := range map[string]struct {
		root  string
		spoil func(*bed)
		want  string
	}{
		"a root that does not boot": {"two@amd64", nil, "the boot loader starts one@amd64"},
		"no such root":              {"three", nil, "the boot loader starts"},
		"a path":                    {"../@home", nil, "the boot loader starts"},
		"a candidate without a try": {"two@amd64", func(b *bed) {
			if _, err := b.pool.CountStart("two@amd64"); err != nil {
				b.t.Fatal(err)
			}
		}, "the boot loader starts one@amd64"},
		"no kernel": {"one@amd64", func(b *bed) {
			if err := os.RemoveAll(filepath.Join(b.made.Top, "@roots/one@amd64/boot")); err != nil {
				b.t.Fatal(err)
			}
		}, "no kernel"},
		"no grub.cfg": {"one@amd64", func(b *bed) {
			if err := os.Remove(filepath.Join(b.made.ESP, "griddle/grub.cfg")); err != nil {
				b.t.Fatal(err)
			}
		}, "grub.cfg"},
		"a kernel that this one refuses": {"one@amd64", func(b *bed) {
			b.load = func(_, _ *os.File, _ string) error { return explained(unix.ENOEXEC, "") }
		}, "loading /boot/vmlinuz-6.1.0: it is not a kernel that this one can start"},
		"no place for the record": {"one@amd64", func(b *bed) {
			for _, err := range []error{os.RemoveAll(b.made.Top + "/@persistent/griddle"),
				os.WriteFile(b.made.Top+"/@persistent/griddle", nil, 0o644)} {
				if err != nil {
					b.t.Fatal(err)
				}
			}
		}, "record"},
	} {
		t.Run(name, func(t *testing.T) {
			b := newBed(t)
			if err := bootenv.Write(b.made.ESP, bootenv.Env{Good: "one@amd64"}); err != nil {
				t.Fatal(err)
			}
			if strings.Contains(name, "candidate") {
				if err := b.pool.Switch("two@amd64"); err != nil {
					t.Fatal(err)
				}
			}
			if c.spoil != nil {
				c.spoil(b)
			}
			before, _ := bootenv.Read(b.made.ESP)
			_, err := b.prepare(b.pool, c.root)
			if err == nil || !strings.Contains(err.Error(), c.want) ||
				!strings.HasPrefix(err.Error(), "starting "+c.root+" without the firmware: ") {
				t.Errorf("prepare(%s): %v, want an error with %q", c.root, err, c.want)
			}
			after, _ := bootenv.Read(b.made.ESP)
			if before != after || b.loaded != nil {
				t.Errorf("it left %+v, loaded %q, want %+v", after, b.loaded, before)
			}
			if name != "no place for the record" && b.attempt() != nil {
				t.Errorf("it left the record %+v", b.attempt())
			}
		})
	}
}

func TestExplained(t *testing.T) {
	for _, c := range []struct {
		err      error
		lockdown string
		want     string
	}{
		{unix.EPERM, "integrity", "locked down (integrity)"},
		{unix.EPERM, "", "kexec_load_disabled"},
		{unix.ENOSYS, "", "CONFIG_KEXEC_FILE"},
		{unix.EKEYREJECTED, "integrity", "signature"},
		{unix.ENODATA, "integrity", "signature"},
		{unix.ENOEXEC, "", "not a kernel"},
		{unix.EBUSY, "", "another program"},
		{unix.ENOMEM, "", "cannot allocate memory"},
	} {
		if got := explained(c.err, c.lockdown); !errors.Is(got, c.err) || !strings.Contains(got.Error(), c.want) {
			t.Errorf("explained(%v, %q) = %v, want %q", c.err, c.lockdown, got, c.want)
		}
	}
	if err := explained(nil, "integrity"); err != nil {
		t.Error(err)
	}
}

// TestMain runs the tests in a mount namespace of their own, so that other tests do not keep loop devices in use.
func TestMain(m *testing.M) {
	inMachine()
	mounttest.Own()
	os.Exit(m.Run())
}

// The kernel arguments that a root has of its own count, as GRUB takes them.
func TestOwnArguments(t *testing.T) {
	b := newBed(t)
	root, err := os.OpenRoot(filepath.Join(b.made.Top, "@roots/one@amd64"))
	if err != nil {
		t.Fatal(err)
	}
	defer root.Close()
	own := sysroot.Dir{Root: root}
	if err := arguments.Write(own, arguments.Arguments{All: []string{"own", `a="b c"`}}); err != nil {
		t.Fatal(err)
	}
	if _, err := b.prepare(b.pool, "one@amd64"); err != nil {
		t.Fatal(err)
	}
	if len(b.loaded) != 3 || !strings.HasSuffix(b.loaded[2], ` oops=panic own "a=b c" griddle.kexec`) {
		t.Errorf("loaded %q", b.loaded)
	}
	b.comesUp("griddle.kexec")
	// Arguments that a kernel cannot take leave the start to GRUB.
	long := strings.Repeat(`"a=b"`, 1000)
	if err := own.Write(arguments.File, []byte("# GRUB Environment Block\ngriddle_arguments_format=1\n"+
		"griddle_arguments="+long+"\n"), 0o644); err != nil {
		t.Fatal(err)
	}
	if _, err := b.prepare(b.pool, "one@amd64"); !errors.Is(err, job.ErrKernelArg) || b.loaded != nil {
		t.Errorf("with too many arguments: %v, loaded %q", err, b.loaded)
	}
}
