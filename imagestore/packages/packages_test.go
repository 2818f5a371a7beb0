package packages

import (
	"bytes"
	"errors"
	"fmt"
	"math/rand/v2"
	"os/exec"
	"reflect"
	"strings"
	"testing"
)

func TestParseWrites(t *testing.T) {
	l := List{Manager: Dpkg, Packages: []Package{{"libc6", "2.36-9", "i386"}, {"adduser", "3.134", "all"},
		{"libc6", "2.36-9", "amd64"}, {"adduser", "3.134", "all"}}}
	l.Sort()
	var b bytes.Buffer
	if _, err := l.WriteTo(&b); err != nil {
		t.Fatal(err)
	}
	if want := "griddle-packages 1 dpkg\nadduser\t3.134\tall\nlibc6\t2.36-9\tamd64\n" +
		"libc6\t2.36-9\ti386\n"; b.String() != want {
		t.Errorf("WriteTo writes %q, want %q", b.String(), want)
	}
	got, err := Parse(b.Bytes())
	if err != nil || !reflect.DeepEqual(got, l) {
		t.Errorf("Parse = %+v, %v, want %+v", got, err, l)
	}
}

func TestParseRefuses(t *testing.T) {
	const head = "griddle-packages 1 dpkg\n"
	for _, text := range []string{
		"", "\n", "griddle-packages 1 dpkg", "griddle-packages 2 dpkg\n", "griddle-packages 1 portage\n", head + "\n",
		head + "a\t1\n", head + "a\t1\tall", head + "a\t1\tall\t\n", head + "a\t\tall\n", head + "a b\t1\tall\n",
		head + "a\t1\tall\na\t1\tall\n", head + "b\t1\tall\na\t1\tall\n", head + "ä\t1\tall\n", head + "a\t1\tall\r\n",
		head + strings.Repeat("a", 256) + "\t1\tall\n",
		strings.Repeat("x", MaxSize+1),
	} {
		if _, err := Parse([]byte(text)); !errors.Is(err, ErrFormat) {
			t.Errorf("Parse(%.60q) = %v, want ErrFormat", text, err)
		}
	}
}

func FuzzParse(f *testing.F) {
	f.Add([]byte("griddle-packages 1 rpm\nbash\t5.1-1\tx86_64\n"))
	f.Fuzz(func(t *testing.T, b []byte) {
		l, err := Parse(b)
		if err != nil {
			return
		}
		var out bytes.Buffer
		if _, err := l.WriteTo(&out); err != nil || !bytes.Equal(out.Bytes(), b) {
			t.Errorf("%q becomes %q, %v", b, out.Bytes(), err)
		}
	})
}

func TestDiff(t *testing.T) {
	list := func(manager string, lines ...string) List {
		l := List{Manager: manager, Packages: []Package{}}
		for _, s := range lines {
			f := strings.Fields(s)
			l.Packages = append(l.Packages, Package{f[0], f[1], f[2]})
		}
		l.Sort()
		return l
	}
	tests := []struct {
		name string
		a, b List
		want string
	}{
		{"equal", list(Dpkg, "a 1 all"), list(Dpkg, "a 1 all"), "+[] -[] up[] down[] changed[]"},
		{"one of each", list(Dpkg, "a 1 all", "b 2 all", "c 3 all", "e 1.0 all"),
			list(Dpkg, "b 10 all", "c 3~rc1 all", "d 4 all", "e 1.0-0 all"),
			"+[{d 4 all}] -[{a 1 all}] up[{b all 2 10 }] down[{c all 3 3~rc1 }] changed[{e all 1.0 1.0-0 }]"},
		{"architectures", list(Dpkg, "a 1 amd64", "a 1 i386", "b 1 all"), list(Dpkg, "a 2 amd64", "b 1 amd64"),
			"+[] -[{a 1 i386}] up[{a amd64 1 2 }] down[] changed[{b amd64 1 1 all}]"},
		{"several versions", list(RPM, "kernel 5-1 x", "kernel 6-1 x"), list(RPM, "kernel 6-1 x", "kernel 7-1 x"),
			"+[] -[] up[{kernel x 5-1 7-1 }] down[] changed[]"},
		{"one more version", list(RPM, "kernel 6-1 x"), list(RPM, "kernel 6-1 x", "kernel 7-1 x"),
			"+[{kernel 7-1 x}] -[] up[] down[] changed[]"},
		{"the manager's own order", list(RPM, "a 1.0^1-1 x"), list(RPM, "a 1.0-1 x"),
			"+[] -[] up[] down[{a x 1.0^1-1 1.0-1 }] changed[]"},
		{"other managers", list(RPM, "a 1 x"), list(APK, "a 1 x"), "+[{a 1 x}] -[{a 1 x}] up[] down[] changed[]"},
	}
	for _, tt := range tests {
		d, err := Diff(tt.a, tt.b)
		if got := fmt.Sprintf("+%v -%v up%v down%v changed%v", d.Added, d.Removed, d.Upgraded, d.Downgraded,
			d.Changed); err != nil || got != tt.want {
			t.Errorf("%s: Diff = %s, %v, want %s", tt.name, got, err, tt.want)
		}
	}
	if _, err := Diff(list("zypper"), list(RPM)); !errors.Is(err, ErrManager) {
		t.Errorf("Diff of an unknown manager = %v, want ErrManager", err)
	}
}

