package encoding

import (
	"bytes"
	"io"
	"sync"

	"griddle/imagestore/content"
	"griddle/imagestore/delta"
	"griddle/imagestore/sendstream"
)

// Dictionaries chooses, for each frame of a delta, the files of the parent that become its dictionary: those that
// are most similar to the files whose data is in the frame.
type Dictionaries struct {
	like  *delta.Likeness
	files map[string]*content.Entry // of the image, by path

	mu      sync.Mutex
	written []written // in the order of the stream
}

// written is data of one file in the stream.
type written struct {
	raw    int64 // where its last command ends in the stream
	file   *content.Entry
	offset int64 // of its first byte in the file
}

func NewDictionaries(parent, image *content.Manifest) *Dictionaries {
	d := &Dictionaries{like: delta.NewLikeness(parent), files: map[string]*content.Entry{}}
	for i := range image.Entries {
		e := &image.Entries[i]
		if e.Type == content.HardLink {
			e = d.files[e.Target]
		}
		if e != nil && e.Type == content.Regular {
			d.files[image.Entries[i].Path] = e
		}
	}
	return d
}

// Copy copies a stream, command by command: what a command writes is known before the last of its bytes is copied.
func (d *Dictionaries) Copy(in io.Reader, out io.Writer) error {
	var read bytes.Buffer
	r, err := sendstream.NewReader(io.TeeReader(in, &read))
	if err != nil {
		return err
	}
	copied := int64(0)
	for {
		c, err := r.Next()
		if err != nil && err != io.EOF {
			return err
		}
		if c != nil && c.Op == sendstream.OpWrite {
			d.wrote(c, r.Offset())
		}
		n, werr := out.Write(read.Next(int(r.Offset() - copied)))
		if copied += int64(n); werr != nil {
			return werr
		}
		if err == io.EOF {
			_, err = out.Write(read.Bytes())
			return err
		}
	}
}

func (d *Dictionaries) wrote(c *sendstream.Command, end int64) {
	e := d.files[c.Path]
	if e == nil {
		return // a name that it does not keep
	}
	d.mu.Lock()
	defer d.mu.Unlock()
	// A part is as long as what Find looks for, at the most: of a long file other parts are like other parts.
	const part = 1 << 20
	if n := len(d.written); n > 0 && d.written[n-1].file == e && int64(c.FileOffset)-d.written[n-1].offset < part {
		d.written[n-1].raw = end
		return
	}
	d.written = append(d.written, written{end, e, int64(c.FileOffset)})
}

// ForFrame gives the dictionary of the frame with n bytes from raw of the stream. Encoder calls it
// in the stream's order.
func (d *Dictionaries) ForFrame(raw, n int64) []Extract {
	d.mu.Lock()
	var in []written
	for len(d.written) > 0 {
		w := d.written[0]
		in = append(in, w)
		if w.raw > raw+n {
			break // it goes on in the next frame
		}
		d.written = d.written[1:]
	}
	d.mu.Unlock()
	likes := make([][]delta.Range, len(in))
	for i, w := range in {
		likes[i] = d.like.Find(w.file, w.offset)
	}
	var out []Extract
	left := int64(MaxDictionary)
	taken := map[string]int64{} // up to where a file was taken already
	for best := 0; best < 3; best++ {
		for _, l := range likes {
			if best >= len(l) || len(out) == MaxExtracts {
				continue
			}
			r := l[best]
			if end, ok := taken[r.Path]; ok && r.Offset < end {
				r.Length -= end - r.Offset
				r.Offset = end
			}
			if r.Length <= 0 || r.Length > left {
				continue
			}
			taken[r.Path] = r.Offset + r.Length
			left -= r.Length
			out = append(out, Extract{r.Path, r.Offset, r.Length})
		}
	}
	return out
}
