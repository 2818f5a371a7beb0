package fleet

import (
	"context"
	"encoding/json"
	"errors"
	"slices"
	"strings"
	"testing"

	"github.com/google/uuid"

	"griddle/appliance/fleet/filter"
	"griddle/appliance/fleet/life"
	"griddle/appliance/setting"
	"griddle/netboot"
)

func fine(Declared) error { return nil }

func is(s string) *string { return &s }

// found are the names of the machines that a filter finds.
func found(t *testing.T, f *Fleet, text string) (out []string) {
	t.Helper()
	where, err := filter.Parse(text)
	if err != nil {
		t.Fatal(err)
	}
	all, _, err := f.List(t.Context(), where, "", 0)
	if err != nil {
		t.Fatal(err)
	}
	for _, v := range all {
		out = append(out, v.Machine.Name)
	}
	return out
}

// TestRelabel: what operators write about machines is kept, all of a call or nothing, and is in the journal with who
// wrote it.
func TestRelabel(t *testing.T) {
	ctx, f := By(t.Context(), "ada"), open(t, Options{})
	if _, err := f.ChangeGroup(ctx, "lab1", true, func(g *Group) error { g.Role = "desk"; return nil },
		fine); err != nil {
		t.Fatal(err)
	}
	all := []Change{
		{Key: macA, Name: is("desk1"), Group: is("lab1"), Place: is("room 2, left"), Note: is("ünïcode ✓"),
			Add: []string{"gpu",
				"rack:3", "gpu"}},
		{Key: macB, Name: is("desk2"), Group: is("lab1"), MACs: []string{"52:54:00:00:00:99"}},
	}
	if out, err := f.Relabel(ctx, all, true, true, fine); err != nil || len(out) != 2 || len(list(t, f)) != 0 {
		t.Fatalf("a try makes %d machines of %d, %v", len(list(t, f)), len(out), err)
	}
	if _, err := f.Relabel(ctx, all, false, false, fine); !errors.Is(err, ErrUnknown) {
		t.Fatalf("of unseen machines: %v", err)
	}
	for range 2 { // the second time it changes nothing
		if _, err := f.Relabel(ctx, all, true, false, fine); err != nil {
			t.Fatal(err)
		}
	}
	v, _, err := f.Show(ctx, "desk1")
	if m := v.Machine; err != nil || m.Group != "lab1" || m.Place != "room 2, left" || m.Note != "ünïcode ✓" ||
		!slices.Equal(m.Tags, []string{"gpu", "rack:3"}) || v.State != life.Approved || v.Why() != "an operator "+
		"names it" {
		t.Errorf("desk1 is %+v, %s, %v", m, v.State, err)
	}
	entries, err := f.read(ctx, "desk1", 0, 100)
	if err != nil || len(entries) != 1 || entries[0].By != "ada" || !strings.Contains(entries[0].Event.Message,
		`tags "gpu rack:3" instead of ""`) {
		t.Errorf("its journal is %+v, %v", entries, err)
	}
	if got := found(t, f, "group=lab1 role=desk"); !slices.Equal(got, []string{"desk1", "desk2"}) {
		t.Errorf("the group has %q", got)
	}
	boots(t, f, "52:54:00:00:00:99")
	if got := found(t, f, ""); len(got) != 2 {
		t.Errorf("the second address of desk2 makes another machine: %q", got)
	}
	before := encode(list(t, f))
	for what, c := range map[string]Change{
		"tag":             {Key: macA, Add: []string{"Großes"}},
		"comma":           {Key: macA, Add: []string{"a,b"}},
		"formula":         {Key: macA, Add: []string{"=1+1"}},
		"place":           {Key: macA, Place: is("a\x1b[31mred")},
		"long":            {Key: macA, Place: is(strings.Repeat("x", 129))},
		"note":            {Key: macA, Note: is("two\nlines")},
		"direction":       {Key: macA, Note: is("a\u202eb")},
		"group":           {Key: macA, Group: is("lab9")},
		"name":            {Key: macA, Name: is("-x")},
		"name of another": {Key: macA, Name: is("desk2")},
		"address":         {Key: macA, MACs: []string{macB}},
		"UTF-8":           {Key: macA, Note: is("\xff")},
		"key":             {Key: "nobody", Place: is("x")},
		"same":            {Key: "desk2"},
	} {
		_, err := f.Relabel(ctx, []Change{{Key: macB, Place: is("changed")}, c}, false, false, fine)
		var each KeyErrors
		if !errors.As(err, &each) || len(each) != 1 || each[0].Key != c.Key || strings.ContainsAny(err.Error(),
			"\x1b\u202e") {
			t.Errorf("%s: %v", what, err)
		}
	}
	many := Change{Key: macA}
	for i := range MaxTags + 1 {
		many.Add = append(many.Add, strings.Repeat("x", i+1))
	}
	if _, err := f.Relabel(ctx, []Change{many}, false, false, fine); !errors.Is(err, ErrInvalid) {
		t.Errorf("33 tags: %v", err)
	}
	if after := encode(list(t, f)); after != before {
		t.Errorf("refused changes changed %s to %s", before, after)
	}
	// What another machine says later changes nothing of it.
	say(t, f, stranger, "", uuid.NewString(), macA)
	if v, _, err := f.Show(ctx, macA); err != nil || v.Machine.Group != "lab1" || len(v.Machine.Tags) != 2 {
		t.Errorf("after a hello it is %+v, %v", v.Machine, err)
	}
	if _, err := f.Merge(ctx, "desk1", "desk2"); err != nil {
		t.Fatal(err)
	}
	if got := found(t, f, "tag=rack:3 group=lab1"); !slices.Equal(got, []string{"desk1"}) {
		t.Errorf("after a merge %q has the tag", got)
	}
}

