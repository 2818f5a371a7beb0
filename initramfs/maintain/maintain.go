// Package maintain changes an installed system after its install: names, users, ssh, time zone, the root password, the
// configurator, shares and the bootloader.
//
// Call Tasks for what there is, Task.Check for the values that a person gave, and Task.Do. The command line, the menu
// and the screen of the agent are made from the same tasks: a Field is a flag, a question or a line of a form.
//
// # What it guarantees
//
// A task checks all its values before it changes anything, with the same checks as settings of a server. Files are
// written as package setting writes them: each is whole at any time, and what a task does not name stays. A task says
// what it did, and from when that has an effect. Do again with the same values changes nothing.
//
// The system may be hostile: all access goes through os.Root. Passwords are hashed here. What is secret goes neither to
// the arguments of a program nor into an error, and has mode 0600 in files.
package maintain

import (
	"context"
	"errors"
	"fmt"
	"os"
	"strings"
	"unicode"

	"griddle/appliance/setting"
	write "griddle/initramfs/setting"
	"griddle/initramfs/sysroot"
)

// Machine is the system that tasks change.
type Machine struct {
	Root    *os.Root // of the system, with /home mounted
	Running bool     // the system runs now, and is this one

	// Run runs a program of the system and returns an error with what it printed; nil if that is not possible.
	Run func(ctx context.Context, p Program) error

	SetHostname func(name string) error // of the running kernel; nil if the system does not run
	Bootloader  func() error            // installs GRUB on the disk of the system again; nil if that is not possible
}

// Program is a program of the system.
type Program struct {
	Name  string
	Args  []string
	Input string // may be secret
}

// Task is one thing to change.
type Task struct {
	Name    string // of the command: "root-password"
	Title   string // "Root password"
	About   string // one or two sentences
	Example string // arguments of the command, "" for none
	Fields  []Field

	check func(v Values) (setting.Settings, error)
	do    func(ctx context.Context, w *work) error
}

// Field is one value of a task.
type Field struct {
	Name     string // of the flag: "ssh-key"
	Label    string // "SSH key"
	Help     string // what it is, in a few words
	Required bool
	First    bool     // the command takes it as an argument, without its name
	Secret   bool     // it is not shown, and asked for twice
	File     bool     // the command takes the name of a file that has it
	Choices  []string // all values that it can have, nil for any
}

// Values are the values of fields by their names; those that a person did not give are missing or "".
type Values map[string]string

// ErrUsage is wrapped by errors about values.
var ErrUsage = errors.New("not valid")

// Tasks are all tasks, in the order of menus.
func Tasks() []Task {
	return []Task{hostname(), domain(), join(), user(), timezone(), ssh(), rootPassword(), configure(), configureNow(),
		share(), unshare(), bootloader()}
}

// Find is the task with a name.
func Find(name string) (Task, bool) {
	for _, t := range Tasks() {
		if t.Name == name {
			return t, true
		}
	}
	return Task{}, false
}

// maxValue is the size of the largest value, in bytes.
const maxValue = 16 << 10

// Check reports every mistake in values. Errors wrap ErrUsage.
func (t Task) Check(v Values) error {
	_, err := t.settings(v)
	return err
}

func (t Task) settings(v Values) (setting.Settings, error) {
	var errs []error
	wrong := func(f Field, why string) { errs = append(errs, fmt.Errorf("%s: %w: %s", f.Label, ErrUsage, why)) }
	for _, f := range t.Fields {
		value := v[f.Name]
		switch {
		case value == "" && f.Required:
			wrong(f, "it is missing")
		case len(value) > maxValue:
			wrong(f, fmt.Sprintf("it has more than %d bytes", maxValue))
		case strings.ContainsFunc(value, unicode.IsControl):
			wrong(f, "it has a control character")
		case value != "" && f.Choices != nil && !contains(f.Choices, value):
			wrong(f, "it is one of "+strings.Join(f.Choices, ", "))
		}
	}
	if errs != nil || t.check == nil {
		return setting.Settings{}, errors.Join(errs...)
	}
	s, err := t.check(v)
	if err == nil {
		err = s.Check()
	}
	if err != nil {
		return setting.Settings{}, fmt.Errorf("%s: %w: %w", t.Title, ErrUsage, err)
	}
	return s, nil
}

func contains(all []string, s string) bool {
	for _, a := range all {
		if a == s {
			return true
		}
	}
	return false
}

// Do carries the task out, and returns what it did, a sentence each. The sentences are right with an error too.
func (t Task) Do(ctx context.Context, m Machine, v Values) ([]string, error) {
	s, err := t.settings(v)
	if err != nil {
		return nil, err
	}
	w := &work{Machine: m, dir: sysroot.Dir{Root: m.Root}, v: v, s: s}
	if err := t.do(ctx, w); err != nil {
		return w.said, fmt.Errorf("%s: %w", t.Title, err)
	}
	return w.said, nil
}

// work is one run of a task.
type work struct {
	Machine
	dir  sysroot.Dir
	v    Values
	s    setting.Settings // what the task's values are as settings
	said []string
}

func (w *work) say(format string, args ...any) { w.said = append(w.said, fmt.Sprintf(format, args...)) }

// apply writes the settings.
func (w *work) apply(ctx context.Context) error {
	o := write.Options{Note: func(text string) { w.say("Note: %s.", text) }}
	if w.Run != nil {
		o.Run = func(ctx context.Context, name string, args ...string) error { return w.run(ctx, name, args...) }
	}
	return write.Apply(ctx, w.Root, w.s, o)
}

func (w *work) run(ctx context.Context, name string, args ...string) error {
	return w.Run(ctx, Program{Name: name, Args: args})
}

// later says what takes effect with the next start.
func (w *work) later(what string) {
	if w.Running {
		w.say("%s", what)
		return
	}
	w.say("It has an effect when the system starts.")
}

// service is the unit of the system, by its usual names; "" if it has none.
func (w *work) service(names ...string) string {
	for _, n := range names {
		for _, dir := range []string{"usr/lib/systemd/system/", "lib/systemd/system/", "etc/systemd/system/"} {
			if w.dir.Has(dir + n) {
				return n
			}
		}
	}
	return ""
}
