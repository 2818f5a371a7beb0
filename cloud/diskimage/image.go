package diskimage

import (
	"context"
	"fmt"
	"io"
	"os"
	"os/exec"
	"strings"

	"griddle/cloud/diskimage/program"
	"griddle/imagestore"
	"griddle/imagestore/ref"
)

// FromStore returns an image of the catalog. Its tree is compared with the signed manifest each time it is read.
func FromStore(ctx context.Context, s *imagestore.Store, name ref.Ref) (Image, error) {
	shown, err := s.Show(ctx, name)
	if err != nil {
		return Image{}, err
	}
	exact, err := ref.Parse(shown.Image.Ref)
	if err != nil {
		return Image{}, err
	}
	return Image{
		Ref: shown.Image.Ref, Digest: string(shown.Image.Content.Digest), Arch: exact.Arch,
		Tar: func(ctx context.Context, w io.Writer, progress Bytes) error {
			return s.Tar(ctx, exact, w, progress)
		},
	}, nil
}

// FromDirectory returns the tree below dir, such as an image that was received there, under the digest that the
// caller knows it by. Reading files of all owners needs root. It does not look for changes: two different trees
// must not have one digest.
func FromDirectory(dir, ref, digest, arch string) Image {
	return Image{Ref: ref, Digest: digest, Arch: arch, Tar: func(ctx context.Context, w io.Writer, _ Bytes) error {
		cmd := exec.CommandContext(ctx, "tar", "--format=pax", "--pax-option=delete=atime,delete=ctime",
			"--sort=name", "--numeric-owner",
			"--xattrs", "--xattrs-include=*", "--one-file-system", "-C", dir, "-cf", "-", ".")
		cmd.Env = append(os.Environ(), "LC_ALL=C")
		var stderr program.Tail
		cmd.Stdout, cmd.Stderr = w, &stderr
		if err := cmd.Run(); err != nil {
			return fmt.Errorf("reading %s: %w: %s", dir, err, strings.TrimSpace(string(stderr)))
		}
		return nil
	}}
}