// TestGroups: the settings of a group are sealed, are between those of the site and of the machine, and must fit all of
// its machines.
func TestGroups(t *testing.T) {
	ctx := t.Context()
	f, file := openSealed(t, Options{})
	set := func(text string) func(*Group) error {
		return func(g *Group) (err error) {
			g.Settings, err = setting.Decode(g.Settings.From, []byte(text))
			return err
		}
	}
	if _, err := f.ChangeGroup(ctx, "lab1", true, set(secrets), fine); err != nil {
		t.Fatal(err)
	}
	if _, err := f.Relabel(ctx, []Change{{Key: macA, Group: is("lab1")}}, true, false, fine); err != nil {
		t.Fatal(err)
	}
	d, err := f.Declared(ctx, macA)
	if b, _ := json.Marshal(d.Group); err != nil || string(b) != secrets || d.Group.From != "group lab1" ||
		!d.Settings.Empty() {
		t.Errorf("the machine has %s of its group, %v", b, err)
	}
	if g, err := f.Group(ctx, "lab1"); err != nil || g.Machines != 1 || g.Settings.Empty() ||
		strings.Contains(encode(g), canary) {
		t.Errorf("Group() = %+v, %v", g, err)
	}
	refuse := func(d Declared) error { return errors.Join(ErrFits, errors.New(d.Machine.Name)) }
	var each KeyErrors
	if _, err := f.ChangeGroup(ctx, "lab1", false, set(`{"zone":"UTC"}`), refuse); !errors.As(err, &each) ||
		len(each) != 1 {
		t.Errorf("settings that do not fit: %v", err)
	}
	if _, err := f.Relabel(ctx, []Change{{Key: macB, Group: is("lab1")}}, true, false, refuse); !errors.As(err, &each) {
		t.Errorf("a machine that they do not fit: %v", err)
	}
	if g, err := f.Group(ctx, "lab1"); err != nil || g.Machines != 1 || encode(g.Settings) != encode(d.Group) {
		t.Errorf("refused changes changed it to %+v, %v", g, err)
	}
	for name, do := range map[string]func() error{
		"exists":  func() error { return third(f.ChangeGroup(ctx, "lab1", true, set("{}"), fine)) },
		"missing": func() error { return third(f.ChangeGroup(ctx, "lab9", false, set("{}"), fine)) },
		"name":    func() error { return third(f.ChangeGroup(ctx, "../x", true, set("{}"), fine)) },
		"role": func() error {
			return third(f.ChangeGroup(ctx, "x", true, func(g *Group) error { g.Role = "a b"; return nil }, fine))
		},
		"layout": func() error {
			return third(f.ChangeGroup(ctx, "x", true, func(g *Group) error { g.Layout = []byte("{}"); return nil },
				fine))
		},
		"members": func() error { return f.DeleteGroup(ctx, "lab1") },
	} {
		if err := do(); !isOperators(err) {
			t.Errorf("%s: %v", name, err)
		}
	}
	if all, err := f.Groups(ctx); err != nil || len(all) != 1 || all[0].Name != "lab1" {
		t.Errorf("Groups() = %+v, %v", all, err)
	}
	f.Close()
	if _, err := Open(ctx, file, Options{}); !errors.Is(err, ErrSealed) {
		t.Errorf("without the key it opens: %v", err)
	}
	if _, _, err := DiscardSettings(ctx, file); err != nil {
		t.Fatal(err)
	}
	if f, err = Open(ctx, file, Options{}); err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	if g, err := f.Group(ctx, "lab1"); err != nil || !g.Settings.Empty() || g.Machines != 1 {
		t.Errorf("after the settings were discarded it is %+v, %v", g, err)
	}
	if _, err := f.Relabel(ctx, []Change{{Key: macA, Group: is("")}}, false, false, fine); err != nil {
		t.Fatal(err)
	}
	if err := f.DeleteGroup(ctx, "lab1"); err != nil {
		t.Error(err)
	}
}

func third[A any](_ A, err error) error { return err }

