package reset_test

import (
	"errors"
	"strings"
	"testing"

	"griddle/initramfs/bootloader/bootenv"
	"griddle/initramfs/pool"
	"griddle/initramfs/pool/reset"
	"griddle/initramfs/subvolume"
)

// Each start is fresh, and has what is kept; what was used is deleted.
func TestStarts(t *testing.T) {
	m := newMachine(t)
	m.start(t, one+"~1")
	if got := m.text(t, one+"~1", "etc/fstab"); got != table(one+"~1") {
		t.Errorf("the table of a fresh root is %q", got)
	}
	for _, marker := range []string{pool.BaseMarker, pool.Marker} {
		if got := m.text(t, one+"~1", marker); got != "no such file or directory" {
			t.Errorf("a fresh root has /%s: %q", marker, got)
		}
	}
	if a, b := m.text(t, one+"~1", "var/lib/systemd/random-seed"), m.text(t, one+"~2",
		"var/lib/systemd/random-seed"); len(a) != 512 || a == b {
		t.Errorf("two fresh roots have the seeds %q and %q", a, b)
	}
	if said := m.run(t, one+"~1", "prepare"); said != "made 1" {
		t.Errorf("after the first start, Prepare said %s", said)
	}
	if got := m.names(t); got != "one1 one2* one3*" { // none runs outside of the errand
		t.Errorf("the roots are %s", got)
	}
	// What a person does, and what the domain does.
	for file, text := range map[string]string{"etc/motd": "mine", "root/notes": "mine", "srv/data/from": "person",
		"srv/data/more": "1", "etc/app.conf": "changed", "etc/krb5.keytab": "second", "etc/hostname": "mine\n"} {
		m.write(t, one+"~1", file, text)
	}
	if err := errors.Join(subvolume.Delete(m.Top+"/@roots", one+"~2")); err != nil {
		t.Fatal(err)
	}
	if said := m.run(t, one+"~1", "prepare"); said != "made 1" || m.names(t) != "one1 one3* one4*" {
		t.Errorf("after one was deleted, Prepare said %s, and there are %s", said, m.names(t))
	}
	if got := m.text(t, one+"~4", "srv/data/from"); got != "person" {
		t.Errorf("in the middle of the day /srv/data/from is %q", got)
	}
	m.write(t, one+"~1", "srv/data/from", "person, later")
	if said := m.run(t, one+"~1", "keep"); said != "made 2" || m.names(t) != "one1 one5* one6*" {
		t.Errorf("at the shutdown Prepare said %s, and there are %s", said, m.names(t))
	}
	m.start(t, one+"~5")
	for file, want := range map[string]string{"etc/motd": "no such file or directory",
		"root/notes": "no such file or directory", "srv/data/from": "person, later", "srv/data/more": "1",
		"etc/app.conf": "changed", "etc/krb5.keytab": "second", "etc/hostname": "one\n",
		"etc/griddle/phone-home.json": "{}"} {
		if got := m.text(t, one+"~5", file); got != want {
			t.Errorf("at the next start /%s is %q, want %q", file, got, want)
		}
	}
	// It reported, and stays so.
	if err := errors.Join(removed(m, one+"~5/etc/griddle/phone-home.json"),
		removed(m, one+"~5/srv/data/more")); err != nil {
		t.Fatal(err)
	}
	m.run(t, one+"~5", "keep")
	m.start(t, one+"~7")
	for _, file := range []string{"etc/griddle/phone-home.json", "srv/data/more"} {
		if got := m.text(t, one+"~7", file); got != "no such file or directory" {
			t.Errorf("at the next start /%s is %q, and was deleted", file, got)
		}
	}
	m.run(t, one+"~7", "prepare")
	if got := m.names(t); got != "one7 one8* one9*" {
		t.Errorf("the roots are %s", got)
	}
	m.unchanged(t)
}

