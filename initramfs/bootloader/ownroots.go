package bootloader

import (
	"errors"
	"fmt"
	"strings"

	"griddle/initramfs/bootloader/bootenv"
)

// OwnRoot is a root that is a filesystem of its own.
type OwnRoot struct {
	Name string `json:"name"` // as grubenv has it
	UUID string `json:"uuid"` // of its filesystem, lower case with dashes
}

// ownLine begins a line at the top of a grub.cfg for each of these roots; see line.
const ownLine = "# A root is the filesystem "

func (r OwnRoot) line() string { return ownLine + r.UUID + ": " + r.Name }

// parseOwn undoes line. ok is false for all other lines.
func parseOwn(line string) (r OwnRoot, ok bool) {
	rest, ok := strings.CutPrefix(line, ownLine)
	if !ok {
		return OwnRoot{}, false
	}
	r.UUID, r.Name, ok = strings.Cut(rest, ": ")
	return r, ok
}

// checkOwn finds what is wrong with Own.
func (c Config) checkOwn() error {
	if len(c.Own) == 0 {
		return nil
	}
	var errs []error
	if c.Flat {
		errs = append(errs, errors.New("a flat filesystem has no roots beside it"))
	}
	seen, has := map[string]bool{}, false
	for _, r := range c.Own {
		if !isUUID(r.UUID) || r.UUID == c.PoolID || seen[r.UUID] || seen[r.Name] {
			errs = append(errs, fmt.Errorf("root %q has the UUID %q, which is not valid, or of another one", r.Name,
				r.UUID))
		}
		seen[r.UUID], seen[r.Name] = true, true
		has = has || c.Root == Roots+"/"+r.Name
		errs = append(errs, bootenv.CheckName(r.Name))
	}
	if !has {
		errs = append(errs, fmt.Errorf("root %q is not one of those in partitions", c.Root))
	}
	return errors.Join(errs...)
}

func isUUID(s string) bool { return len(s) == 36 && strings.Trim(s, "0123456789abcdef-") == "" }

// where is the function system_of of script/pool.cfg, and what ends in the names of all roots.
func (c Config) where() (function, systems string, err error) {
	if c.Boot != nil {
		b, err := script.ReadFile("script/bootpart.cfg")
		return string(b), "($pool)/*", err
	}
	if len(c.Own) == 0 {
		b, err := script.ReadFile("script/subvolumes.cfg")
		return string(b), "($pool)/@roots/*", err
	}
	var out, names strings.Builder
	out.WriteString("# Each root is a filesystem of its own. That of this disk first, as for the pool.\n")
	for i, r := range c.Own {
		fmt.Fprintf(&out, "search --no-floppy --fs-uuid --set=own%d --hint=\"$disk,\" %s\nexport own%d\n", i, r.UUID, i)
		fmt.Fprintf(&names, " %s", quote("/"+r.Name))
	}
	out.WriteString(`
# system_of ROOT sets system to where a root is, and flags to the kernel argument that says which one it is. Without a
# device, a path would be one of the EFI system partition: no device has the name missing.
function system_of {
	set system="(missing)"
	set flags=
`)
	for i, r := range c.Own {
		fmt.Fprintf(&out, "\tif [ \"$1\" = %s -a -n \"$own%d\" ]; then\n"+
			"\t\tset system=\"($own%d)\"\n\t\tset flags=%s\n\tfi\n", quote(r.Name), i, i, quote("root=UUID="+r.UUID))
	}
	out.WriteString("}\n")
	return out.String(), strings.TrimSpace(names.String()), nil
}

// flags is the kernel argument that says which root Root is.
func (c Config) flags() string {
	for _, r := range c.Own {
		if c.Root == Roots+"/"+r.Name {
			return "root=UUID=" + r.UUID
		}
	}
	return "rootflags=subvol=" + c.Root
}
