package update_test

import (
	"context"
	"os"
	"path/filepath"
	"slices"
	"testing"

	"griddle/appliance/setting"
	"griddle/initramfs/bootloader"
	"griddle/initramfs/bootloader/arguments"
	"griddle/initramfs/pool"
	"griddle/initramfs/pool/pooltest"
	"griddle/initramfs/sysroot"
)

// arguments are those that a root has of its own.
func (m *machine) arguments(t *testing.T, root string) (a *arguments.Arguments) {
	t.Helper()
	m.with(t, func(p *pool.Pool) {
		dir, err := os.OpenRoot(filepath.Join(p.Dir(), "@roots", root))
		if err != nil {
			t.Fatal(err)
		}
		defer dir.Close()
		if a, err = arguments.Read(sysroot.Dir{Root: dir}); err != nil {
			t.Fatal(err)
		}
	})
	return a
}

// Each root has the kernel arguments of the settings at its time, and those of the job that installed the machine.
func TestKernelArguments(t *testing.T) {
	one, two := versions(t)
	m := installed(t, pooltest.Loop(t, 1<<30), one)
	m.with(t, func(p *pool.Pool) { // as if the job and the settings of then had given some
		dir, err := os.OpenRoot(filepath.Join(p.Dir(), "@roots", oneRoot))
		if err != nil {
			t.Fatal(err)
		}
		defer dir.Close()
		if err := arguments.Write(sysroot.Dir{Root: dir}, arguments.Arguments{All: []string{"quiet", "was=1"},
			Job: []string{"quiet"}}); err != nil {
			t.Fatal(err)
		}
	})
	m.o.Settings = func(context.Context) (setting.Settings, error) {
		return setting.Settings{Args: []string{`now="2 3"`}}, nil
	}
	if _, err := m.update(t.Context(), t, two); err != nil {
		t.Fatal(err)
	}
	a := m.arguments(t, twoRoot)
	if a == nil || !slices.Equal(a.All, []string{"quiet", "now=2 3"}) || !slices.Equal(a.Job, []string{"quiet"}) {
		t.Errorf("the new root has the arguments %+v", a)
	}
	if c, err := bootloader.ReadConfig(m.esp); err != nil || len(c.Args) > 0 {
		t.Errorf("grub.cfg has the arguments %q, %v", c.Args, err)
	}
}

// A root that was made before roots had arguments of their own started with those of grub.cfg: they stay.
func TestFormerKernelArguments(t *testing.T) {
	one, two := versions(t)
	m := installed(t, pooltest.Loop(t, 1<<30), one)
	conf, err := bootloader.ReadConfig(m.esp)
	if err != nil {
		t.Fatal(err)
	}
	conf.ESP, conf.Args = "GR-1B4E28BA", []string{"quiet", `a="b c"`}
	if err := bootloader.WriteConfig(m.esp, conf); err != nil {
		t.Fatal(err)
	}
	m.with(t, func(p *pool.Pool) {
		if err := os.Remove(filepath.Join(p.Dir(), "@roots", oneRoot, arguments.File)); err != nil {
			t.Fatal(err)
		}
	})
	if _, err := m.update(t.Context(), t, two); err != nil {
		t.Fatal(err)
	}
	if a := m.arguments(t, twoRoot); a != nil {
		t.Errorf("without settings the new root has the arguments %+v of its own", a)
	}
	m.o.Settings = func(context.Context) (setting.Settings, error) {
		return setting.Settings{Args: []string{`a="b c"`, "new"}}, nil
	}
	m.with(t, func(p *pool.Pool) {
		if err := p.Forget(twoRoot); err != nil {
			t.Fatal(err)
		}
	})
	if _, err := m.update(t.Context(), t, two); err != nil {
		t.Fatal(err)
	}
	a := m.arguments(t, twoRoot)
	if a == nil || !slices.Equal(a.All, []string{"quiet", "a=b c", "new"}) || !slices.Equal(a.Job, []string{"quiet"}) {
		t.Errorf("the new root has the arguments %+v", a)
	}
}
