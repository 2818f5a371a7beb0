package machine

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"os"
	"strings"

	"github.com/spf13/cobra"

	"griddle/appliance/api"
	"griddle/appliance/griddle/cli"
	"griddle/appliance/job"
	"griddle/appliance/setting/settingfile"
	"griddle/cloud/yamltree"
)

func (m *machines) setCommand() *cobra.Command {
	var s setFlags
	c := &cobra.Command{
		Use:   "set {MACHINE [flags] | --all-from FILE}",
		Short: "Change the settings of a machine, or of several",
		Long: "Change the settings that one machine has of its own, which it gets with its next install. Flags\n" +
			"change only what they name; --file replaces all of them. A MAC address or UUID that was never seen is\n" +
			"fine.\n\n" +
			"--all-from FILE sets the settings of several machines: a mapping of names, MAC addresses or UUIDs to\n" +
			"settings. All are checked first, and if one of them has a mistake, nothing is changed.\n\n" +
			"The server stores settings encrypted. `griddle machine settings` shows them without secrets.\n" +
			"docs/SETTINGS.md describes all settings.",
		Example: "  griddle machine set node7 --hostname lab-7 --ssh-key ~/.ssh/id_ed25519.pub\n" +
			"  griddle machine set node7 --user ada --ssh-key ada.pub --root-password-file root.hash\n" +
			"  griddle machine set node7 --file node7.yaml\n" +
			"  griddle machine set --all-from lab.yaml",
		Args: cobra.MaximumNArgs(1), ValidArgsFunction: m.one(),
	}
	run := m.with(func(ctx context.Context, client *api.Client, args []string) error {
		if s.allFrom != "" {
			return m.setMany(ctx, client, s.allFrom)
		}
		return m.setOne(ctx, client, args[0], s)
	})
	c.RunE = func(c *cobra.Command, args []string) error {
		if err := s.validate(len(args)); err != nil {
			return cli.Usage(err)
		}
		return run(c, args)
	}
	s.add(c)
	return c
}

// setOne changes the settings of the machine that key names.
func (m *machines) setOne(ctx context.Context, client *api.Client, key string, s setFlags) error {
	change, err := s.read()
	if err != nil {
		return err
	}
	var got api.Settings
	switch {
	case s.clear && change.Settings.Empty():
		if err = client.ClearSettings(ctx, key); err == nil {
			got, err = client.Settings(ctx, key)
		}
	case s.clear || s.file != "":
		got, err = client.SetSettings(ctx, key, change.Settings)
	default:
		got, err = client.ChangeSettings(ctx, key, change.SettingsChange)
	}
	if err != nil {
		return placed(err, false, func(one job.Mistake) (settingfile.File, bool) { return change.file(one.Place) })
	}
	if err := m.e.Printf(got, "The settings of %s are changed. `griddle machine settings %s` shows them.", got.Machine,
		got.Machine); err != nil {
		return err
	}
	if len(got.Secrets) > 0 && !got.Proved && m.e.Notes() {
		fmt.Fprint(m.e.Stderr, secretsWait(got.Machine))
	}
	return nil
}

// setMany sets the settings of all machines of a file, or of none.
func (m *machines) setMany(ctx context.Context, client *api.Client, path string) error {
	b, err := os.ReadFile(path)
	if err != nil {
		return fmt.Errorf("reading settings: %w", err)
	}
	all, err := settingfile.ParseMachines(path, b)
	if err != nil {
		return err
	}
	in := api.ManySettings{Machines: map[string]json.RawMessage{}}
	for key, f := range all {
		if in.Machines[key], err = json.Marshal(f.Document); err != nil {
			return err
		}
	}
	names, err := client.SetManySettings(ctx, in)
	var p *job.Problem
	if errors.As(err, &p) && p.Status == http.StatusRequestEntityTooLarge {
		return cli.WithHint(err, "Nothing was changed. Split the file, and set the settings of fewer machines at once.")
	}
	if err != nil {
		return placed(err, true, func(one job.Mistake) (settingfile.File, bool) {
			f, ok := all[one.Machine]
			return f, ok
		})
	}
	return m.e.Printf(names, "The settings of %d machines are set: %s.", len(names), job.Sentence(strings.Join(names,
		", ")))
}

// placed gives mistakes that the server found the places of the files that they come from, and where they are those of
// many machines the names of these.
func placed(err error, many bool, fileOf func(job.Mistake) (settingfile.File, bool)) error {
	var p *job.Problem
	if !errors.As(err, &p) || len(p.Mistakes) == 0 {
		return err
	}
	var faults yamltree.Faults
	for _, one := range p.Mistakes {
		fault := yamltree.Fault{Path: one.Place, Text: one.Text}
		f, ok := fileOf(one)
		switch own := strings.HasPrefix(one.From, "machine "); {
		case ok && (own || one.From == ""):
			fault.Place = f.Where(one.Place)
		case !own && one.From != "":
			fault.Text += " (" + one.From + ")"
		}
		if many && one.Machine != "" {
			fault = settingfile.Of(one.Machine, yamltree.Faults{fault})[0]
		}
		faults = append(faults, fault)
	}
	return fmt.Errorf("%s:\n%w", p.Detail, faults.Sorted())
}

// changed is what the flags change, and the files that they name.
type changed struct {
	api.SettingsChange
	files map[string]settingfile.File // by the key of the highest level, "" for all
}

// file is the file that has the value of a place.
func (c changed) file(place string) (settingfile.File, bool) {
	if f, ok := c.files[""]; ok {
		return f, true
	}
	key, _, _ := strings.Cut(place, ".")
	f, ok := c.files[key]
	return f, ok
}