// TestRetire: a machine that is retired gets no job, from its screen neither, and boots its disk.
func TestRetire(t *testing.T) {
	r := newRoom(t, Options{Unknown: StartAgent})
	ctx := By(t.Context(), "ada")
	r.deployed("ada's key", macA)
	r.order(macA)
	if _, err := r.Retire(ctx, macA); !errors.Is(err, ErrBusy) {
		t.Errorf("with an order that waits: %v", err)
	}
	if _, err := r.Cancel(ctx, macA); err != nil {
		t.Fatal(err)
	}
	m, err := r.Retire(ctx, macA)
	if err != nil || m.Retired == nil || m.Retired.By != "ada" {
		t.Fatalf("Retire() = %+v, %v", m.Retired, err)
	}
	if v := r.show(macA); v.Status() != "retired" || v.State != life.Retired || v.Why() != "an operator retires it" {
		t.Errorf("it is %q, %q", v.Status(), v.State)
	}
	boot := uuid.NewString()
	g := prove(t, r.Fleet, "ada's key", boot, macA)
	_, _, chosen := r.Choose(ctx, Proof{g.Token, "ada's key"}, order())
	for what, err := range map[string]error{
		"install": second(r.Install(ctx, macA, order())),
		"resume":  second(r.Resume(ctx, macA)),
		"screen":  chosen,
		"machine": second(r.AskUpdate(ctx, "ada's key", update())),
	} {
		if !errors.Is(err, ErrRetired) {
			t.Errorf("%s: %v, want ErrRetired", what, err)
		}
	}
	if got := boots(t, r.Fleet, macA); got != netboot.Local {
		t.Errorf("it boots %v", got)
	}
	if _, err := r.Retire(ctx, macA); !errors.Is(err, ErrInvalid) {
		t.Errorf("again: %v", err)
	}
	if _, err := r.Reuse(ctx, macA); err != nil {
		t.Fatal(err)
	}
	if _, err := r.Reuse(ctx, macA); !errors.Is(err, ErrInvalid) {
		t.Errorf("again: %v", err)
	}
	if err := second(r.Install(ctx, macA, order())); err != nil {
		t.Error(err)
	}
}

// TestReplace: another computer takes the place of a machine; what belongs to the hardware stays with the old one.
func TestReplace(t *testing.T) {
	ctx := context.Background()
	f, _ := openSealed(t, Options{})
	if _, err := f.ChangeGroup(ctx, "lab1", true, func(*Group) error { return nil }, fine); err != nil {
		t.Fatal(err)
	}
	deploy(t, f, macA, uuidA)
	if _, err := f.Relabel(ctx, []Change{{Key: macA, Name: is("desk1"), Group: is("lab1"), Place: is("door"),
		Add: []string{"gpu"}}},
		false, false, fine); err != nil {
		t.Fatal(err)
	}
	if _, err := f.SetSettings(ctx, []string{"desk1", macB}, to(t, secrets)); err != nil {
		t.Fatal(err)
	}
	if _, _, err := f.Replace(ctx, "desk1", macB); !errors.Is(err, ErrInvalid) {
		t.Errorf("with settings on both: %v", err)
	}
	if _, err := f.ClearSettings(ctx, macB, nil); err != nil {
		t.Fatal(err)
	}
	if _, _, err := f.Replace(ctx, "desk1", "desk1"); !errors.Is(err, ErrInvalid) {
		t.Errorf("with itself: %v", err)
	}
	old, m, err := f.Replace(ctx, "desk1", macB)
	if err != nil || old.Name != "desk1-old" || old.Retired == nil || old.Retired.For != "desk1" || m.Name != "desk1" {
		t.Fatalf("Replace() = %+v, %+v, %v", old, m, err)
	}
	v, jobs, err := f.Show(ctx, macB)
	if err != nil || v.Machine.Name != "desk1" || v.Machine.Group != "lab1" || v.Machine.Place != "door" ||
		len(jobs) != 0 ||
		v.Machine.Deployed != nil || !slices.Equal(found(t, f, "tag=gpu"), []string{"desk1"}) {
		t.Errorf("the new one is %+v with %d jobs, %v", v.Machine, len(jobs), err)
	}
	if d, err := f.Declared(ctx, "desk1"); err != nil || d.Settings.Empty() {
		t.Errorf("its settings: %v, %v", d.Settings, err)
	}
	if d, err := f.Declared(ctx, "desk1-old"); err != nil || !d.Settings.Empty() {
		t.Errorf("the settings of the old one: %v, %v", d.Settings, err)
	}
	v, jobs, err = f.Show(ctx, macA)
	if err != nil || len(jobs) != 1 || v.Machine.Deployed == nil || v.State != life.Retired || v.Machine.Group != "" {
		t.Errorf("the old one is %+v with %d jobs, %v", v.Machine, len(jobs), err)
	}
	if _, err := f.Reuse(ctx, "desk1-old"); err != nil {
		t.Fatal(err)
	}
	if _, _, err := f.Replace(ctx, "desk1", "desk1-old"); err != nil {
		t.Errorf("and back: %v", err)
	}
}
