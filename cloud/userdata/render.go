package userdata

import (
	"bytes"
	"cmp"
	"compress/gzip"
	"crypto/sha256"
	"encoding/base64"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"
)

// Options are what a provider allows. The zero value has no limit.
type Options struct {
	Limit int  // most bytes, before any encoding of the provider's; 0 for no limit
	Gzip  bool // gzip what is larger than Limit: not every provider hands bytes on that are no text
}

// Render returns the user-data as cloud-init takes it: #cloud-config, or MIME multipart where there are scripts.
// A *TooLarge says that it exceeds the limit.
func (m *Merged) Render(o Options) ([]byte, error) {
	config := append([]byte("#cloud-config\n"), encode(m.Config)...)
	b := config
	if len(m.Scripts) > 0 {
		b = mail(config, m.Scripts)
	}
	if o.Limit == 0 || len(b) <= o.Limit {
		return b, nil
	}
	size := len(b)
	if o.Gzip {
		z, err := pack(b)
		if err != nil {
			return nil, fmt.Errorf("rendering user-data: %w", err)
		}
		if len(z) <= o.Limit {
			return z, nil
		}
		size = len(z)
	}
	return nil, &TooLarge{Size: size, Limit: o.Limit, Gzip: o.Gzip, Largest: m.largest(5)}
}

// mail writes RFC 2046 mail. The boundary comes from the content, so that the same parts give the same bytes.
// cloud-init runs what lies in its directory of scripts by name, and runcmd is one of them: script-… comes after it.
func mail(config []byte, scripts []Script) []byte {
	sum := sha256.New()
	sum.Write(config)
	for _, s := range scripts {
		fmt.Fprintf(sum, "%d\n%s", len(s.Text), s.Text)
	}
	boundary := fmt.Sprintf("=-griddle-%x", sum.Sum(nil)[:12])
	var b bytes.Buffer
	fmt.Fprintf(&b, "Content-Type: multipart/mixed; boundary=%q\nMIME-Version: 1.0\n\n", boundary)
	part := func(kind, name string, body []byte) {
		fmt.Fprintf(&b, "--%s\nContent-Type: %s; charset=\"utf-8\"\nMIME-Version: 1.0\n", boundary, kind)
		fmt.Fprintf(&b, "Content-Disposition: attachment; filename=%q\n", name)
		if readable(body) {
			fmt.Fprintf(&b, "Content-Transfer-Encoding: 7bit\n\n%s\n", body)
			return
		}
		// Anything but short lines of ASCII would not come through mail parsers byte for byte.
		b.WriteString("Content-Transfer-Encoding: base64\n\n")
		for chunk := range slices.Chunk([]byte(base64.StdEncoding.EncodeToString(body)), 76) {
			b.Write(chunk)
			b.WriteByte('\n')
		}
	}
	part("text/cloud-config", "cloud-config.yaml", config)
	for i, s := range scripts {
		kind, name := "text/x-shellscript", fmt.Sprintf("script-%03d", i+1)
		if strings.HasPrefix(s.Text, boothook) {
			kind, name = "text/cloud-boothook", fmt.Sprintf("boothook-%03d", i+1)
		}
		part(kind, name, []byte(s.Text))
	}
	fmt.Fprintf(&b, "--%s--\n", boundary)
	return b.Bytes()
}

// readable reports whether mail carries the bytes as they are.
func readable(b []byte) bool {
	for _, c := range b {
		if c != '\n' && c != '\t' && (c < ' ' || c > '~') {
			return false
		}
	}
	return true
}

// TooLarge says that user-data does not fit, and what takes the room.
type TooLarge struct {
	Size, Limit int
	Gzip        bool   // Size is that of the compressed user-data
	Largest     []Item // the largest first
}

// Item is a piece of user-data with its size in bytes.
type Item struct {
	What string // such as write_files[/etc/motd]
	From string // Part.From
	Size int
}

// Error lists the largest items.
func (t *TooLarge) Error() string {
	var b strings.Builder
	packed := ""
	if t.Gzip {
		packed = " compressed"
	}
	fmt.Fprintf(&b, "rendering user-data: it has %d bytes%s, the provider takes %d; the largest parts are", t.Size, packed, t.Limit)
	for i, l := range t.Largest {
		if i > 0 {
			b.WriteByte(',')
		}
		fmt.Fprintf(&b, " %s with %d", l.What, l.Size)
		if l.From != "" {
			fmt.Fprintf(&b, " (%s)", l.From)
		}
	}
	return b.String()
}

// largest returns the n largest keys, entries of lists, and scripts.
func (m *Merged) largest(n int) []Item {
	var items []Item
	add := func(at place, v any) {
		items = append(items, Item{at.shown, m.from(at.shown), len(encode(map[string]any{"v": v}))})
	}
	for k, v := range m.Config {
		at := place{}.key(k)
		list, ok := v.([]any)
		rule, ruled := lists()[k]
		if !ok || !ruled {
			add(at, v)
			continue
		}
		for i, e := range list {
			key, ok := rule.key(e)
			if !ok || rule.same == keepFirst {
				key = fmt.Sprint(i)
			}
			add(at.entry(key), e)
		}
	}
	for i, s := range m.Scripts {
		items = append(items, Item{fmt.Sprintf("script %d", i+1), s.From, len(s.Text)})
	}
	slices.SortFunc(items, func(a, b Item) int {
		return cmp.Or(cmp.Compare(b.Size, a.Size), cmp.Compare(a.What, b.What))
	})
	return items[:min(n, len(items))]
}

// unpack is the opposite of pack, and gives at most limit bytes.
func unpack(b []byte, limit int) ([]byte, error) {
	z, err := gzip.NewReader(bytes.NewReader(b))
	if err != nil {
		return nil, fmt.Errorf("decompressing: %w", err)
	}
	out, err := io.ReadAll(io.LimitReader(z, int64(limit)+1))
	if err != nil {
		return nil, fmt.Errorf("decompressing: %w", err)
	}
	if len(out) > limit {
		return nil, errors.New("decompressing: it is too large")
	}
	return out, nil
}
