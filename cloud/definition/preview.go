package definition

import (
	"crypto/sha256"
	"fmt"
	"io"
	"strings"

	"griddle/cloud/diskimage"
)

// Preview writes what would be made, for people, and asks neither the catalog nor a provider.
func (d *Definition) Preview(w io.Writer) error {
	var b strings.Builder
	fmt.Fprintf(&b, "%s: from %s (%s)\n", d.Name, d.Image, d.Arch)
	fmt.Fprintf(&b, "  files read: %s\n", strings.Join(d.Sources, ", "))
	if len(d.Profiles) > 0 {
		fmt.Fprintf(&b, "  profiles: %s\n", strings.Join(d.Profiles, ", "))
	}
	for _, o := range d.Outputs {
		fmt.Fprintf(&b, "\noutput %s: %s", o.Name, o.Options.Format)
		if o.Options.Format != diskimage.Tree {
			size := "as large as it needs"
			if o.Options.Size > 0 {
				size = fmt.Sprintf("%d MiB", o.Options.Size>>20)
			}
			fmt.Fprintf(&b, ", %s, %s, for BIOS and UEFI", o.Options.Filesystem, size)
		}
		if o.Register != "" {
			fmt.Fprintf(&b, ", registered with %s", o.Register)
		}
		b.WriteByte('\n')
		if len(o.Options.Args) > 0 && o.Options.Format != diskimage.Tree {
			fmt.Fprintf(&b, "  kernel arguments: %q\n", o.Options.Args)
		}
		for _, f := range o.Options.Files {
			switch {
			case f.Link != "":
				fmt.Fprintf(&b, "  %s -> %s\n", f.Path, f.Link)
			case f.Dir:
				fmt.Fprintf(&b, "  %s/ %04o %d:%d\n", f.Path, f.Mode, f.UID, f.GID)
			default:
				sum := sha256.Sum256(f.Content)
				fmt.Fprintf(&b, "  %s %04o %d:%d, %d bytes, sha256 %x\n", f.Path, f.Mode, f.UID, f.GID,
					len(f.Content), sum[:6])
			}
		}
	}
	if len(d.Conflicts) > 0 {
		b.WriteString("\nconflicts (the later value won):\n")
		for _, c := range d.Conflicts {
			fmt.Fprintf(&b, "  %s\n", c)
		}
	}
	_, err := io.WriteString(w, b.String())
	return err
}
