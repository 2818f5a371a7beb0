package bootenv

import (
	"bytes"
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

// text is an environment block of lines.
func text(lines ...string) []byte {
	b := []byte(signature + strings.Join(lines, "\n") + "\n")
	return append(b, bytes.Repeat([]byte("#"), max(0, Size-len(b)))...)
}

var whole = []string{"griddle_format=1", "griddle_good=web-1@amd64", "griddle_candidate=web-2@amd64",
	"griddle_tries=1", "griddle_complete=yes"}

func TestBytes(t *testing.T) {
	for _, c := range []struct {
		e    Env
		want []byte
	}{
		{Env{}, text("griddle_format=1", "griddle_good=", "griddle_candidate=", "griddle_tries=0",
			"griddle_complete=yes")},
		{Env{Good: "web-1@amd64", Candidate: "web-2@amd64", Tries: 1}, text(whole...)},
		{Env{Good: "web", Sequence: 5}, text("griddle_format=1", "griddle_good=web", "griddle_candidate=",
			"griddle_tries=0", "griddle_sequence=5", "griddle_complete=yes")},
		{Env{Candidate: "größe", Tries: 3}, text("griddle_format=1", "griddle_good=", "griddle_candidate=größe",
			"griddle_tries=3", "griddle_complete=yes")},
		{Env{Good: "web", Fresh: 7, Spare: 8}, text("griddle_format=1", "griddle_good=web", "griddle_candidate=",
			"griddle_tries=0", "griddle_fresh=7", "griddle_spare=8", "griddle_complete=yes")},
		{Env{Good: "web", Candidate: "db~1", Tries: 1, Fresh: MaxFresh}, text("griddle_format=1", "griddle_good=web",
			"griddle_candidate=db~1", "griddle_tries=1", "griddle_fresh=999999999", "griddle_spare=",
			"griddle_complete=yes")},
	} {
		got, err := c.e.Bytes()
		if err != nil || !bytes.Equal(got, c.want) {
			t.Errorf("%+v has the bytes %q, %v, want %q", c.e, got, err, c.want)
		}
		if e, err := Parse(got); err != nil || e != c.e {
			t.Errorf("Parse of them = %+v, %v, want %+v", e, err, c.e)
		}
	}
}

func TestBytesRefuses(t *testing.T) {
	long := strings.Repeat("x", 200)
	if _, err := (Env{Good: long, Candidate: long}).Bytes(); err != nil {
		t.Errorf("two names of 200 bytes: %v", err)
	}
	for _, c := range []struct {
		e    Env
		want string // in the error
		is   error
	}{
		{Env{Good: long + "y", Candidate: long}, "1 too many", ErrName},
		{Env{Good: "a", Tries: 1}, "not possible", nil},
		{Env{Good: "a", Sequence: MaxFresh + 1}, "not possible", nil},
		{Env{Candidate: "a", Tries: 4}, "not possible", nil},
		{Env{Candidate: "a", Tries: -1}, "not possible", nil},
		{Env{Good: "a", Fresh: MaxFresh + 1}, "not possible", nil},
		{Env{Good: "a", Fresh: -1}, "not possible", nil},
		{Env{Good: "a", Spare: 1}, "not possible", nil},
		{Env{Good: "a", Fresh: 1, Spare: 1}, "not possible", nil},
		{Env{Candidate: "a", Fresh: 1}, "not possible", nil},
		{Env{Good: "."}, "dot", ErrName},
		{Env{Good: ".new-web"}, "dot", ErrName},
		{Env{Candidate: "a/b"}, "'/'", ErrName},
		{Env{Candidate: "a\nb"}, "character", ErrName},
		{Env{Candidate: "a b"}, "character", ErrName},
		{Env{Candidate: "a,ro"}, "character", ErrName},
		{Env{Candidate: "a*"}, "character", ErrName},
		{Env{Candidate: `a\`}, "character", ErrName},
		{Env{Candidate: "it's"}, "character", ErrName},
		{Env{Good: "a\xff"}, "UTF-8", ErrName},
		{Env{Good: strings.Repeat("x", 256)}, "255", ErrName},
	} {
		_, err := c.e.Bytes()
		if err == nil || !strings.Contains(err.Error(), c.want) || c.is != nil && !errors.Is(err, c.is) {
			t.Errorf("%+v: %v, want an error with %q", c.e, err, c.want)
		}
	}
}

func TestParse(t *testing.T) {
	with := func(i int, line string) []byte {
		lines := append([]string(nil), whole...)
		lines[i] = line
		return text(lines...)
	}
	want := Env{Good: "web-1@amd64", Candidate: "web-2@amd64", Tries: 1}
	for name, b := range map[string][]byte{
		"as written":          text(whole...),
		"variables of others": text(append(whole, "saved_entry=kernels", `odd=a\`+"\n"+`griddle_good=b`)...),
		"others first":        text(append([]string{"# a comment", "next_entry="}, whole...)...),
		"in another order":    text(whole[4], whole[3], whole[2], whole[1], whole[0]),
		"unknown of ours":     text(append(whole, "griddle_more=1")...),
	} {
		if e, err := Parse(b); err != nil || e != want {
			t.Errorf("%s: Parse = %+v, %v, want %+v", name, e, err, want)
		}
	}
	for _, line := range []string{"griddle_candidate=", "griddle_other="} {
		if e, err := Parse(with(2, line)); err != nil || e != (Env{Good: "web-1@amd64"}) {
			t.Errorf("a try without a candidate: Parse = %+v, %v", e, err)
		}
	}
	// Numbers that are not as they are written name no root.
	for lines, want := range map[string]Env{
		"fresh=7 spare=8":          {Fresh: 7, Spare: 8},
		"fresh=7":                  {Fresh: 7},
		"spare=8 fresh=7":          {Fresh: 7, Spare: 8},
		"fresh= spare=":            {},
		"fresh= spare=8":           {},
		"fresh=7 spare=7":          {Fresh: 7},
		"fresh=07 spare=8":         {},
		"fresh=7 spare=+8":         {Fresh: 7},
		"fresh=0 spare=8":          {},
		"fresh=-1":                 {},
		"fresh=1000000000 spare=2": {},
	} {
		more := slices.Clone(whole)
		for _, l := range strings.Fields(lines) {
			more = append(more, "griddle_"+l)
		}
		want.Good, want.Candidate, want.Tries = "web-1@amd64", "web-2@amd64", 1
		if e, err := Parse(text(more...)); err != nil || e != want {
			t.Errorf("%s: Parse = %+v, %v, want %+v", lines, e, err, want)
		}
	}
	good := text(whole...)
	for name, b := range map[string][]byte{
		"nothing":             nil,
		"zeros":               make([]byte, Size),
		"too short":           good[:Size-1],
		"too long":            append(bytes.Clone(good), '#'),
		"another file":        bytes.Repeat([]byte("GRUB"), Size/4),
		"empty block":         text(),
		"torn in a line":      append(bytes.Clone(good[:40]), make([]byte, Size-40)...),
		"torn to padding":     append(bytes.Clone(good[:40]), bytes.Repeat([]byte("#"), Size-40)...),
		"no end":              append(bytes.Clone(good[:sector]), make([]byte, Size-sector)...),
		"of a later format":   with(0, "griddle_format=2"),
		"not complete":        with(4, "griddle_complete=no"),
		"seven tries":         with(3, "griddle_tries=7"),
		"no tries":            with(3, "griddle_tries="),
		"tries twice":         text(append(whole, "griddle_tries=1")...),
		"a path":              with(1, "griddle_good=../@home"),
		"a line without =":    text(append(whole, "rubbish")...),
		"a zero in a name":    with(1, "griddle_good=a\x00"),
		"ours too far behind": text(append([]string{"x=" + strings.Repeat("y", 400)}, whole...)...),
	} {
		if e, err := Parse(b); !errors.Is(err, ErrDamaged) {
			t.Errorf("%s: Parse = %+v, %v, want ErrDamaged", name, e, err)
		}
	}
}

func TestFreshName(t *testing.T) {
	for name, want := range map[string]Env{
		"web-1@amd64~7": {Good: "web-1@amd64", Fresh: 7},
		"web~1~12":      {Good: "web~1", Fresh: 12},
		"web~999999999": {Good: "web", Fresh: MaxFresh},
		"web":           {}, "web~": {}, "web~0": {}, "web~07": {}, "web~x": {}, "~1": {}, "web~1000000000": {},
		"web~-1": {},
	} {
		base, n, ok := CutFresh(name)
		if (Env{Good: base, Fresh: n}) != want && ok || ok != (want.Fresh > 0) {
			t.Errorf("CutFresh(%q) = %q, %d, %v", name, base, n, ok)
		}
		if got := FreshName(base, n); ok && got != name {
			t.Errorf("FreshName(%q, %d) = %q, want %q", base, n, got, name)
		}
	}
}

// GRUB's own tool reads what is written, and what it changes is read.
func TestGRUBsTool(t *testing.T) {
	esp := t.TempDir()
	if err := Write(esp, Env{Good: "one", Candidate: "two", Tries: 2}); err != nil {
		t.Fatal(err)
	}
	file := filepath.Join(esp, Folder, Names[0])
	editenv := func(args ...string) string {
		out, err := exec.Command("grub-editenv", append([]string{file}, args...)...).CombinedOutput()
		if err != nil {
			t.Fatalf("grub-editenv (Debian package grub-common, run make deps): %v: %s", err, out)
		}
		return string(out)
	}
	want := "griddle_format=1\ngriddle_good=one\ngriddle_candidate=two\ngriddle_tries=2\ngriddle_complete=yes\n"
	if got := editenv("list"); got != want {
		t.Errorf("grub-editenv lists %q, want %q", got, want)
	}
	editenv("set", "griddle_tries=1", "saved_entry=a>b\\\nc", "next_entry=x")
	if e, err := Read(esp); err != nil || e != (Env{Good: "one", Candidate: "two", Tries: 1}) {
		t.Errorf("after grub-editenv Read = %+v, %v", e, err)
	}
	// What others wrote stays.
	if err := Write(esp, Env{Good: "two"}); err != nil {
		t.Fatal(err)
	}
	if got := editenv("list"); !strings.HasSuffix(got, "griddle_complete=yes\nsaved_entry=a>b\\\nc\nnext_entry=x\n") ||
		!strings.Contains(got, "griddle_good=two\n") {
		t.Errorf("after Write grub-editenv lists %q", got)
	}
	// Unless there is no room.
	if err := os.WriteFile(file, text(append(whole, "long="+strings.Repeat("x", 800))...), 0o644); err != nil {
		t.Fatal(err)
	}
	e := Env{Good: strings.Repeat("r", 255)}
	if err := Write(esp, e); err != nil {
		t.Fatal(err)
	}
	if got, err := Read(esp); err != nil || got != e {
		t.Errorf("Read = %+v, %v, want %+v", got, err, e)
	}
}

func FuzzParse(f *testing.F) {
	f.Add(text(whole...))
	f.Add(text(append(whole, `a=\\`+"\\\nb", "#x")...))
	f.Add(text(append(whole, "griddle_fresh=7", "griddle_spare=8")...))
	f.Add(text(append(whole, "griddle_sequence=12")...))
	f.Add(make([]byte, Size))
	f.Fuzz(func(t *testing.T, b []byte) {
		e, err := Parse(b)
		if err != nil {
			if !errors.Is(err, ErrDamaged) {
				t.Errorf("Parse(%q): %v is not ErrDamaged", b, err)
			}
			return
		}
		again, err := e.Bytes()
		if err != nil {
			t.Fatalf("Parse(%q) = %+v, which has no bytes: %v", b, e, err)
		}
		if back, err := Parse(again); err != nil || back != e {
			t.Errorf("%+v is read back as %+v, %v", e, back, err)
		}
	})
}
