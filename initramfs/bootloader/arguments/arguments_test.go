package arguments

import (
	"fmt"
	"os"
	"slices"
	"testing"

	"griddle/initramfs/sysroot"
)

// What is written is read again, whatever quotes people gave.
func TestWrite(t *testing.T) {
	top, err := os.OpenRoot(t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	defer top.Close()
	root := sysroot.Dir{Root: top}
	if a, err := Read(root); a != nil || err != nil {
		t.Errorf("a root without the file has %+v, %v", a, err)
	}
	written := Arguments{All: []string{"quiet", `dyndbg="file x.c +p"`}, Job: []string{"quiet"}}
	if err := Write(root, written); err != nil {
		t.Fatal(err)
	}
	a, err := Read(root)
	if err != nil || a == nil || !slices.Equal(a.All, []string{"quiet", "dyndbg=file x.c +p"}) ||
		!slices.Equal(a.Job, []string{"quiet"}) {
		t.Errorf("Read = %+v, %v", a, err)
	}
	if err := Write(root, Arguments{All: []string{"a\nb"}}); err == nil {
		t.Error("an argument with a line break is written")
	}
	if err := Remove(root); err != nil {
		t.Fatal(err)
	}
	if a, err := Read(root); a != nil || err != nil {
		t.Errorf("after Remove there are %+v, %v", a, err)
	}
}

// A root's file may have any bytes: what is taken of it is a list of words, which reads as the same list again.
func FuzzParse(f *testing.F) {
	f.Add([]byte(signature + "griddle_arguments_format=1\ngriddle_arguments=\"quiet\" \"a=b c\"\n"))
	f.Add([]byte(signature + "griddle_arguments_format=1\ngriddle_arguments=\"a\\\n\" \"$(x)\"\n###"))
	f.Add([]byte(signature + "griddle_arguments_format=1\ngriddle_arguments=\ngriddle_arguments_of_job=\"q\"\n"))
	f.Add([]byte("griddle_arguments_format=1\n"))
	f.Fuzz(func(t *testing.T, b []byte) {
		a := parse(b)
		if a == nil {
			return
		}
		for _, w := range slices.Concat(a.All, a.Job) {
			if other.MatchString(w) || w == "" {
				t.Errorf("the word %q", w)
			}
		}
		again := parse(fmt.Appendf(nil, "%[1]s%[2]s_format=%[3]s\n%[2]s=%[4]s\n%[2]s_of_job=%[5]s\n", signature, prefix,
			format, quoted(a.All), quoted(a.Job)))
		if again == nil || !slices.Equal(again.All, a.All) || !slices.Equal(again.Job, a.Job) {
			t.Errorf("%q is %+v, and that is %+v", b, a, again)
		}
	})
}

func quoted(words []string) (out string) {
	for _, w := range words {
		out += ` "` + w + `"`
	}
	return out
}
