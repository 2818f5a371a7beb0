package fleet

import (
	"bytes"
	"encoding/json"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/uuid"

	"griddle/appliance/job"
	"griddle/appliance/recoverykey"
	"griddle/appliance/seal"
	"griddle/imagestore/durable"
)

// keyed is an order whose layout has a partition that a recovery key opens; plain has one without.
func keyed() Order {
	o := laid()
	o.Layout = json.RawMessage(strings.Replace(written, `{"id":"pool"`, `{"id":"srv","use":"data","size":"1G","luks":`+
		`{"unlock":["recovery","tpm2"]}},{"id":"pool"`, 1))
	return o
}

// recovering is a machine whose boots an operator approved.
type recovering struct {
	t *testing.T
	f *Fleet
}

// boot starts the machine with an order, and returns what proves it and its job.
func (r recovering) boot(o Order) (Proof, string) {
	r.t.Helper()
	o.Replace = true
	_, j, err := r.f.Install(r.t.Context(), macA, o)
	if err != nil {
		r.t.Fatal(err)
	}
	return Proof{prove(r.t, r.f, "ada", uuid.NewString(), macA).Token, "ada"}, j.Spec.ID
}

// keys asks for the keys, which are there, and finds them in what a crash would leave of the state.
func (r recovering) keys(p Proof, id string) []string {
	r.t.Helper()
	got, err := r.f.Recover(r.t.Context(), p, id)
	if err != nil || got.State != job.Ready || got.Code != "" {
		r.t.Fatalf("Recover = %+v, %v", got, err)
	}
	if left := r.crashed(); len(left) < len(got.Recovery) || len(got.Recovery) > 0 && left[0].Key != got.Recovery[0] {
		r.t.Errorf("after a crash there are %d keys, and the boot got %d", len(left), len(got.Recovery))
	}
	return got.Recovery
}

// crashed are the keys that another server reads from the files as they are now.
func (r recovering) crashed() []RecoveryKey {
	r.t.Helper()
	dir := r.t.TempDir()
	files, err := filepath.Glob(filepath.Join(filepath.Dir(r.f.file), "*"))
	if err != nil {
		r.t.Fatal(err)
	}
	for _, name := range files {
		b, err := os.ReadFile(name)
		if err == nil && !strings.HasSuffix(name, "-shm") {
			err = os.WriteFile(filepath.Join(dir, filepath.Base(name)), b, 0o600)
		}
		if err != nil {
			r.t.Fatal(err)
		}
	}
	f, err := Open(r.t.Context(), filepath.Join(dir, "fleet.db"), Options{Sealer: seal.In(durable.Disk{},
		filepath.Join(dir, "settings.key"), "test")})
	if err != nil {
		r.t.Fatal(err)
	}
	defer f.Close()
	_, all, err := f.ReadRecovery(r.t.Context(), macA, "", false)
	if err != nil {
		r.t.Fatal(err)
	}
	return all
}

// read is what an operator reads.
func (r recovering) read(renew bool) []RecoveryKey {
	r.t.Helper()
	_, all, err := r.f.ReadRecovery(r.t.Context(), macA, "192.0.2.9", renew)
	if err != nil {
		r.t.Fatal(err)
	}
	return all
}

// TestRecover: only an approved boot with the job gets a key; it is made once, sealed, and stays over later jobs.
func TestRecover(t *testing.T) {
	ctx := t.Context()
	f, file := openSealed(t, Options{})
	r := recovering{t, f}
	p, id := r.boot(keyed())
	wait, err := f.Recover(ctx, p, id)
	if err != nil || wait.State != job.Waiting || wait.Code == "" || wait.Recovery != nil {
		t.Fatalf("Recover before the approval = %+v, %v", wait, err)
	}
	if len(r.read(false)) != 0 {
		t.Error("there is a key before the approval")
	}
	if _, err := f.Approve(ctx, macA, wait.Code); err != nil {
		t.Fatal(err)
	}
	eve := prove(t, f, "eve", uuid.NewString(), macA)
	if got, err := f.Recover(ctx, Proof{eve.Token, "eve"}, id); err != nil || got.State != job.Waiting ||
		got.Recovery != nil {
		t.Errorf("Recover of another computer = %+v, %v", got, err)
	}
	for what, c := range map[string]struct {
		p    Proof
		id   string
		want error
	}{"the token with another key": {Proof{p.Token, "eve"}, id, ErrToken}, "no token": {Proof{"", "ada"}, id, ErrToken},
		"another job": {p, uuid.NewString(), ErrOver}} {
		if got, err := f.Recover(ctx, c.p, c.id); !errors.Is(err, c.want) || got.Recovery != nil {
			t.Errorf("%s: Recover = %+v, %v, want %v", what, got, err, c.want)
		}
	}

	first := r.keys(p, id)
	if got, err := recoverykey.Parse(first[0]); err != nil || got != first[0] || len(first) != 1 {
		t.Fatalf("the keys are %q, %v", first, err)
	}
	if again := r.keys(p, id); len(again) != 1 || again[0] != first[0] {
		t.Errorf("asked again, it gets %q, want %q", again, first)
	}
	files, err := filepath.Glob(file + "*")
	for _, name := range files {
		if b, rerr := os.ReadFile(name); errors.Join(err, rerr) != nil || bytes.Contains(b, []byte(first[0][:17])) {
			t.Errorf("%s has the key, %v", name, errors.Join(err, rerr))
		}
	}

	// A power cut, then a later install: the same key.
	p, again := r.boot(keyed())
	if got := r.keys(p, again); len(got) != 1 || got[0] != first[0] {
		t.Errorf("a later install gets %q, want %q", got, first)
	}
	if all := r.read(false); len(all) != 1 || all[0].Job != again || all[0].Made.IsZero() ||
		all[0].Given.Before(all[0].Made) {
		t.Errorf("the operator reads %+v", all)
	}

	// Read for someone, and then another one is wanted: the job that runs keeps its key, the next one gets another.
	if all := r.read(true); !all[0].Renew {
		t.Errorf("the operator reads %+v, want it renewed", all)
	}
	if got := r.keys(p, again); len(got) != 1 || got[0] != first[0] {
		t.Errorf("the job that runs gets %q", got)
	}
	plain, plainID := r.boot(laid())
	if got := r.keys(plain, plainID); len(got) != 1 || got[0] != first[0] {
		t.Errorf("a job that makes no such partition gets %q, and opens what stays by %q", got, first)
	}
	p, id = r.boot(keyed())
	if got := r.keys(p, id); len(got) != 2 || got[0] == first[0] || got[1] != first[0] {
		t.Errorf("the next install gets %q, want a new key and then %q", got, first)
	}
	told(ctx, t, f, macA, map[string]int{"gets the recovery keys of this machine (": 6,
		"an operator at 192.0.2.9 read the recovery keys of this machine (1)": 2,
		"an operator wants a new recovery key":                                1, first[0][:17]: 0})
}