// Two starts that prepare nothing use up both roots. Then the base starts, makes two, and what was kept is kept.
func TestBaseStarts(t *testing.T) {
	m := newMachine(t)
	m.start(t, one+"~1")
	m.write(t, one+"~1", "etc/krb5.keytab", "second")
	m.run(t, one+"~1", "keep")
	m.start(t, one+"~3")
	m.write(t, one+"~3", "etc/motd", "mine")
	m.start(t, one+"~4")
	m.start(t, one)
	cmd, stop := m.command(t, one, "prepare")
	out, err := cmd.CombinedOutput()
	if stop(); err == nil || !strings.Contains(string(out), reset.ErrBase.Error()) {
		t.Errorf("Prepare in the base: %v, %s", err, out)
	}
	said := m.run(t, one, "base")
	if !strings.Contains(said, "The machine restarts.") || m.names(t) != "one5* one6*" {
		t.Errorf("the base said %s, and there are %s", said, m.names(t))
	}
	m.start(t, one+"~5")
	if a, b := m.text(t, one+"~5", "etc/krb5.keytab"), m.text(t, one+"~5", "etc/motd"); a != "second" ||
		!strings.HasPrefix(b, "no such") {
		t.Errorf("after that the password is %q and /etc/motd %q", a, b)
	}
	// If GRUB cannot take them, the base says so, and waits before the restart.
	m.run(t, one+"~5", "prepare")
	if said := m.run(t, one, "base"); !strings.Contains(said, "unable to write") ||
		!strings.Contains(said, "waits 1m") {
		t.Errorf("the base said %s", said)
	}
	m.unchanged(t)
}

// A new base is tried by a fresh root of it, which is used once. Blessed, it is the base, and the old one keeps its
// latest root; going back makes a fresh one of it.
func TestTrial(t *testing.T) {
	m := newMachine(t)
	m.start(t, one+"~1")
	m.run(t, one+"~1", "keep")
	try := func(number int) {
		t.Helper()
		m.with(t, func(p *pool.Pool) {
			if err := errors.Join(reset.First(t.Context(), p, two, 1), p.Switch(two)); err != nil {
				t.Fatal(err)
			}
		})
		m.start(t, bootenv.FreshName(two, number))
	}
	try(1)
	cmd, stop := m.command(t, two+"~1", "prepare")
	out, err := cmd.CombinedOutput()
	if stop(); err == nil || !strings.Contains(string(out), "not proved itself") {
		t.Errorf("Prepare during a trial: %v, %s", err, out)
	}
	m.start(t, one+"~3") // it failed
	m.with(t, func(p *pool.Pool) {
		if failed, err := p.Failed(); err != nil || failed != two {
			t.Errorf("Failed = %s, %v", failed, err)
		}
	})
	try(2)
	m.run(t, two+"~2", "bless")
	if e := m.env(t); e != (bootenv.Env{Good: two}) {
		t.Errorf("blessed, grubenv is %+v", e)
	}
	m.write(t, two+"~2", "etc/krb5.keytab", "third")
	if said := m.run(t, two+"~2", "prepare"); said != "made 2" || m.names(t) != "one4 two2 two3* two4*" {
		t.Errorf("blessed, Prepare said %s, and there are %s", said, m.names(t))
	}
	m.start(t, two+"~3")
	// Back: the base makes a fresh root, which is on trial.
	m.with(t, func(p *pool.Pool) {
		if err := p.Boot(one); err != nil {
			t.Fatal(err)
		}
	})
	m.start(t, one)
	m.run(t, one, "base")
	if e := m.env(t); e != (bootenv.Env{Good: two, Candidate: one + "~5", Tries: 1, Fresh: 4}) {
		t.Errorf("the base left %+v", e)
	}
	m.start(t, one+"~5")
	m.run(t, one+"~5", "bless")
	m.run(t, one+"~5", "prepare")
	if got := m.names(t); got != "one5 one6* one7* two4" {
		t.Errorf("back, the roots are %s", got)
	}
	m.start(t, one+"~6")
	// A base is deleted with its roots.
	m.with(t, func(p *pool.Pool) {
		if err := p.DeleteRoot(two); err != nil {
			t.Error(err)
		}
	})
	if got := m.names(t); strings.Contains(got, "two") {
		t.Errorf("after the base was deleted there are %s", got)
	}
}

// A shutdown before the trial of a new base hands over what is kept by then.
func TestHandOver(t *testing.T) {
	m := newMachine(t)
	m.start(t, one+"~1")
	m.run(t, one+"~1", "update")
	m.write(t, one+"~1", "etc/krb5.keytab", "later")
	m.write(t, one+"~1", "etc/motd", "mine")
	m.run(t, one+"~1", "keep")
	if e := m.env(t); e != (bootenv.Env{Good: one, Candidate: two + "~2", Tries: 1, Fresh: 3, Spare: 4}) {
		t.Errorf("the shutdown left %+v", e)
	}
	m.start(t, two+"~2")
	if a, b := m.text(t, two+"~2", "etc/krb5.keytab"), m.text(t, two+"~2", "etc/motd"); a != "later" ||
		!strings.HasPrefix(b, "no such") {
		t.Errorf("in the new base the password is %q and /etc/motd %q", a, b)
	}
}
