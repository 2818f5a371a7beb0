package seed

import (
	"bytes"
	"errors"
	"fmt"
	"io"

	"github.com/kdomanski/iso9660"
)

// Label is the volume label by which cloud-init finds a disk with a NoCloud seed.
const Label = "cidata"

// ISO writes an ISO 9660 image with files to w. The same files give the same bytes. Until it returns, the library keeps
// copies in a directory below os.TempDir that no other user can enter.
func ISO(w io.Writer, label string, files []File) (err error) {
	image, err := iso9660.NewWriter()
	if err != nil {
		return fmt.Errorf("writing a seed's image: %w", err)
	}
	defer func() { err = errors.Join(err, image.Cleanup()) }()
	for _, f := range files {
		if err := image.AddFile(bytes.NewReader(f.Content), f.Name); err != nil {
			return fmt.Errorf("writing a seed's image: %w", err)
		}
	}
	var b bytes.Buffer
	if err := image.WriteTo(&b, label); err != nil {
		return fmt.Errorf("writing a seed's image: %w", err)
	}
	if err := timeless(b.Bytes()); err != nil {
		return fmt.Errorf("writing a seed's image: %w", err)
	}
	if _, err := w.Write(b.Bytes()); err != nil {
		return fmt.Errorf("writing a seed's image: %w", err)
	}
	return nil
}

// timeless replaces the times in the primary volume descriptor (ECMA-119 8.4.26 to 8.4.29), which the library takes
// from the clock, by "not specified": sixteen digits 0 and an offset of 0.
func timeless(image []byte) error {
	const (
		sector = 2048
		begin  = 16*sector + 813
		field  = 17
	)
	if len(image) < 17*sector || string(image[16*sector:16*sector+6]) != "\x01CD001" {
		return errors.New("the primary volume descriptor is not where it should be")
	}
	for i := range 4 {
		copy(image[begin+i*field:], "0000000000000000\x00")
	}
	return nil
}
