package remotes

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
)

// TestUpdate changes the file from several goroutines at once, and fails one change: nothing is lost.
func TestUpdate(t *testing.T) {
	path := filepath.Join(t.TempDir(), "config", "griddle", "remotes.json")
	if f, exposed, err := Load(path); err != nil || exposed || len(f.Servers) != 0 {
		t.Errorf("Load() of nothing = %+v, %v", f, err)
	}
	var g sync.WaitGroup
	for i := range 8 {
		g.Go(func() {
			err := Update(t.Context(), path, func(f *File) error {
				f.Servers[fmt.Sprint("lab", i)] = Server{URL: fmt.Sprintf("https://10.0.0.%d:8443", i), Token: "secret"}
				f.Current = "lab0"
				if _, ok := f.Servers["lab0"]; !ok {
					f.Current = ""
				}
				return nil
			})
			if err != nil {
				t.Error(err)
			}
		})
	}
	g.Wait()
	wrong := errors.New("no")
	fails := func(f *File) error { clear(f.Servers); return wrong }
	if err := Update(t.Context(), path, fails); !errors.Is(err, wrong) {
		t.Errorf("Update() = %v", err)
	}
	bad := func(f *File) error { f.Servers["x"] = Server{URL: "http://10.0.0.1"}; return nil }
	if err := Update(t.Context(), path, bad); err == nil {
		t.Error("a URL without TLS was saved")
	}
	f, exposed, err := Load(path)
	if err != nil || exposed || len(f.Servers) != 8 {
		t.Errorf("Load() = %d servers, exposed %v, %v", len(f.Servers), exposed, err)
	}
	if st, err := os.Stat(path); err != nil || st.Mode().Perm() != 0o600 {
		t.Errorf("its mode is %v, %v", st.Mode(), err)
	}
	if got := f.At("https://10.0.0.3:8443/"); got != "lab3" {
		t.Errorf("At() = %q", got)
	}
	if got := f.At("https://10.0.0.3:8444"); got != "" {
		t.Errorf("At() of an unknown one = %q", got)
	}
	if err := os.Chmod(path, 0o644); err != nil {
		t.Fatal(err)
	}
	if _, exposed, err := Load(path); err != nil || !exposed {
		t.Errorf("Load() of an open file: exposed %v, %v", exposed, err)
	}
}

func TestParse(t *testing.T) {
	for text, want := range map[string]string{
		`{"servers":{}}`: "",
		`{"current":"a","servers":{"a":{"url":"https://h:1"}}}`: "",
		`{"servers":{"a":{"url":"https://h:1","later":1}}}`:     "", // of a newer program
		`{"current":"a","servers":{}}`:                          "not among the servers",
		`{"servers":{"local":{"url":"https://h:1"}}}`:           `is not "local"`,
		`{"servers":{"A":{"url":"https://h:1"}}}`:               "the characters",
		`{"servers":{"a":{"url":"http://h:1"}}}`:                "https://HOST:PORT",
		`{"servers":{"a":{"url":"https://u:p@h:1"}}}`:           "https://HOST:PORT",
		`{"servers":{"a":{"url":"https://h:1/x"}}}`:             "https://HOST:PORT",
		`{"servers":{}} x`:                                      "more after",
		``:                                                      "EOF",
	} {
		_, err := Parse([]byte(text))
		if (err == nil) != (want == "") || err != nil && !strings.Contains(err.Error(), want) {
			t.Errorf("Parse(%s) = %v, want %q", text, err, want)
		}
	}
}

func FuzzParse(f *testing.F) {
	f.Add([]byte(`{"current":"a","servers":{"a":{"url":"https://h:1","ca":"x","token":"y"}}}`))
	f.Fuzz(func(t *testing.T, b []byte) {
		file, err := Parse(b)
		if err != nil {
			return
		}
		for name, s := range file.Servers {
			if !strings.HasPrefix(s.URL, "https://") || CheckName(name) != nil {
				t.Errorf("%q: %q", name, s.URL)
			}
		}
	})
}