// TestRecoveryStays: no deletion, merge or lost key of the server takes recovery keys away without a word.
func TestRecoveryStays(t *testing.T) {
	ctx := t.Context()
	f, file := openSealed(t, Options{})
	r := recovering{t, f}
	p, id := r.boot(keyed())
	wait, err := f.Recover(ctx, p, id)
	if err == nil {
		_, err = f.Approve(ctx, macA, wait.Code)
	}
	if err != nil {
		t.Fatal(err)
	}
	key := r.keys(p, id)[0]
	if v, _, err := f.Show(ctx, macA); err != nil || v.RecoveryKeys != 1 {
		t.Errorf("Show has %d recovery keys, %v", v.RecoveryKeys, err)
	}
	if _, err := f.Cancel(ctx, macA); err != nil {
		t.Fatal(err)
	}
	if _, err := f.Delete(ctx, macA, false); !errors.Is(err, ErrRecovery) {
		t.Errorf("Delete = %v, want ErrRecovery", err)
	}
	other, _, err := f.Install(ctx, macB, order())
	if err == nil {
		_, err = f.Cancel(ctx, macB)
	}
	if err == nil {
		_, err = f.Merge(ctx, macB, macA)
	}
	if err != nil {
		t.Fatal(err)
	}
	if m, all, err := f.ReadRecovery(ctx, macA, "", false); err != nil || len(all) != 1 || all[0].Key != key ||
		m.ID != other.ID {
		t.Errorf("after a merge, the keys of %s are %+v, %v", m.Name, all, err)
	}

	f.Close()
	sealed := filepath.Join(filepath.Dir(file), "settings.key")
	if err := os.Remove(sealed); err != nil {
		t.Fatal(err)
	}
	o := Options{Sealer: seal.In(durable.Disk{}, sealed, "test")}
	if _, err := Open(ctx, file, o); !errors.Is(err, ErrSealed) ||
		!strings.Contains(err.Error(), "it has 1 recovery keys") {
		t.Errorf("Open without the key = %v", err)
	}
	if machines, keys, err := DiscardSettings(ctx, file); err != nil || machines != 0 || keys != 1 {
		t.Errorf("DiscardSettings = %d, %d, %v", machines, keys, err)
	}
	if f, err = Open(ctx, file, o); err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	if _, all, err := f.ReadRecovery(ctx, macA, "", false); err != nil || len(all) != 0 {
		t.Errorf("after that, the keys are %+v, %v", all, err)
	}
	if _, err := f.Delete(ctx, macA, false); err != nil {
		t.Errorf("Delete of a machine without keys = %v", err)
	}
}

// broken cannot seal.
type broken struct{ Sealer }

func (broken) Seal([]byte) ([]byte, error) { return nil, errors.New("the disk is full") }

// TestRecoverFails: a key that cannot be kept is not given, and a machine has not more keys than agents take.
func TestRecoverFails(t *testing.T) {
	ctx := t.Context()
	f, _ := openSealed(t, Options{})
	r := recovering{t, f}
	p, id := r.boot(keyed())
	wait, err := f.Recover(ctx, p, id)
	if err == nil {
		_, err = f.Approve(ctx, macA, wait.Code)
	}
	if err != nil {
		t.Fatal(err)
	}
	whole := f.o.Sealer
	f.o.Sealer = broken{whole}
	if got, err := f.Recover(ctx, p, id); err == nil || got.Recovery != nil {
		t.Errorf("Recover that cannot seal = %+v, %v", got, err)
	}
	if f.o.Sealer = whole; len(r.read(false)) != 0 {
		t.Error("a key is left that no one could seal")
	}
	for n := range job.MaxRecovery {
		if got, err := f.Recover(ctx, p, id); err != nil || len(got.Recovery) != n+1 {
			t.Fatalf("install %d gets %d keys, %v", n, len(got.Recovery), err)
		}
		r.read(true)
		p, id = r.boot(keyed())
	}
	if got, err := f.Recover(ctx, p, id); !errors.Is(err, ErrInvalid) || got.Recovery != nil ||
		!strings.Contains(err.Error(), "--recovery-keys") {
		t.Errorf("Recover of one key more = %+v, %v", got, err)
	}
}
