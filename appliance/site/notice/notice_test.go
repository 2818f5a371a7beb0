package notice

import (
	"bytes"
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"griddle/appliance/site"
	"griddle/imagestore/minisign"
)

const pem = "-----BEGIN CERTIFICATE-----\nMAA=\n-----END CERTIFICATE-----\n"

func newKey(t testing.TB) *minisign.SecretKey {
	t.Helper()
	k, err := minisign.GenerateKey()
	if err != nil {
		t.Fatal(err)
	}
	return k
}

func valid(k *minisign.SecretKey) Notice {
	return Notice{Seq: 7, Time: time.Unix(1.7e9, 0).UTC(), At: site.Site{HTTP: "http://10.0.0.1:8080",
		HTTPS: "https://10.0.0.1:8443", CA: pem + pem, Trusted: []string{k.Public().String()},
		Catalog: site.Catalog{Key: k.Public().String(), Seq: 3}},
		Agent: &Agent{Version: "1234567 of 2026-11-29", Built: 1.7e9, Size: 13e6, SHA256: strings.Repeat("ab", 32),
			Path: "/boot/griddle-agent"}}
}

func TestNotice(t *testing.T) {
	k := newKey(t)
	want := valid(k)
	b, err := want.Sign(k)
	if err != nil {
		t.Fatal(err)
	}
	got, err := Open(b, k.Public())
	if err != nil {
		t.Fatal(err)
	}
	want.Format, want.Key = Format, k.Public().ID()
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("Open() differs:\n%s", diff)
	}
	if _, err := Open(b, newKey(t).Public()); !errors.Is(err, minisign.ErrSignature) {
		t.Errorf("Open() with another site's key = %v, want ErrSignature", err)
	}
	changed := bytes.Replace(b, []byte(`"seq":7`), []byte(`"seq":8`), 1)
	if _, err := Open(changed, k.Public()); !errors.Is(err, minisign.ErrSignature) {
		t.Errorf("Open() of a changed notice = %v, want ErrSignature", err)
	}
	line, sign, _ := bytes.Cut(b, []byte("\n"))
	line = append(bytes.TrimSuffix(line, []byte("}")), `,"later":{"x":1}}`+"\n"...)
	if _, err := Open(append(line, k.Sign(line, "x")...), k.Public()); err != nil {
		t.Errorf("Open() with a member of a later version = %v (%s)", err, sign)
	}
}

func TestNewer(t *testing.T) {
	have := Notice{Seq: 7}
	for seq, want := range map[int64]error{6: ErrOlder, 7: nil, 8: nil} {
		if err := (Notice{Seq: seq}).Newer(have); !errors.Is(err, want) {
			t.Errorf("notice %d after 7 = %v, want %v", seq, err, want)
		}
	}
}

func TestInvalid(t *testing.T) {
	k := newKey(t)
	for name, change := range map[string]func(*Notice){
		"no number":        func(n *Notice) { n.Seq = 0 },
		"no CA":            func(n *Notice) { n.At.CA = "" },
		"no server":        func(n *Notice) { n.At.HTTPS = "" },
		"a huge agent":     func(n *Notice) { n.Agent.Size = maxAgent + 1 },
		"an undated agent": func(n *Notice) { n.Agent.Built = 0 },
		"another host":     func(n *Notice) { n.Agent.Path = "@evil.example/agent" },
		"no hash":          func(n *Notice) { n.Agent.SHA256 = "ab" },
		"too much":         func(n *Notice) { n.At.Limited = []string{strings.Repeat("x", maxNotice)} },
	} {
		n := valid(k)
		change(&n)
		if _, err := n.Sign(k); err == nil {
			t.Errorf("%s was signed", name)
		}
	}
}

func FuzzOpen(f *testing.F) {
	k := newKey(f)
	b, err := valid(k).Sign(k)
	if err != nil {
		f.Fatal(err)
	}
	line, _, _ := bytes.Cut(b, []byte("\n"))
	f.Add(line)
	f.Fuzz(func(t *testing.T, line []byte) {
		line = append(bytes.ReplaceAll(line, []byte("\n"), nil), '\n')
		if n, err := Open(append(line, k.Sign(line, "x")...), k.Public()); err == nil && n.Seq <= 0 {
			t.Errorf("Open() = %+v", n)
		}
	})
}
