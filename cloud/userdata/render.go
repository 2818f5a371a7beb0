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
	Gzip  bool // gzip what is larger than Limit: not every provider passes on bytes that are not text
}

// Render returns the user-data as cloud-init takes it: #cloud-config, or MIME multipart where there are other parts.
// A *TooLarge says that it exceeds the limit.
func (m *Merged) Render(o Options) ([]byte, error) {
	b := document(m.Config)
	if len(m.Scripts)+len(m.Opaque) > 0 || looksLikeMail(b) {
		b = mail(m.pieces())
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

func document(config map[string]any) []byte {
	return append([]byte("#cloud-config\n"), encode(config)...)
}

// piece is one part of mail.
type piece struct {
	kind, name string
	merge      string // Merge-Type; "" for none
	body       []byte
}

// ours lets lists begin with what our document has, and keeps other values; oursLast replaces those.
const (
	ours     = "list(prepend)+dict(no_replace,recurse_list)+str()"
	oursLast = "list()+dict(replace)+str()"
)

// pieces are the parts of mail in the order in which cloud-init handles them.
// It runs what lies in its directory of scripts by name, and runcmd is one of them: script-… comes after it.
func (m *Merged) pieces() []piece {
	var all []piece
	for i, o := range m.Opaque {
		name := o.Name
		if name == "" {
			name = fmt.Sprintf("opaque-%03d", i+1)
		}
		all = append(all, piece{kind: o.Type, name: name, body: o.Content})
	}
	config := piece{kind: cloudType, name: "cloud-config.yaml", body: document(m.Config)}
	if len(m.Opaque) == 0 {
		all = append(all, config)
	} else {
		// What the parts before came to is on the server alone. No merge type of cloud-init's joins lists and replaces
		// other values, so our document comes twice, the second time without what has lists.
		config.merge = ours
		all = append(all, config)
		if last := withoutLists(m.Config); len(last) > 0 {
			all = append(all,
				piece{kind: cloudType, name: "cloud-config-last.yaml", merge: oursLast, body: document(last)})
		}
	}
	for i, s := range m.Scripts {
		p := piece{kind: scriptType, name: fmt.Sprintf("script-%03d", i+1), body: []byte(s.Text)}
		if strings.HasPrefix(s.Text, boothook) {
			p.kind, p.name = hookType, fmt.Sprintf("boothook-%03d", i+1)
		}
		all = append(all, p)
	}
	return all
}

// withoutLists is what of a document can replace what the server has without taking a list away.
func withoutLists(config map[string]any) map[string]any {
	last := map[string]any{}
	for k, v := range config {
		if !hasList(v) {
			last[k] = v
		}
	}
	return last
}

func hasList(v any) bool {
	switch v := v.(type) {
	case []any:
		return true
	case map[string]any:
		for _, e := range v {
			if hasList(e) {
				return true
			}
		}
	}
	return false
}

// mail writes RFC 2046 mail. The boundary comes from the content, so that the same parts give the same bytes.
func mail(parts []piece) []byte {
	sum := sha256.New()
	for i, p := range parts {
		if i > 0 || p.kind != cloudType {
			fmt.Fprintf(sum, "%d\n", len(p.body))
		}
		sum.Write(p.body)
	}
	boundary := fmt.Sprintf("=-griddle-%x", sum.Sum(nil)[:12])
	var b bytes.Buffer
	fmt.Fprintf(&b, "Content-Type: multipart/mixed; boundary=%q\nMIME-Version: 1.0\n\n", boundary)
	for _, p := range parts {
		fmt.Fprintf(&b, "--%s\nContent-Type: %s; charset=\"utf-8\"\nMIME-Version: 1.0\n", boundary, p.kind)
		fmt.Fprintf(&b, "Content-Disposition: attachment; filename=%q\n", p.name)
		if p.merge != "" {
			fmt.Fprintf(&b, "Merge-Type: %s\n", p.merge)
		}
		if readable(p.body) {
			fmt.Fprintf(&b, "Content-Transfer-Encoding: 7bit\n\n%s\n", p.body)
			continue
		}
		// Anything but short lines of ASCII would not come through mail parsers byte for byte.
		b.WriteString("Content-Transfer-Encoding: base64\n\n")
		for chunk := range slices.Chunk([]byte(base64.StdEncoding.EncodeToString(p.body)), 76) {
			b.Write(chunk)
			b.WriteByte('\n')
		}
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
	fmt.Fprintf(&b, "rendering user-data: it has %d bytes%s, the provider takes %d; the largest parts are", t.Size,
		packed, t.Limit)
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
	for _, o := range m.Opaque {
		items = append(items, Item{o.Type, o.From, len(o.Content)})
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
