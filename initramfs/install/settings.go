package install

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"griddle/appliance/job"
	"griddle/cloud/userdata/declared"
	"griddle/cloud/userdata/seed"
	"griddle/imagestore/content"
	"griddle/initramfs/setting"
	"griddle/initramfs/swapfile"
)

// ask gets the settings of the machine while nothing is written, and refuses those that could not be applied.
func (w *work) ask(ctx context.Context, m *content.Manifest) error {
	if w.o.Settings == nil {
		return nil
	}
	s, err := w.o.Settings(ctx)
	if err != nil {
		return err
	}
	if err := s.Check(); err != nil {
		return fmt.Errorf("%w: the settings of this machine: %w", ErrRefused, err)
	}
	w.settings = s
	if err := job.KernelArgs(w.args()); err != nil {
		return fmt.Errorf("%w: the job and the settings of this machine: %w", ErrRefused, err)
	}
	if need := job.DiskNeeds(w.img.Size()) + int64(s.Swap); w.target.Size < need {
		return fmt.Errorf("%w: disk too small: %s has %s, %s with the swap of the settings needs %s; give a smaller "+
			"swap", ErrRefused, w.target, job.Bytes(w.target.Size), w.img.Ref(), job.Bytes(need))
	}
	if hasCloudInit(m) {
		if _, err := w.seed(); err != nil {
			return fmt.Errorf("%w: %w", ErrRefused, err)
		}
	} else if s.UserData != "" {
		w.warn("userData has no effect: %s has no cloud-init", w.img.Ref())
	}
	return nil
}

// hasCloudInit says of an image what setting.HasCloudInit says of its root.
func hasCloudInit(m *content.Manifest) bool {
	has, off := false, false
	for _, e := range m.Entries {
		has = has || strings.HasSuffix(e.Path, "bin/cloud-init")
		off = off || e.Path == "etc/cloud/cloud-init.disabled"
	}
	return has && !off
}

// args are the kernel arguments of the job and then those of the settings, each once.
func (w *work) args() []string {
	args := slices.Clone(w.spec.Args)
	for _, a := range w.settings.Args {
		if !slices.Contains(args, a) {
			args = append(args, a)
		}
	}
	return args
}

// apply writes the settings into the root at dir, with all mounted that the system mounts.
func (w *work) apply(ctx context.Context, sys system, dir string) error {
	if w.o.Settings == nil {
		return nil
	}
	if err := w.swap(sys); err != nil {
		return err
	}
	if setting.HasCloudInit(sys.Root) {
		files, err := w.seed()
		if err != nil {
			return err
		}
		return sys.giveSeed(files, len(w.settings.Network.Interfaces) > 0)
	}
	return setting.Apply(ctx, sys.Root, w.settings, setting.Options{
		Run:  w.newRoot(dir).Run,
		Note: func(text string) { w.warn("settings: %s", text) },
	})
}

// swap makes the swap file in a subvolume of the pool.
func (w *work) swap(sys system) error {
	if w.settings.Swap == 0 {
		return nil
	}
	if err := createSubvolume(w.parts.poolDir, swapfile.Subvolume); err != nil {
		return err
	}
	dir, err := os.OpenRoot(filepath.Join(w.parts.poolDir, swapfile.Subvolume))
	if err != nil {
		return fmt.Errorf("opening %s: %w", swapfile.Subvolume, err)
	}
	defer dir.Close()
	if err := swapfile.Make(dir, int64(w.settings.Swap)); err != nil {
		return err
	}
	return sys.MakeDir(strings.TrimPrefix(swapfile.Mount, "/"), 0o755)
}

// seed is what cloud-init takes the settings from. A new job makes cloud-init set the machine up again.
func (w *work) seed() ([]seed.File, error) {
	s := w.settings
	s.Swap = 0 // see swap
	if s.Hostname == "" {
		host, domain, _ := strings.Cut(strings.ToLower(w.hostname()), ".")
		s.Hostname = host
		if s.Domain == "" {
			s.Domain = domain
		}
	}
	given, err := declared.Seed(w.spec.ID, s)
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

// giveSeed leaves a seed in the root. Only root can read it, because user-data may have secrets.
func (s system) giveSeed(files []seed.File, withNetwork bool) error {
	if err := s.RemoveAll(seedFolder); err != nil {
		return fmt.Errorf("writing /%s: %w", seedFolder, err)
	}
	if err := s.Parent(seedFolder); err != nil {
		return err
	}
	if err := s.MakeDir(seedFolder, 0o700); err != nil {
		return err
	}
	for _, f := range files {
		if err := s.Write(seedFolder+"/"+f.Name, f.Content, 0o600); err != nil {
			return err
		}
	}
	config := onlySeed
	if withNetwork {
		config += noOwnNetwork
	}
	return s.Write(sourcesFile, []byte(config), 0o644)
}
