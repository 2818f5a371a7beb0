package newroot

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"griddle/appliance/job"
	"griddle/appliance/setting"
	"griddle/cloud/userdata/declared"
	"griddle/cloud/userdata/seed"
	"griddle/imagestore/content"
	writer "griddle/initramfs/setting"
	"griddle/initramfs/subvolume"
	"griddle/initramfs/swapfile"
)

// Check refuses settings that Make could not apply to the image with a manifest. hostname is that of the system.
func Check(spec job.Spec, hostname string, s setting.Settings, m *content.Manifest) error {
	if err := s.Check(); err != nil {
		return fmt.Errorf("the settings of this machine: %w", err)
	}
	if err := job.KernelArgs(Args(spec, s)); err != nil {
		return fmt.Errorf("the job and the settings of this machine: %w", err)
	}
	if !HasCloudInit(m) {
		return nil
	}
	_, err := seedOf(spec, hostname, s)
	return err
}

// HasCloudInit says of an image what initramfs/setting.HasCloudInit says of its root.
func HasCloudInit(m *content.Manifest) bool {
	has, off := false, false
	for _, e := range m.Entries {
		has = has || strings.HasSuffix(e.Path, "bin/cloud-init")
		off = off || e.Path == "etc/cloud/cloud-init.disabled"
	}
	return has && !off
}

// Args are the kernel arguments of the job and then those of the settings, each once.
func Args(spec job.Spec, s setting.Settings) []string {
	args := slices.Clone(spec.Args)
	for _, a := range s.Args {
		if !slices.Contains(args, a) {
			args = append(args, a)
		}
	}
	return args
}

// apply writes the settings into the root, with all mounted that the system mounts.
func (m *making) apply(ctx context.Context) error {
	if err := m.swap(); err != nil || m.Settings == nil {
		return err
	}
	if writer.HasCloudInit(m.Root) {
		spec := m.Spec
		if m.Instance != "" {
			spec.ID = m.Instance
		}
		files, err := seedOf(spec, m.Machine.Hostname, *m.Settings)
		if err != nil {
			return err
		}
		return m.giveSeed(files, len(m.Settings.Network.Interfaces) > 0)
	}
	return writer.Apply(ctx, m.Root, *m.Settings, writer.Options{
		Run:  m.chroot().Run,
		Note: func(text string) { m.warn("settings: %s", text) },
	})
}

// swap makes the swap file in a subvolume of the pool. One that the pool has stays: it may be in use.
func (m *making) swap() error {
	if !m.hasSwap() {
		return nil
	}
	at := filepath.Join(m.Top, swapfile.Subvolume)
	if _, err := os.Lstat(at); errors.Is(err, fs.ErrNotExist) {
		if err := m.newSwap(at); err != nil {
			return err
		}
	} else if err != nil {
		return fmt.Errorf("looking for %s: %w", swapfile.Subvolume, err)
	}
	return m.MakeDir(strings.TrimPrefix(swapfile.Mount, "/"), 0o755)
}

// newSwap makes the subvolume at a path, under another name: a crash leaves none, or a whole one.
func (m *making) newSwap(at string) error {
	aside, err := m.aside(swapfile.Subvolume)
	if err != nil {
		return err
	}
	if err := subvolume.Create(m.Top, aside); err != nil {
		return err
	}
	dir, err := os.OpenRoot(filepath.Join(m.Top, aside))
	if err != nil {
		return fmt.Errorf("opening %s: %w", aside, err)
	}
	defer dir.Close()
	if err := swapfile.Make(dir, int64(m.Settings.Swap)); err != nil {
		return err
	}
	if err := os.Rename(filepath.Join(m.Top, aside), at); err != nil {
		return fmt.Errorf("naming %s: %w", swapfile.Subvolume, err)
	}
	return nil
}

// seedOf is what cloud-init takes the settings from. The job of spec is the ID of the instance.
func seedOf(spec job.Spec, hostname string, s setting.Settings) ([]seed.File, error) {
	s.Swap = 0 // see swap
	if s.Hostname == "" {
		host, domain, _ := strings.Cut(strings.ToLower(hostname), ".")
		s.Hostname = host
		if s.Domain == "" {
			s.Domain = domain
		}
	}
	given, err := declared.Seed(spec.ID, s)
	if err != nil {
		return nil, err
	}
	return seed.NoCloud(given)
}

// seedFolder is where cloud-init looks for a seed before it looks at disks, and sourcesFile has it look there alone.
// The last file of its folder wins (cloud-init's docs, "Configuration sources" and "NoCloud"; tools/ds-identify).
const (
	seedFolder  = "var/lib/cloud/seed/nocloud"
	sourcesFile = "etc/cloud/cloud.cfg.d/zz-griddle.cfg"
)

// onlySeed spares the search of clouds and of disks labelled cidata: with one source, ds-identify does not search.
const onlySeed = `# Written by Griddle when this system was installed.
datasource_list: [NoCloud, None]
datasource:
  NoCloud:
    fs_label: null
`

// noOwnNetwork takes away the network of the image's cloud.cfg, which wins over that of a seed, also where it only says
// that cloud-init leaves the network alone (cloudinit/stages.py, _find_networking_config).
const noOwnNetwork = "network: null\n"

// ownHostKeys keeps the host keys of a machine whose new root cloud-init sets up.
const ownHostKeys = "ssh_deletekeys: false\n"

// giveSeed leaves a seed in the root. Only root can read it, because user-data may have secrets.
func (m *making) giveSeed(files []seed.File, withNetwork bool) error {
	if err := m.RemoveAll(seedFolder); err != nil {
		return fmt.Errorf("writing /%s: %w", seedFolder, err)
	}
	if err := m.Parent(seedFolder); err != nil {
		return err
	}
	if err := m.MakeDir(seedFolder, 0o700); err != nil {
		return err
	}
	for _, f := range files {
		if err := m.Write(seedFolder+"/"+f.Name, f.Content, 0o600); err != nil {
			return err
		}
	}
	config := onlySeed
	if m.Carry != nil {
		config += ownHostKeys
	}
	if withNetwork {
		config += noOwnNetwork
	}
	return m.Write(sourcesFile, []byte(config), 0o644)
}
