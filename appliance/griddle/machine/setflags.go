package machine

import (
	"errors"
	"fmt"
	"os"
	"strings"

	"github.com/spf13/cobra"

	"griddle/appliance/griddle/cli"
	"griddle/appliance/setting"
	"griddle/appliance/setting/settingfile"
)

// setFlags are those of `griddle machine set`.
type setFlags struct {
	hostname, user, rootPassword, userData, network string
	sshKeys, unset                                  []string
	file, allFrom                                   string
	clear                                           bool
}

func (s *setFlags) add(c *cobra.Command) {
	c.Flags().StringVar(&s.hostname, "hostname", "", "`HOSTNAME`; {name}, {serial} and {mac} in it are the machine's")
	c.Flags().StringVar(&s.user, "user", "", "`NAME` of the user that gets the keys of --ssh-key, in place of root")
	c.Flags().StringArrayVar(&s.sshKeys, "ssh-key", nil, "`FILE` with public keys that may log in; can be repeated")
	c.Flags().StringVar(&s.rootPassword, "root-password-file", "", "`FILE` with the hash of root's password, as "+
		"`openssl passwd -6` prints it")
	c.Flags().StringVar(&s.userData, "user-data", "", "`FILE` with user-data for an image with cloud-init")
	c.Flags().StringVar(&s.network, "network", "", "`FILE` with the network, in YAML or JSON; replaces the machine's "+
		"own")
	c.Flags().StringVar(&s.file, "file", "", "`FILE` with all settings of the machine, in YAML or JSON")
	c.Flags().StringVar(&s.allFrom, "all-from", "", "`FILE` with the settings of several machines")
	c.Flags().StringArrayVar(&s.unset, "unset", nil, "`KEY` of the highest level to delete, such as network; can be "+
		"repeated")
	c.Flags().BoolVar(&s.clear, "clear", false, "delete all settings that the machine has of its own first")
}

// validate reports every mistake in the use of the flags.
func (s setFlags) validate(args int) error {
	single := s.hostname != "" || s.user != "" || s.rootPassword != "" || s.userData != "" || s.network != "" ||
		len(s.sshKeys)+len(s.unset) > 0
	var errs []error
	wrong := func(is bool, text string) {
		if is {
			errs = append(errs, errors.New(text))
		}
	}
	if s.allFrom != "" {
		wrong(args > 0, "--all-from names the machines in its file: give no MACHINE")
		wrong(single || s.file != "" || s.clear, "--all-from goes with no other flag of set")
		return errors.Join(errs...)
	}
	wrong(args == 0, "name the MACHINE, or give --all-from FILE")
	wrong(s.file != "" && (single || s.clear), "--file replaces all settings of the machine: give no other flag of set")
	wrong(!single && s.file == "" && !s.clear, "nothing to change: give --file FILE, --clear or one of the other flags")
	wrong(s.user != "" && len(s.sshKeys) == 0, "--user says whose keys --ssh-key FILE has: give both")
	wrong(s.clear && len(s.unset) > 0, "--clear deletes everything: --unset adds nothing")
	return errors.Join(errs...)
}

// read makes the change of the flags and their files.
func (s setFlags) read() (out changed, err error) {
	out.files = map[string]settingfile.File{}
	if s.file != "" {
		b, err := os.ReadFile(s.file)
		if err != nil {
			return out, fmt.Errorf("reading settings: %w", err)
		}
		f, err := settingfile.Parse(s.file, b)
		out.files[""], out.Settings = f, f.Document
		return out, err
	}
	values := map[string]any{}
	if s.hostname != "" {
		values["hostname"] = s.hostname
	}
	if err := s.logins(values); err != nil {
		return out, err
	}
	if s.userData != "" {
		b, err := os.ReadFile(s.userData)
		if err != nil {
			return out, fmt.Errorf("reading --user-data: %w", err)
		}
		values["userData"] = string(b)
	}
	if out.Settings, err = setting.New("the command line", values); err != nil {
		return out, err
	}
	out.Clear = s.unset
	if s.network != "" {
		f, err := networkFile(s.network)
		if err != nil {
			return out, err
		}
		out.Clear = append(out.Clear, "network")
		out.files["network"], out.Settings = f, out.Settings.With(f.Document)
	}
	return out, nil
}

func networkFile(path string) (f settingfile.File, err error) {
	b, err := os.ReadFile(path)
	if err != nil {
		return f, fmt.Errorf("reading --network: %w", err)
	}
	return settingfile.ParseKey(path, "network", b)
}

// logins reads the keys and root's password.
func (s setFlags) logins(values map[string]any) error {
	var keys []any
	for _, path := range s.sshKeys {
		more, err := readKeys(path)
		if err != nil {
			return err
		}
		keys = append(keys, more...)
	}
	root := map[string]any{}
	switch {
	case len(keys) > 0 && s.user != "":
		values["users"] = []any{map[string]any{"name": s.user, "keys": keys}}
	case len(keys) > 0:
		root["keys"] = keys
	}
	if s.rootPassword != "" {
		b, err := cli.ReadSmall(s.rootPassword)
		if err != nil {
			return fmt.Errorf("reading --root-password-file: %w", err)
		}
		hash := strings.TrimSpace(string(b))
		if err := checked(setting.Settings{Root: setting.Root{PasswordHash: hash}}); err != nil || hash == "" {
			// What is in the file may be a password, and is not repeated.
			return cli.WithHint(fmt.Errorf("reading --root-password-file: %s has no hash of a password",
				s.rootPassword), "Passwords in plain text are refused. `openssl passwd -6 >%s` asks for one and "+
				"writes its hash.", s.rootPassword)
		}
		root["passwordHash"] = hash
	}
	if len(root) > 0 {
		values["root"] = root
	}
	return nil
}

// readKeys reads the lines of a file of public keys.
func readKeys(path string) (keys []any, err error) {
	b, err := cli.ReadSmall(path)
	if err != nil {
		return nil, fmt.Errorf("reading --ssh-key: %w", err)
	}
	if strings.Contains(string(b), "PRIVATE KEY") {
		return nil, cli.WithHint(fmt.Errorf("reading --ssh-key: %s is a private key", path),
			"Give the public key, the file that ends in .pub.")
	}
	n := 0
	for line := range strings.Lines(string(b)) {
		n++
		if line = strings.TrimSpace(line); line == "" || line[0] == '#' {
			continue
		}
		if err := checked(setting.Settings{Root: setting.Root{Keys: []string{line}}}); err != nil {
			return nil, fmt.Errorf("reading --ssh-key: %s:%d: %w", path, n, err)
		}
		keys = append(keys, line)
	}
	if keys == nil {
		return nil, fmt.Errorf("reading --ssh-key: %s has no key", path)
	}
	return keys, nil
}

// checked is the first mistake of some settings, without its place.
func checked(s setting.Settings) error {
	for _, one := range setting.Mistakes(s.Check()) {
		return errors.New(one.Text)
	}
	return nil
}
