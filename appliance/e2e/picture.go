package e2e

import (
	"bufio"
	"context"
	"fmt"
	"image"
	"image/color"
	"image/png"
	"io"
	"os"
)

// maxPicture bounds the pixels of a picture, far above any screen that QEMU has.
const maxPicture = 1 << 24

// Picture writes what the machine's screen (not its serial line) shows to a PNG file.
func (m *Machine) Picture(ctx context.Context, file string) error {
	ppm := file + ".ppm"
	defer os.Remove(ppm)
	if err := m.monitor.command(ctx, "screendump", map[string]any{"filename": ppm}); err != nil {
		return fmt.Errorf("taking a picture of %s: %w", m.Name, err)
	}
	in, err := os.Open(ppm)
	if err != nil {
		return fmt.Errorf("taking a picture of %s: %w", m.Name, err)
	}
	defer in.Close()
	img, err := readPPM(in)
	if err != nil {
		return fmt.Errorf("taking a picture of %s: %w", m.Name, err)
	}
	if err := writePNG(file, img); err != nil {
		return fmt.Errorf("taking a picture of %s: %w", m.Name, err)
	}
	return nil
}

// writePNG writes a picture. One with few colours has them in a table, and is small.
func writePNG(file string, img image.Image) error {
	out, err := os.Create(file)
	if err != nil {
		return err
	}
	defer out.Close()
	encoder := png.Encoder{CompressionLevel: png.BestCompression}
	if err := encoder.Encode(out, withTable(img)); err != nil {
		return err
	}
	return out.Close()
}

// withTable is a picture with a table of its colours, if they are few.
func withTable(img image.Image) image.Image {
	const most = 256 // that a PNG has
	b := img.Bounds()
	out, known := image.NewPaletted(b, nil), map[color.Color]uint8{}
	for y := b.Min.Y; y < b.Max.Y; y++ {
		for x := b.Min.X; x < b.Max.X; x++ {
			c := img.At(x, y)
			i, is := known[c]
			if !is {
				if len(out.Palette) == most {
					return img
				}
				i = uint8(len(out.Palette))
				known[c], out.Palette = i, append(out.Palette, c)
			}
			out.Pix[out.PixOffset(x, y)] = i
		}
	}
	return out
}

// readPPM reads a binary portable pixmap with one byte a colour (netpbm's ppm(5), "P6"), which is what QEMU writes.
func readPPM(in io.Reader) (image.Image, error) {
	r := bufio.NewReader(in)
	var width, height, depth int
	if _, err := fmt.Fscanf(r, "P6\n%d %d\n%d\n", &width, &height, &depth); err != nil {
		return nil, fmt.Errorf("reading a pixmap's header: %w", err)
	}
	if width <= 0 || height <= 0 || depth != 255 || width > maxPicture/height {
		return nil, fmt.Errorf("reading a pixmap's header: %d x %d with %d levels is not one of ours",
			width, height, depth)
	}
	img := image.NewRGBA(image.Rect(0, 0, width, height))
	row := make([]byte, 3*width)
	for y := range height {
		if _, err := io.ReadFull(r, row); err != nil {
			return nil, fmt.Errorf("reading a pixmap's row %d: %w", y, err)
		}
		for x := range width {
			copy(img.Pix[img.PixOffset(x, y):], []byte{row[3*x], row[3*x+1], row[3*x+2], 255})
		}
	}
	return img, nil
}
