package head

import (
	"bytes"
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"griddle/imagestore/blob"
	"griddle/imagestore/document"
	"griddle/imagestore/imagetest"
	"griddle/imagestore/minisign"
)

// TestOpenRefuses has heads that bear a signature, and should not count.
func TestOpenRefuses(t *testing.T) {
	site, other := imagetest.NewKey(t), imagetest.NewKey(t)
	good := Head{Seq: 7, SHA256: blob.Sum(nil).Hex(), Time: time.Unix(1.7e9, 0)}
	b, err := good.Sign(site)
	if err != nil {
		t.Fatal(err)
	}
	if h, k, err := Open(b, siteTrust(site)); err != nil || h.Seq != 7 || k != site.Public() {
		t.Fatalf("OpenHead = %+v, %v", h, err)
	}
	from := bytes.Index(b, []byte(minisign.CommentPrefix)) + len(minisign.CommentPrefix)
	to := from + bytes.IndexByte(b[from:], '\n')
	for i := range b {
		if bad := bytes.Clone(b); i < from || i >= to {
			bad[i] ^= 1
			if _, _, err := Open(bad, siteTrust(site)); err == nil {
				t.Errorf("byte %d of the head, %q made %q, went unnoticed", i, b[i], bad[i])
			}
		}
	}
	limited, streams := &document.Trust{}, &document.Trust{}
	limited.Allow(imagetest.GrantOf(t, site, "*/*"))
	streams.Allow(document.StreamsGrant(site.Public()))
	for name, trust := range map[string]*document.Trust{
		"nobody": nil, "another site": siteTrust(other), "a publisher": document.NewTrust(site.Public()),
		"a publisher of some": limited, "another site's streams": streams,
	} {
		if _, _, err := Open(b, trust); !errors.Is(err, minisign.ErrSignature) {
			t.Errorf("OpenHead where its key is that of %s = %v", name, err)
		}
	}
	for name, line := range map[string]string{
		"of another site": fmt.Sprintf(`{"format":"griddle-catalog/1","site":%q,"seq":7,"sha256":%q}`,
			other.Public().ID(), blob.Sum(nil).Hex()),
		"another format": fmt.Sprintf(`{"format":"griddle-catalog/2","site":%q,"seq":7,"sha256":%q}`,
			site.Public().ID(), blob.Sum(nil).Hex()),
		"negative": fmt.Sprintf(`{"format":"griddle-catalog/1","site":%q,"seq":-1,"sha256":%q}`,
			site.Public().ID(), blob.Sum(nil).Hex()),
		"without a sum": fmt.Sprintf(`{"format":"griddle-catalog/1","site":%q,"seq":7}`, site.Public().ID()),
		"too long": fmt.Sprintf(`{"format":"griddle-catalog/1","site":%q,"seq":7,"sha256":%q,"x":%q}`,
			site.Public().ID(), blob.Sum(nil).Hex(), strings.Repeat("x", maxHead)),
		"no JSON": "{",
	} {
		signed := append([]byte(line+"\n"), site.Sign([]byte(line+"\n"), "x")...)
		if _, _, err := Open(signed, siteTrust(site)); err == nil {
			t.Errorf("OpenHead of a head that is %s gave no error", name)
		}
	}
	image, err := document.Sign(imagetest.Image(), site, time.Unix(1.7e9, 0))
	if err != nil {
		t.Fatal(err)
	}
	if _, _, err := Open(image, siteTrust(site)); err == nil {
		t.Error("an image document was taken for a head")
	}
}

// FuzzOpen looks at what is behind a good signature, too.
func FuzzOpen(f *testing.F) {
	k, err := minisign.GenerateKey()
	if err != nil {
		f.Fatal(err)
	}
	trust := siteTrust(k)
	good, err := Head{Seq: 7, SHA256: blob.Sum(nil).Hex(), Time: time.Unix(1.7e9, 0),
		Expires: time.Unix(1.8e9, 0)}.Sign(k)
	if err != nil {
		f.Fatal(err)
	}
	line, _, _ := bytes.Cut(good, []byte("\n"))
	f.Add(good)
	f.Add(line)
	f.Add([]byte(`{"format":"griddle-catalog/1","seq":9223372036854775807,"expires":"9999-12-31T23:59:59Z"}`))
	f.Fuzz(func(t *testing.T, b []byte) {
		if h, _, err := Open(b, trust); err == nil && !bytes.HasPrefix(b, line) {
			t.Errorf("OpenHead accepted %q: %+v", b, h)
		}
		Peek(b)
		line := append(bytes.ReplaceAll(b, []byte("\n"), nil), '\n')
		if h, _, err := Open(append(bytes.Clone(line), k.Sign(line, "x")...), trust); err == nil {
			if err := h.validate(); err != nil || h.Site != k.Public().ID() {
				t.Errorf("OpenHead accepted %q: %v", b, err)
			}
		}
	})
}