// TestCompare has versions in ascending order, one line a manager and case; "=" parts equal ones.
func TestCompare(t *testing.T) {
	tests := map[string][]string{
		Dpkg: {"1.0~~ 1.0~rc1 1.0=1.0-0=0:1.0 1.0-1 1.0a 1.0+1 1.0.1 1.9 1.10 1:0.1 2:0"},
		RPM: {"1.0~rc1-1 1.0-1=0:1.0-1 1.0-1.el8 1.0-2 1.0^git1-1 1.0a-1 1.0.1-1 1.10-1=1_10-1 2-1 1:0.1-1",
			"a-1 b-1 1-1", "1.~-1 1.-1=1-1"},
		Pacman: {"1.0a 1.0alpha 1.0b 1.0beta 1.0p 1.0pre 1.0rc 1.0=1.0-1 1.0.a 1.0.1 2 1:1",
			"1.0-1 1.0-1.1 1.0-2", "1.0 1..0"},
		APK: {"1.0_alpha 1.0_alpha2 1.0_beta 1.0_rc1 1.0 1.0-r1 1.0-r10 1.0_p1 1.0_p1-r1 1.0a 1.0b 1.0.1 " +
			"1.2 1.10 2=02 10", "1.0.005 1.0.01 1.0.1", "1.0~1234 1.0~1234-r1 1.0~2345", "1.0.1 1.06-r1",
			"0.1.0_alpha_pre2 0.1.0_alpha 2.34"},
	}
	for manager, lines := range tests {
		for _, line := range lines {
			groups := strings.Fields(line)
			for i, g := range groups {
				for j, h := range groups {
					for _, a := range strings.Split(g, "=") {
						for _, b := range strings.Split(h, "=") {
							got, err := Compare(manager, a, b)
							if err != nil || sign(got) != sign(i-j) {
								t.Errorf("Compare(%s, %q, %q) = %d, %v, want %d", manager, a, b,
									sign(got), err, sign(i-j))
							}
						}
					}
				}
			}
		}
	}
}

func sign(n int) int { return truth(n > 0) - truth(n < 0) }

// TestPeers asks the managers' own programs about random versions.
func TestPeers(t *testing.T) {
	peers := []struct {
		manager, program, letters string
		ask                       func(a, b string) []string
	}{
		{Pacman, "vercmp", "0123459abrc...-:", func(a, b string) []string { return []string{a, b} }},
		{RPM, "rpm", "0123459abrc...~^_", func(a, b string) []string {
			return []string{"--eval", fmt.Sprintf("%%{lua:print(rpm.vercmp('%s','%s'))}", a, b)}
		}},
		{Dpkg, "dpkg", "0123459abc..-+~:",
			func(a, b string) []string { return []string{"--compare-versions", a, "lt", b} }},
	}
	for _, p := range peers {
		t.Run(p.manager, func(t *testing.T) {
			if _, err := exec.LookPath(p.program); err != nil {
				t.Fatalf("%s is missing; run make deps", p.program)
			}
			r := rand.New(rand.NewPCG(1, 2))
			some := func() string {
				b := []byte{"0123"[r.IntN(4)]}
				for range r.IntN(7) {
					b = append(b, p.letters[r.IntN(len(p.letters))])
				}
				return string(append(b, '1'))
			}
			for range 300 {
				a := some()
				b := some()
				if r.IntN(3) > 0 { // mostly alike
					i := r.IntN(len(a))
					b = a[:i] + some()[1:]
				}
				if p.manager == Dpkg && (strings.Contains(a, ":") || strings.Contains(b, ":")) {
					a, b = strings.ReplaceAll(a, ":", ""), strings.ReplaceAll(b, ":", "")
				}
				out, err := exec.Command(p.program, p.ask(a, b)...).CombinedOutput()
				want := strings.TrimSpace(string(out))
				got, cmp := "", order(p.manager, a, b)
				switch {
				case p.manager == Dpkg:
					want, got = fmt.Sprint(err == nil), fmt.Sprint(cmp < 0)
				case err != nil:
					t.Fatalf("%s: %v: %s", p.program, err, out)
				default:
					got = fmt.Sprint(sign(cmp))
				}
				if got != want {
					t.Errorf("of %q and %q %s says %s, we say %s", a, b, p.program, want, got)
				}
			}
		})
	}
}
