package setting

import (
	"errors"
	"strings"
	"testing"

	"golang.org/x/tools/txtar"
)

// What bad settings get: each error names the place and what to do, and shows no secret.
func TestRefuses(t *testing.T) {
	t.Parallel()
	archive, err := txtar.ParseFile("testdata/refused.txtar")
	if err != nil {
		t.Fatal(err)
	}
	files := append(archive.Files,
		txtar.File{Name: "too large", Data: []byte(
			`{"userData": "` + strings.Repeat("a", MaxDocument) + `"}` + "\n=> the limit is 262144\n")},
		txtar.File{Name: "key in two lines", Data: []byte(
			`{"root": {"keys": ["` + adaKey + `\n"]}}` + "\n=> root.keys[0]\n")})
	for _, f := range files {
		document, message, ok := strings.Cut(string(f.Data), "\n=> ")
		if !ok {
			t.Fatalf("%s has no message", f.Name)
		}
		t.Run(f.Name, func(t *testing.T) {
			t.Parallel()
			d, err := Decode("machine", []byte(document))
			if err == nil {
				_, err = Merge(d).Resolve(machine)
			}
			if !errors.Is(err, ErrInvalid) || !strings.Contains(err.Error(), strings.TrimSpace(message)) {
				t.Errorf("got %v\nwant %s", err, message)
			}
			if err != nil && (strings.Contains(err.Error(), "secret123") || strings.Contains(err.Error(), "u:p@")) {
				t.Errorf("the error shows a secret: %v", err)
			}
		})
	}
}

func FuzzDecode(f *testing.F) {
	for _, s := range []string{`{}`, `{"users": [{"name": "a", "absent": true}]}`,
		`{"files": [{"path": "/a", "mode": "0644"}]}`,
		`{"hostname": "{mac}", "swap": "1G", "network": {"interfaces": [{"name": "a", "addresses": ["::1/64"]}]}}`} {
		f.Add([]byte(s), []byte(s))
	}
	f.Fuzz(func(t *testing.T, a, b []byte) {
		one, err1 := Decode("a", a)
		two, err2 := Decode("b", b)
		if err1 != nil || err2 != nil {
			return
		}
		m := Merge(one, two)
		m.Values()
		s, err := m.Resolve(machine)
		if err != nil {
			if !errors.Is(err, ErrInvalid) {
				t.Fatalf("%v does not wrap ErrInvalid", err)
			}
			return
		}
		if left := s.Public().Secrets(); left != nil {
			t.Fatalf("Public keeps %q", left)
		}
		if err := s.Check(); err != nil {
			t.Fatal(err)
		}
	})
}
